/* SPDX-License-Identifier: PostgreSQL */
/*
 * Leases: which PGconn the program holds, from its connect to its finish.
 *
 * At any time begun = ended + open, counting only leases that this process began: a lease
 * whose PGconn vanished counts as ended, and one from before a fork is in neither total.
 */
#include "trace/lease/lease.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "trace/lease/lease_table.h"
#include "trace/lease/snapshot.h"
#include "trace/status/status.h"

/*
 * The last answer of lease_find in this thread for the connections whose address falls into
 * this place; `conn` NULL: none. A program with an event loop alternates between several.
 */
struct told {
	const void *conn;
	struct lease *lease;
	enum lease_state state;
	uint_fast64_t changes;
};

#define TOLD_PLACES 8

_Static_assert(sizeof(struct told[TOLD_PLACES]) <= sizeof(((struct thread_block *)0)->leases),
               "the answers fit into their part");

/* NULL: the thread remembers none. */
static struct told *told_of(const void *conn)
{
	struct told *told = THREAD_PART(struct told, leases);

	return told != NULL ? &told[(uint64_t)(uintptr_t)conn * 0x9e3779b97f4a7c15ULL >> 32 &
	                            (TOLD_PLACES - 1)]
	                    : NULL;
}

static void remember(const struct told *answer)
{
	struct told *place = told_of(answer->conn);

	if (place != NULL) {
		*place = *answer;
	}
}

/* The shard of a connection, its lock taken. */
static struct lease_shard *enter(const void *conn)
{
	struct lease_shard *shard = lease_shard_of(conn);

	lock_take(&shard->lock);
	return shard;
}

static void leave(struct lease_shard *shard)
{
	lock_drop(&shard->lock);
}

/* Makes the remembered answers for the shard's connections invalid. */
static void note_change(struct lease_shard *shard)
{
	atomic_fetch_add_explicit(&shard->changes, 1, memory_order_release);
}

static void remove_locked(struct lease_shard *shard, struct lease *lease)
{
	lease_shard_remove(shard, lease);
	note_change(shard);
	status_free_session(lease->row, &lease->holds);
	lease->row = 0;
}

/* An open lease of this process ends: counts and shows it. */
static void note_end_locked(struct lease_shard *shard, struct lease *lease, uint64_t now_ns)
{
	if (lease->open && lease->pid == pid_self()) {
		shard->sums.ended++;
		status_lease_ended(lease->row, &lease->holds, now_ns - lease->began_ns, now_ns);
	}
}

static void forget_locked(struct lease_shard *shard, struct lease *lease)
{
	note_end_locked(shard, lease, clock_monotonic_ns());
	remove_locked(shard, lease);
}

bool lease_register(struct lease *lease, struct lease **vanished)
{
	struct lease_shard *shard = enter(lease->conn);
	struct lease *old = lease_shard_find(shard, lease->conn);
	bool added;

	if (old != NULL) {
		forget_locked(shard, old);
	}
	added = lease_shard_add(shard, lease);
	note_change(shard);
	leave(shard);
	*vanished = old != lease ? old : NULL;
	return added;
}

void lease_forget(struct lease *lease)
{
	struct lease_shard *shard = enter(lease->conn);

	if (lease_is_listed(lease)) {
		forget_locked(shard, lease);
	}
	leave(shard);
}

/* `wall_us` and `tid` were asked for before the lock was taken. */
static void note_origin_locked(struct lease *lease, const struct lease_origin *origin,
                               uint64_t wall_us, pid_t tid)
{
	lease->crossed_fork = false;
	lease->backend_pid = origin->backend_pid;
	lease->pid = pid_self();
	lease->tid = tid;
	lease->began_ns = origin->now_ns;
	lease->began_us = wall_us;
	lease->wait_ns = origin->wait_ns;
	lease->stack = origin->stack;
	lease->begun_at_exit = origin->at_exit;
	lease->finished = false;
}

static void show_locked(const struct lease *lease)
{
	status_lease_begun(lease->row, &(struct status_lease){.id = lease->id,
	                                                      .began_us = lease->began_us,
	                                                      .began_ns = lease->began_ns,
	                                                      .wait_ns = lease->wait_ns,
	                                                      .backend = lease->backend_pid,
	                                                      .tid = lease->tid,
	                                                      .stack = lease->stack});
}

uint64_t lease_begin(struct lease *lease, const struct lease_origin *origin)
{
	uint64_t wall_us = clock_wall_us();
	pid_t tid = tid_self();
	uint64_t id = lease_next_id();
	struct lease_shard *shard;

	if (lease->activity != NULL) {
		lease_clear_activity(lease->activity);
	}
	if (!origin->at_exit) {
		lease_forget_late();
	}
	shard = enter(lease->conn);
	shard->sums.begun++;
	lease->open = true;
	lease->pending = false;
	lease->id = id;
	note_origin_locked(lease, origin, wall_us, tid);
	lease->named = false;
	lease->end_stack = 0;
	lease->misuses = 0;
	show_locked(lease);
	note_change(shard);
	/* The program uses it next. */
	remember(&(struct told){lease->conn, lease, LEASE_OPEN,
	                        atomic_load_explicit(&shard->changes, memory_order_relaxed)});
	leave(shard);
	return id;
}

enum lease_state lease_end(const void *conn, uint64_t now_ns, uint32_t end_stack,
                           struct lease **entry, struct lease *ended)
{
	enum lease_state state = LEASE_UNKNOWN;
	struct lease_shard *shard = enter(conn);
	struct lease *lease = lease_shard_find(shard, conn);

	if (lease != NULL && lease->open) {
		state = LEASE_OPEN;
		if (ended != NULL) {
			lease_copy(ended, lease);
			ended->ended_ns = now_ns;
			lease_read_times(ended);
		}
		note_end_locked(shard, lease, now_ns);
		lease->open = false;
		lease->finished = true;
		lease->end_stack = end_stack;
		note_change(shard);
	} else if (lease != NULL) {
		state = LEASE_IDLE;
	}
	leave(shard);
	*entry = lease;
	return state;
}

/* Asks the table. Not inlined, so that lease_find needs no frame for a remembered answer. */
static __attribute__((noinline)) enum lease_state ask(const void *conn, uint_fast64_t changes,
                                                      struct lease **entry)
{
	struct told answer = {.conn = conn, .state = LEASE_UNKNOWN, .changes = changes};
	struct lease_shard *shard;

	if (lock_barred()) {
		*entry = NULL;
		return LEASE_UNKNOWN;
	}
	shard = enter(conn);
	answer.lease = lease_shard_find(shard, conn);
	if (answer.lease != NULL) {
		answer.state = answer.lease->open ? LEASE_OPEN : LEASE_IDLE;
	}
	leave(shard);
	remember(&answer);
	*entry = answer.lease;
	return answer.state;
}

/*
 * Every call that sends work asks this, mostly for a connection that the thread asked for
 * before. The count of changes is read before the table is, so that an answer is never taken
 * for newer than it is.
 */
enum lease_state lease_find(const void *conn, struct lease **entry)
{
	uint_fast64_t now =
		atomic_load_explicit(&lease_shard_of(conn)->changes, memory_order_acquire);
	const struct told *last = told_of(conn);

	if (last == NULL || last->conn != conn || last->changes != now) {
		return ask(conn, now, entry);
	}
	*entry = last->lease;
	return last->state;
}

void lease_note_use(struct lease_activity *activity, uint64_t now_ns)
{
	atomic_store_explicit(&activity->used_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&activity->used_at, lease_newest(), memory_order_relaxed);
	atomic_store_explicit(&activity->orphaned, false, memory_order_relaxed);
}

void lease_note_thread_end(void)
{
	pid_t tid = tid_self();

	lease_table_lock();
	for (struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		if (lease->open && lease->pid == pid_self() && lease->tid == tid &&
		    lease->activity != NULL) {
			atomic_store_explicit(&lease->activity->orphaned, true,
			                      memory_order_relaxed);
		}
	}
	lease_table_unlock();
}

void lease_pend(struct lease *lease, const struct lease_origin *origin, bool placed)
{
	uint64_t wall_us = clock_wall_us();
	pid_t tid = tid_self();
	struct lease_shard *shard = enter(lease->conn);

	lease->pending = true;
	lease->placed = placed;
	note_origin_locked(lease, origin, wall_us, tid);
	leave(shard);
}

void lease_place(struct lease *lease, bool placed)
{
	struct lease_shard *shard = enter(lease->conn);

	lease->placed = placed;
	leave(shard);
}

void lease_fail(struct lease *lease)
{
	struct lease_shard *shard = enter(lease->conn);

	lease->pending = false;
	leave(shard);
}

/* `last` NULL: does not count the misuse. */
static bool find_stale(const void *conn, struct lease *last)
{
	struct lease_shard *shard;
	struct lease *lease;
	bool stale;

	if (lock_barred()) {
		return false;
	}
	shard = enter(conn);
	lease = lease_shard_find(shard, conn);
	stale = lease != NULL && !lease->open && lease->finished;
	if (stale && last != NULL) {
		lease->misuses++;
		lease_copy(last, lease);
	}
	leave(shard);
	return stale;
}

bool lease_misused(const void *conn, struct lease *last)
{
	return find_stale(conn, last);
}

bool lease_is_stale(const void *conn)
{
	return find_stale(conn, NULL);
}

void lease_set_backend(struct lease *lease, int backend_pid)
{
	struct lease_shard *shard = enter(lease->conn);

	lease->backend_pid = backend_pid;
	status_backend(lease->row, backend_pid);
	leave(shard);
}

static void mark_crossed(void)
{
	for (struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		if (lease->open || lease->pending) {
			lease->crossed_fork = true;
		}
	}
}

void lease_fork_prepare(void)
{
	lease_table_lock();
}

void lease_fork_parent(void)
{
	mark_crossed();
	lease_table_unlock();
}

/*
 * Lease numbers continue from the parent's: a cancel object that crossed the fork remembers
 * one, and must never find it on another lease.
 */
void lease_fork_child(bool (*keep)(struct lease *lease), void (*each)(struct lease *lease))
{
	struct lease *next;

	pid_renew();
	lease_table_clear_totals();
	lease_late_fork_child();
	mark_crossed();
	for (struct lease *lease = lease_table_first(); lease != NULL; lease = next) {
		next = lease_table_next(lease);
		lease->row = 0;
		if (!lease->open && !keep(lease)) {
			remove_locked(lease_shard_of(lease->conn), lease);
			each(lease);
		}
	}
	lease_table_unlock();
}
