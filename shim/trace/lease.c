/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who holds what: the one table from a PGconn to the lease on it.
 *
 * Locks: LOCK_LEASE guards everything static here and the guarded fields of every
 * registered lease; the two clocks and the thread's number are read before it is
 * taken. Snapshots are copied under it and sorted after it.
 *
 * At any time begun = ended + open, counting only leases this process began: a
 * lease whose PGconn vanished counts as ended, and one that came over a fork is
 * in neither total.
 */
#include "trace/lease.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/self.h"
#include "base/sort.h"
#include "trace/status.h"

static struct lock table_lock = LOCK_INITIALIZER(LOCK_LEASE);
static struct lease *table;
static struct lease_totals sums;
static uint64_t last_id;
static struct lease *late; /* LEASE_LATE_MAX of them, mapped with the first */
static size_t late_count;

/*
 * How often the answer to lease_find has changed for any connection whose address falls to
 * this count, from 1 on. Many of them, and each in a cache line of its own, so that a thread
 * hardly notices what the others do; changed with the lock held.
 */
#define CHANGE_COUNTS 64
#define CACHE_LINE    64

static struct {
	_Alignas(CACHE_LINE) atomic_uint_fast64_t changes;
} counts[CHANGE_COUNTS];

static size_t spread(const void *conn)
{
	return (size_t)((uint64_t)(uintptr_t)conn * 0x9e3779b97f4a7c15ULL >> 32);
}

static atomic_uint_fast64_t *changes_of(const void *conn)
{
	return &counts[spread(conn) % CHANGE_COUNTS].changes;
}

static void note_change(const struct lease *lease)
{
	atomic_fetch_add_explicit(changes_of(lease->conn), 1, memory_order_release);
}

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

static _Thread_local struct told told[TOLD_PLACES];

static struct told *told_of(const void *conn)
{
	return &told[spread(conn) % TOLD_PLACES];
}

/* ---- the table ---- */

static struct lease *find_locked(const void *conn)
{
	struct lease *lease;

	lock_assert_held(&table_lock);
	HASH_FIND_PTR(table, &conn, lease);
	return lease;
}

/* An entry that is not in the table has no hh.tbl, which uthash leaves to us. */
static void take_out(struct lease *lease)
{
	HASH_DEL(table, lease);
	note_change(lease);
	status_free_session(lease->row);
	lease->row = 0;
	memset(&lease->hh, 0, sizeof(lease->hh));
}

static bool is_own_locked(const struct lease *lease)
{
	return lease->open && lease->pid == self_pid();
}

static void forget_locked(struct lease *lease)
{
	if (is_own_locked(lease)) {
		sums.ended++;
		status_lease_ended(lease, clock_monotonic_ns());
	}
	take_out(lease);
}

bool lease_register(struct lease *lease, struct lease **vanished)
{
	struct lease *old;
	bool added;

	lock_take(&table_lock);
	old = find_locked(lease->conn);
	if (old != NULL) {
		forget_locked(old);
	}
	HASH_ADD_PTR(table, conn, lease);
	added = lease->hh.tbl != NULL;
	note_change(lease);
	lock_drop(&table_lock);
	*vanished = old != lease ? old : NULL;
	return added;
}

void lease_forget(struct lease *lease)
{
	lock_take(&table_lock);
	if (lease->hh.tbl != NULL) {
		forget_locked(lease);
	}
	lock_drop(&table_lock);
}

struct moment {
	uint64_t wall_us;
	pid_t tid;
};

static struct moment look_around(void)
{
	return (struct moment){.wall_us = clock_wall_us(), .tid = self_tid()};
}

/* Who took it, where and when. */
static void note_origin_locked(struct lease *lease, const struct lease_origin *origin,
                               const struct moment *now)
{
	lease->crossed_fork = false;
	lease->backend_pid = origin->backend_pid;
	lease->pid = self_pid();
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

	if (lease->activity != NULL) {
		lease_note_statement(lease->activity, "");
		lease_note_transaction(lease->activity, LEASE_TRANSACTION_IDLE);
	}
	lock_take(&table_lock);
	sums.begun++;
	lease->open = true;
	lease->pending = false;
	lease->id = ++last_id;
	note_origin_locked(lease, origin, &now);
	lease->named = false;
	lease->end_stack = 0;
	lease->misuses = 0;
	status_lease_begun(lease);
	note_change(lease);
	/* What the program does next is to use it. */
	*told_of(lease->conn) = (struct told){
		lease->conn, lease, LEASE_OPEN,
		atomic_load_explicit(changes_of(lease->conn), memory_order_relaxed)};
	lock_drop(&table_lock);
	return lease->id;
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

enum lease_state lease_end(const void *conn, struct lease **entry, struct lease *ended)
{
	enum lease_state state = LEASE_UNKNOWN;
	uint64_t now_ns = clock_monotonic_ns();
	struct lease *lease;

	lock_take(&table_lock);
	lease = find_locked(conn);
	if (lease != NULL && lease->open) {
		state = LEASE_OPEN;
		if (ended != NULL) {
			copy_out(ended, lease);
			ended->ended_ns = now_ns;
		}
		if (is_own_locked(lease)) {
			sums.ended++;
			status_lease_ended(lease, now_ns);
		}
		lease->open = false;
		lease->finished = true;
		note_change(lease);
	} else if (lease != NULL) {
		state = LEASE_IDLE;
	}
	lock_drop(&table_lock);
	*entry = lease;
	return state;
}

/* Asks the table, as of the count of changes that was read first. */
static struct told ask(const void *conn, uint_fast64_t changes)
{
	struct told answer = {.conn = conn, .state = LEASE_UNKNOWN, .changes = changes};

	lock_take(&table_lock);
	answer.lease = find_locked(conn);
	if (answer.lease != NULL) {
		answer.state = answer.lease->open ? LEASE_OPEN : LEASE_IDLE;
	}
	lock_drop(&table_lock);
	return answer;
}

/*
 * Every call that sends work comes by here, most of them for one of the connections that the
 * thread asked for last. That answer holds while nothing has changed: the count is read
 * before the table is, so an answer is never taken for newer than it is.
 */
enum lease_state lease_find(const void *conn, struct lease **entry)
{
	uint_fast64_t now = atomic_load_explicit(changes_of(conn), memory_order_acquire);
	struct told *last = told_of(conn);

	if (last->conn != conn || last->changes != now) {
		if (lock_barred()) {
			*entry = NULL;
			return LEASE_UNKNOWN;
		}
		*last = ask(conn, now);
	}
	*entry = last->lease;
	return last->state;
}

void lease_pend(struct lease *lease, const struct lease_origin *origin)
{
	struct moment now = look_around();

	lock_take(&table_lock);
	lease->pending = true;
	note_origin_locked(lease, origin, &now);
	lock_drop(&table_lock);
}

void lease_fail(struct lease *lease)
{
	lock_take(&table_lock);
	lease->pending = false;
	lock_drop(&table_lock);
}

void lease_note_end(struct lease *lease, uint32_t end_stack)
{
	lock_take(&table_lock);
	lease->end_stack = end_stack;
	lock_drop(&table_lock);
}

static struct lease *find_stale_locked(const void *conn)
{
	struct lease *lease = find_locked(conn);

	return lease != NULL && !lease->open && lease->finished ? lease : NULL;
}

bool lease_misused(const void *conn, struct lease *last)
{
	struct lease *lease;

	if (lock_barred()) {
		return false;
	}
	lock_take(&table_lock);
	lease = find_stale_locked(conn);
	if (lease != NULL) {
		lease->misuses++;
		copy_out(last, lease);
	}
	lock_drop(&table_lock);
	return lease != NULL;
}

bool lease_is_stale(const void *conn)
{
	bool stale;

	if (lock_barred()) {
		return false;
	}
	lock_take(&table_lock);
	stale = find_stale_locked(conn) != NULL;
	lock_drop(&table_lock);
	return stale;
}

void lease_set_backend(struct lease *lease, int backend_pid)
{
	lock_take(&table_lock);
	lease->backend_pid = backend_pid;
	status_backend(lease->row, backend_pid);
	lock_drop(&table_lock);
}

static int by_age(const struct lease *a, const struct lease *b)
{
	if (a->began_ns != b->began_ns) {
		return a->began_ns < b->began_ns ? -1 : 1;
	}
	return a->id < b->id ? -1 : a->id > b->id;
}

static int compare_age(const void *a, const void *b)
{
	return by_age(a, b);
}

/* An open lease or, if such count, one that is still to begin. */
static bool is_taken_locked(const struct lease *lease, bool or_pending)
{
	return is_own_locked(lease) ||
	       (or_pending && lease->pending && lease->pid == self_pid());
}

static size_t count_taken_locked(bool or_pending)
{
	size_t n = 0;

	for (const struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		n += is_taken_locked(lease, or_pending);
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

void lease_keep_late(const struct lease *ended)
{
	struct lease copy = *ended;

	copy.at_exit = true;
	copy.activity = NULL;
	lock_take(&table_lock);
	if (late == NULL) {
		late = map(LEASE_LATE_MAX);
	}
	if (late != NULL && late_count < LEASE_LATE_MAX) {
		late[late_count++] = copy;
	}
	lock_drop(&table_lock);
}

static size_t copy_taken_locked(struct lease *copies, bool or_pending)
{
	size_t n = 0;

	for (const struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		if (!is_taken_locked(lease, or_pending)) {
			continue;
		}
		copy_out(&copies[n], lease);
		if (!lease->open) {
			copies[n].id = ++last_id;
			copies[n].activity = NULL; /* of the lease before */
		}
		lease_read_activity(&copies[n++]);
	}
	return n;
}

static struct lease *snapshot(bool for_report, size_t *count, struct lease_totals *totals)
{
	struct lease *copies;
	size_t kept;
	size_t n = 0;

	lock_take(&table_lock);
	*totals = sums;
	kept = for_report ? late_count : 0;
	*count = count_taken_locked(for_report) + kept;
	copies = map(*count);
	if (copies != NULL) {
		n = copy_taken_locked(copies, for_report);
		for (size_t i = 0; i < kept; i++) {
			copies[n + i] = late[i];
		}
	}
	lock_drop(&table_lock);
	if (copies != NULL) {
		sort_items(copies, n, sizeof(*copies), compare_age);
	}
	return copies;
}

struct lease *lease_snapshot(size_t *count, struct lease_totals *totals)
{
	return snapshot(false, count, totals);
}

struct lease *lease_leaks(size_t *count, struct lease_totals *totals)
{
	return snapshot(true, count, totals);
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

	lock_take(&table_lock);
	for (struct lease *lease = table; lease != NULL && n < max; lease = lease->hh.next) {
		if (!lease->open) {
			out[n++] = lease;
		}
	}
	lock_drop(&table_lock);
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

	lock_take(&table_lock);
	for (const struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		if (lease->pool == pool && is_own_locked(lease)) {
			n = insert_by_age(out, n, max, lease);
		}
	}
	lock_drop(&table_lock);
	return n;
}

size_t lease_name_overdue(uint64_t before_ns, struct lease *out, size_t max,
                          uint64_t *oldest_ns)
{
	size_t n = 0;

	*oldest_ns = LEASE_NONE;
	lock_take(&table_lock);
	for (struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		if (lease->named || !is_own_locked(lease)) {
			continue;
		}
		if (lease->began_ns <= before_ns && n < max) {
			lease->named = true;
			copy_out(&out[n], lease);
			lease_read_activity(&out[n++]);
		} else if (lease->began_ns < *oldest_ns) {
			*oldest_ns = lease->began_ns;
		}
	}
	lock_drop(&table_lock);
	return n;
}

static void mark_crossed(void)
{
	for (struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		if (lease->open || lease->pending) {
			lease->crossed_fork = true;
		}
	}
}

void lease_fork_prepare(void)
{
	lock_take(&table_lock);
}

void lease_fork_parent(void)
{
	mark_crossed();
	lock_drop(&table_lock);
}

/*
 * No lock here: the child has one thread, and may still hold locks that rank higher.
 * Lease numbers go on from the parent's, because a cancel object that came over the
 * fork remembers one and must never find it again on another lease.
 */
void lease_fork_child(bool (*keep)(struct lease *lease), void (*each)(struct lease *lease))
{
	struct lease *lease;
	struct lease *next;

	lock_drop(&table_lock);
	self_renew();
	sums = (struct lease_totals){0};
	late_count = 0;
	mark_crossed();
	HASH_ITER (hh, table, lease, next) {
		lease->row = 0;
		if (!lease->open && !keep(lease)) {
			take_out(lease);
			each(lease);
		}
	}
}
