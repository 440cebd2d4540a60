/* SPDX-License-Identifier: PostgreSQL */
/* Copies of leases for reports, and the leases that only the program's end released. */
#include "trace/lease/snapshot.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text/sort.h"
#include "base/thread/pid.h"
#include "trace/lease/lease_table.h"

/* Guarded by the table's locks; the count is atomic, to be compared with 0 without them. */
static struct lease *late; /* LEASE_LATE_MAX of them, mapped with the first */
static atomic_size_t late_count;

static struct lease *map(size_t count)
{
	void *memory =
		count > 0 ? mmap(NULL, count * sizeof(struct lease), PROT_READ | PROT_WRITE,
	                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
			  : MAP_FAILED;

	return memory != MAP_FAILED ? memory : NULL;
}

void lease_copy(struct lease *to, const struct lease *from)
{
	*to = *from;
	memset(&to->hh, 0, sizeof(to->hh));
}

void lease_read_times(struct lease *copy)
{
	const struct lease_activity *activity = copy->activity;

	copy->timed = activity != NULL;
	if (activity != NULL) {
		copy->query_ns =
			atomic_load_explicit(&activity->query_ns, memory_order_relaxed);
		copy->transaction_ns =
			atomic_load_explicit(&activity->transaction_ns, memory_order_relaxed);
	}
}

/* Of a time as struct lease_activity has it; `until_ns` may be older than its beginning. */
static uint64_t time_until(int64_t time_ns, uint64_t until_ns)
{
	if (time_ns >= 0) {
		return (uint64_t)time_ns;
	}
	time_ns += (int64_t)until_ns;
	return time_ns > 0 ? (uint64_t)time_ns : 0;
}

bool lease_times(const struct lease *copy, uint64_t now_ns, uint64_t *query_ns,
                 uint64_t *transaction_ns)
{
	uint64_t until_ns = copy->ended_ns != 0 ? copy->ended_ns : now_ns;

	if (!copy->timed || copy->crossed_fork) {
		return false;
	}
	*query_ns = time_until(copy->query_ns, until_ns);
	*transaction_ns = time_until(copy->transaction_ns, until_ns);
	return true;
}

void lease_read_activity(struct lease *copy)
{
	const struct lease_activity *activity = copy->activity;

	lease_read_times(copy);
	copy->transaction = LEASE_TRANSACTION_UNKNOWN;
	copy->statement[0] = '\0';
	copy->used_ns = 0;
	copy->used_at = 0;
	copy->orphaned = false;
	if (activity == NULL) {
		return;
	}
	copy->transaction = lease_noted_transaction(activity);
	copy->used_ns = atomic_load_explicit(&activity->used_ns, memory_order_relaxed);
	copy->used_at = atomic_load_explicit(&activity->used_at, memory_order_relaxed);
	copy->orphaned = atomic_load_explicit(&activity->orphaned, memory_order_relaxed);
	lease_read_statement(activity, copy->statement);
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

static bool is_wanted_locked(const struct lease *lease, bool for_report)
{
	return lease->pid == pid_self() &&
	       (lease->open || (lease->pending && (for_report || lease->placed)));
}

/* `copies` NULL: counts them only. */
static size_t copy_locked(struct lease *copies, bool for_report)
{
	size_t n = 0;

	for (const struct lease *lease = lease_table_first(); lease != NULL;
	     lease = lease_table_next(lease)) {
		if (!is_wanted_locked(lease, for_report)) {
			continue;
		}
		if (copies != NULL) {
			lease_copy(&copies[n], lease);
			if (!lease->open) {
				copies[n].id = for_report ? lease_next_id() : 0;
				copies[n].activity = NULL; /* of the lease before */
			}
			lease_read_activity(&copies[n]);
		}
		n++;
	}
	return n;
}

static struct lease *take(bool for_report, size_t *count, struct lease_totals *totals)
{
	struct lease *copies;
	size_t kept;
	size_t n;

	lease_table_lock();
	*totals = lease_table_totals();
	kept = for_report ? atomic_load(&late_count) : 0;
	n = copy_locked(NULL, for_report);
	*count = n + kept;
	copies = map(*count);
	if (copies != NULL) {
		copy_locked(copies, for_report);
		if (kept > 0) {
			memcpy(copies + n, late, kept * sizeof(*copies));
		}
	}
	lease_table_unlock();
	if (copies != NULL) {
		sort_items(copies, n, sizeof(*copies), by_age);
	}
	return copies;
}

struct lease *lease_holders(size_t *count, struct lease_totals *totals)
{
	return take(false, count, totals);
}

struct lease *lease_leaks(size_t *count, struct lease_totals *totals)
{
	return take(true, count, totals);
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

/* When the program last used an open lease, if only by taking it. CLOCK_MONOTONIC */
static uint64_t last_used_ns(const struct lease *lease)
{
	uint64_t used_ns =
		lease->activity != NULL
			? atomic_load_explicit(&lease->activity->used_ns, memory_order_relaxed)
			: 0;

	return used_ns > lease->began_ns ? used_ns : lease->began_ns;
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

		if (lease->named || !lease->open || lease->pid != pid_self()) {
			continue;
		}
		used_ns = last_used_ns(lease);
		if (used_ns <= before_ns && n < max) {
			lease->named = true;
			lease_copy(&out[n], lease);
			lease_read_activity(&out[n++]);
		} else if (used_ns < *oldest_ns) {
			*oldest_ns = used_ns;
		}
	}
	lease_table_unlock();
	return n;
}

/* ---- leases released at the program's end ---- */

void lease_keep_late(const struct lease *ended)
{
	size_t count;

	lease_table_lock();
	if (late == NULL) {
		late = map(LEASE_LATE_MAX);
	}
	count = atomic_load(&late_count);
	if (late != NULL && count < LEASE_LATE_MAX) {
		late[count] = *ended;
		late[count].at_exit = true;
		late[count].activity = NULL;
		atomic_store(&late_count, count + 1);
	}
	lease_table_unlock();
}

static COLD void forget(pid_t tid)
{
	size_t left = 0;

	lease_table_lock();
	for (size_t i = 0; i < late_count; i++) {
		if (late[i].tid != tid) {
			memmove(&late[left++], &late[i], sizeof(*late));
		}
	}
	atomic_store(&late_count, left);
	lease_table_unlock();
}

void lease_forget_late(void)
{
	if (atomic_load_explicit(&late_count, memory_order_relaxed) > 0) {
		forget(tid_self());
	}
}

void lease_late_fork_child(void)
{
	atomic_store(&late_count, 0);
}
