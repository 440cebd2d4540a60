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

static struct lock table_lock = LOCK_INITIALIZER(LOCK_LEASE);
static struct lease *table;
static struct lease_totals sums;
static uint64_t last_id;

/* How often the answer to lease_find has changed for any connection; never 0. */
static atomic_uint_fast64_t changes = 1;

static void note_change(void)
{
	atomic_fetch_add_explicit(&changes, 1, memory_order_release);
}

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
	note_change();
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
	note_change();
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

uint64_t lease_begin(struct lease *lease, const struct lease_origin *origin)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t now_us = clock_wall_us();
	pid_t tid = self_tid();
	uint64_t id;

	lock_take(&table_lock);
	id = ++last_id;
	sums.begun++;
	lease->open = true;
	lease->crossed_fork = false;
	lease->id = id;
	lease->backend_pid = origin->backend_pid;
	lease->pid = self_pid();
	lease->tid = tid;
	lease->began_ns = now_ns;
	lease->began_us = now_us;
	lease->wait_ns = origin->wait_ns;
	lease->stack = origin->stack;
	lease->finished = false;
	lease->end_stack = 0;
	lease->misuses = 0;
	note_change();
	lock_drop(&table_lock);
	return id;
}

/* A copy outlives the table it came from, so it carries no links into it. */
static void copy_out(struct lease *to, const struct lease *from)
{
	*to = *from;
	memset(&to->hh, 0, sizeof(to->hh));
}

enum lease_state lease_end(const void *conn, struct lease **entry, struct lease *ended)
{
	enum lease_state state = LEASE_UNKNOWN;
	struct lease *lease;

	lock_take(&table_lock);
	lease = find_locked(conn);
	if (lease != NULL && lease->open) {
		state = LEASE_OPEN;
		if (ended != NULL) {
			copy_out(ended, lease);
		}
		if (is_own_locked(lease)) {
			sums.ended++;
		}
		lease->open = false;
		lease->finished = true;
		note_change();
	} else if (lease != NULL) {
		state = LEASE_IDLE;
	}
	lock_drop(&table_lock);
	*entry = lease;
	return state;
}

/*
 * Every call that sends work comes by here, most of them for the connection that the
 * thread asked for last. That answer holds while nothing has changed: the count is read
 * before the table is, so an answer is never taken for newer than it is.
 */
enum lease_state lease_find(const void *conn, struct lease **entry)
{
	static _Thread_local struct {
		const void *conn;
		struct lease *lease;
		enum lease_state state;
		uint_fast64_t changes;
	} last;
	uint_fast64_t now = atomic_load_explicit(&changes, memory_order_acquire);
	struct lease *lease;

	if (last.conn != conn || last.changes != now) {
		lock_take(&table_lock);
		lease = find_locked(conn);
		last.state = LEASE_UNKNOWN;
		if (lease != NULL) {
			last.state = lease->open ? LEASE_OPEN : LEASE_IDLE;
		}
		lock_drop(&table_lock);
		last.conn = conn;
		last.lease = lease;
		last.changes = now;
	}
	*entry = last.lease;
	return last.state;
}

void lease_reclaim(struct lease *lease)
{
	lock_take(&table_lock);
	lease->finished = false;
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

	lock_take(&table_lock);
	stale = find_stale_locked(conn) != NULL;
	lock_drop(&table_lock);
	return stale;
}

void lease_set_backend(struct lease *lease, int backend_pid)
{
	lock_take(&table_lock);
	lease->backend_pid = backend_pid;
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

static size_t count_own_locked(void)
{
	size_t n = 0;

	for (const struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		n += is_own_locked(lease);
	}
	return n;
}

struct lease *lease_snapshot(size_t *count, struct lease_totals *totals)
{
	struct lease *copies = NULL;
	size_t n = 0;

	lock_take(&table_lock);
	*totals = sums;
	*count = count_own_locked();
	if (*count > 0) {
		copies = mmap(NULL, *count * sizeof(*copies), PROT_READ | PROT_WRITE,
		              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	if (copies == MAP_FAILED) {
		copies = NULL;
	}
	for (const struct lease *lease = table; copies != NULL && lease != NULL;
	     lease = lease->hh.next) {
		if (is_own_locked(lease)) {
			copy_out(&copies[n++], lease);
		}
	}
	lock_drop(&table_lock);
	if (copies != NULL) {
		sort_items(copies, n, sizeof(*copies), compare_age);
	}
	return copies;
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

static void mark_crossed(void)
{
	for (struct lease *lease = table; lease != NULL; lease = lease->hh.next) {
		if (lease->open) {
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
void lease_fork_child(void (*each)(struct lease *lease))
{
	struct lease *lease;
	struct lease *next;

	lock_drop(&table_lock);
	self_renew();
	sums = (struct lease_totals){0};
	mark_crossed();
	HASH_ITER (hh, table, lease, next) {
		if (!lease->open) {
			take_out(lease);
			each(lease);
		}
	}
}
