/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who holds what: the one table from a PGconn to the lease on it.
 *
 * Locks: LOCK_LEASE, of the shard that the connection falls to, guards the guarded fields of
 * a registered lease, all of them together what is static here; the two clocks and the
 * thread's number are read before. Snapshots are copied under all and sorted after.
 *
 * At any time begun = ended + open, counting only leases this process began: a
 * lease whose PGconn vanished counts as ended, and one that came over a fork is
 * in neither total.
 */
#include "trace/lease/lease.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/text/sort.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "trace/lease/lease_late.h"
#include "trace/lease/lease_table.h"
#include "trace/status/status.h"

/* In a line of its own: every lease that begins writes it. */
static _Alignas(CACHE_LINE) atomic_uint_fast64_t last_id;

/*
 * What a thread was told last of the connections whose address falls to this place: a program
 * with an event loop goes from one to the other. `conn` NULL: nothing.
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

/* ---- the table ---- */

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

/* The answer to lease_find is another one from now on, for one of the shard's connections. */
static void note_change(struct lease_shard *shard)
{
	atomic_fetch_add_explicit(&shard->changes, 1, memory_order_release);
}

static void take_out(struct lease_shard *shard, struct lease *lease)
{
	lease_shard_remove(shard, lease);
	note_change(shard);
	status_free_session(lease->row);
	lease->row = 0;
}

static bool is_own_locked(const struct lease *lease)
{
	return lease->open && lease->pid == pid_self();
}

static void forget_locked(struct lease_shard *shard, struct lease *lease)
{
	if (is_own_locked(lease)) {
		shard->sums.ended++;
		status_lease_ended(lease, clock_monotonic_ns());
	}
	take_out(shard, lease);
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

struct moment {
	uint64_t wall_us;
	pid_t tid;
};

static struct moment look_around(void)
{
	return (struct moment){.wall_us = clock_wall_us(), .tid = tid_self()};
}

/* Who took it, where and when. */
static void note_origin_locked(struct lease *lease, const struct lease_origin *origin,
                               const struct moment *now)
{
	lease->crossed_fork = false;
	lease->backend_pid = origin->backend_pid;
	lease->pid = pid_self();
	lease->tid = now->tid;
	lease->began_ns = origin->now_ns;
	lease->began_us = now->wall_us;
	lease->wait_ns = origin->wait_ns;
	lease->stack = origin->stack;
	lease->begun_at_exit = origin->at_exit;
	lease->finished = false;
}

uint64_t lease_begin(struct lease *lease, const struct lease_origin *origin)
{
	struct moment now = look_around();
	uint64_t id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
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
	note_origin_locked(lease, origin, &now);
	lease->named = false;
	lease->end_stack = 0;
	lease->misuses = 0;
	status_lease_begun(lease);
	note_change(shard);
	/* What the program does next is to use it. */
	remember(&(struct told){lease->conn, lease, LEASE_OPEN,
	                        atomic_load_explicit(&shard->changes, memory_order_relaxed)});
	leave(shard);
	return id;
}

uint64_t lease_newest(void)
{
	return atomic_load_explicit(&last_id, memory_order_relaxed);
}

/*
 * A copy outlives the table it came from, so it carries no links into it; its activity is
 * to be asked while it is known that the lease is open.
 */
static void copy_out(struct lease *to, const struct lease *from)
{
	*to = *from;
	memset(&to->hh, 0, sizeof(to->hh));
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
			copy_out(ended, lease);
			ended->ended_ns = now_ns;
		}
		if (is_own_locked(lease)) {
			shard->sums.ended++;
			status_lease_ended(lease, now_ns);
		}
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

/*
 * Asks the table, as of the count of changes that was read first. On its own, so that what is
 * remembered is answered without a frame.
 */
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
 * Every call that sends work comes by here, most of them for one of the connections that the
 * thread asked for last. That answer holds while nothing has changed: the count is read
 * before the table is, so an answer is never taken for newer than it is.
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

void lease_pend(struct lease *lease, const struct lease_origin *origin, bool placed)
{
	struct moment now = look_around();
	struct lease_shard *shard = enter(lease->conn);

	lease->pending = true;
	lease->placed = placed;
	note_origin_locked(lease, origin, &now);
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

static struct lease *find_stale_locked(const struct lease_shard *shard, const void *conn)
{
	struct lease *lease = lease_shard_find(shard, conn);

	return lease != NULL && !lease->open && lease->finished ? lease : NULL;
}

bool lease_misused(const void *conn, struct lease *last)
{
	struct lease_shard *shard;
	struct lease *lease;

	if (lock_barred()) {
		return false;
	}
	shard = enter(conn);
	lease = find_stale_locked(shard, conn);
	if (lease != NULL) {
		lease->misuses++;
		copy_out(last, lease);
	}
	leave(shard);
	return lease != NULL;
}

bool lease_is_stale(const void *conn)
{
	struct lease_shard *shard;
	bool stale;

	if (lock_barred()) {
		return false;
	}
	shard = enter(conn);
	stale = find_stale_locked(shard, conn) != NULL;
	leave(shard);
	return stale;
}

void lease_set_backend(struct lease *lease, int backend_pid)
{
	struct lease_shard *shard = enter(lease->conn);

	lease->backend_pid = backend_pid;
	status_backend(lease->row, backend_pid);
	leave(shard);
}

static int by_age(const void *left, const void *right)
{
	const struct lease *a = left;
	const struct lease *b = right;

	if (a->began_ns != b->began_ns) {
		return a->began_ns < b->began_ns ? -1 : 1;
	}
	return a->id < b->id ? -1 : a->id > b->id;
}

/* What else counts beside the leases that are open. */
enum taken { OPEN_ALONE, OR_PLACED, OR_PENDING };

static bool is_taken_locked(const struct lease *lease, enum taken taken)
{
	if (is_own_locked(lease)) {
		return true;
	}
	return lease->pending && lease->pid == pid_self() &&
	       (taken == OR_PENDING || (taken == OR_PLACED && lease->placed));
}

static size_t count_taken_locked(enum taken taken)
{
	size_t n = 0;

	for (const struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		n += is_taken_locked(lease, taken);
	}
	return n;
}

static struct lease *map(size_t count)
{
	void *memory = MAP_FAILED;

	if (count > 0) {
		memory = mmap(NULL, count * sizeof(struct lease), PROT_READ | PROT_WRITE,
		              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	return memory != MAP_FAILED ? memory : NULL;
}

static size_t copy_taken_locked(struct lease *copies, enum taken taken)
{
	size_t n = 0;

	for (const struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		if (!is_taken_locked(lease, taken)) {
			continue;
		}
		copy_out(&copies[n], lease);
		if (!lease->open) {
			copies[n].id =
				taken == OR_PENDING ? atomic_fetch_add(&last_id, 1) + 1 : 0;
			copies[n].activity = NULL; /* of the lease before */
		}
		lease_read_activity(&copies[n++]);
	}
	return n;
}

static struct lease *snapshot(enum taken taken, size_t *count, struct lease_totals *totals)
{
	struct lease *copies;
	size_t kept;
	size_t n = 0;

	lease_table_lock();
	*totals = lease_table_totals();
	kept = taken == OR_PENDING ? lease_late_count() : 0;
	*count = count_taken_locked(taken) + kept;
	copies = map(*count);
	if (copies != NULL) {
		n = copy_taken_locked(copies, taken);
		lease_late_copy(copies + n, kept);
	}
	lease_table_unlock();
	if (copies != NULL) {
		sort_items(copies, n, sizeof(*copies), by_age);
	}
	return copies;
}

struct lease *lease_snapshot(size_t *count, struct lease_totals *totals)
{
	return snapshot(OPEN_ALONE, count, totals);
}

struct lease *lease_holders(size_t *count, struct lease_totals *totals)
{
	return snapshot(OR_PLACED, count, totals);
}

struct lease *lease_leaks(size_t *count, struct lease_totals *totals)
{
	return snapshot(OR_PENDING, count, totals);
}

void lease_snapshot_free(struct lease *snapshot, size_t count)
{
	if (snapshot != NULL) {
		munmap(snapshot, count * sizeof(*snapshot));
	}
}

size_t lease_idle(struct lease **out, size_t max)
{
	size_t n = 0;

	lease_table_lock();
	for (struct lease *lease = lease_table_first(); lease != NULL && n < max;
	     lease = lease_table_next(lease)) {
		if (!lease->open) {
			out[n++] = lease;
		}
	}
	lease_table_unlock();
	return n;
}

/* Puts `lease` in its place among the `n` oldest so far; returns how many there are now. */
static size_t insert_by_age(struct lease *out, size_t n, size_t max, const struct lease *lease)
{
	size_t at = n;

	while (at > 0 && by_age(lease, &out[at - 1]) < 0) {
		at--;
	}
	if (at == max) {
		return n;
	}
	if (n < max) {
		n++;
	}
	memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof(*out));
	copy_out(&out[at], lease);
	lease_read_activity(&out[at]);
	return n;
}

size_t lease_oldest(const char *pool, struct lease *out, size_t max)
{
	size_t n = 0;

	lease_table_lock();
	for (const struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		if (lease->pool == pool && is_own_locked(lease)) {
			n = insert_by_age(out, n, max, lease);
		}
	}
	lease_table_unlock();
	return n;
}

size_t lease_name_overdue(uint64_t before_ns, struct lease *out, size_t max,
                          uint64_t *oldest_ns)
{
	size_t n = 0;

	*oldest_ns = LEASE_NONE;
	lease_table_lock();
	for (struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		uint64_t used_ns;

		if (lease->named || !is_own_locked(lease)) {
			continue;
		}
		used_ns = lease_last_used(lease);
		if (used_ns <= before_ns && n < max) {
			lease->named = true;
			copy_out(&out[n], lease);
			lease_read_activity(&out[n++]);
		} else if (used_ns < *oldest_ns) {
			*oldest_ns = used_ns;
		}
	}
	lease_table_unlock();
	return n;
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
 * Lease numbers go on from the parent's, because a cancel object that came over the
 * fork remembers one and must never find it again on another lease.
 */
void lease_fork_child(bool (*keep)(struct lease *lease), void (*each)(struct lease *lease))
{
	struct lease *next;

	pid_renew();
	lease_table_clear_totals();
	lease_late_clear();
	mark_crossed();
	for (struct lease *lease = lease_table_first(); lease != NULL; lease = next) {
		next = lease_table_next(lease);
		lease->row = 0;
		if (!lease->open && !keep(lease)) {
			take_out(lease_shard_of(lease->conn), lease);
			each(lease);
		}
	}
	lease_table_unlock();
}
