/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a lease is being used for: written by the thread that uses it, without a lock, and
 * read by whoever asks. Declared in lease.h, for it is a part of a lease.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread/pid.h"
#include "sql/redact_statement.h"
#include "trace/lease/lease.h"
#include "trace/lease/lease_table.h"

/* How often a reader tries again while a statement is being written. */
#define READINGS 8

/*
 * The words are released one by one and acquired one by one: a reader who has seen a word
 * of a new statement sees the turn move, too. No fences, which the thread sanitizer does
 * not follow; on common machines all of this is plain stores and loads.
 */
void lease_note_statement(struct lease_activity *activity, const char *text)
{
	/* Odd already, if a fork came in the middle: the child has no other writer. */
	uint_fast32_t turn = atomic_load_explicit(&activity->turn, memory_order_relaxed) | 1;
	size_t left = strnlen(text, LEASE_NOTED_BYTES - 1);
	uint64_t word;
	size_t i = 0;

	atomic_store_explicit(&activity->turn, turn, memory_order_relaxed);
	for (; left >= sizeof(word); left -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		atomic_store_explicit(&activity->noted[i++], word, memory_order_release);
		text += sizeof(word);
	}
	word = 0;
	memcpy(&word, text, left);
	atomic_store_explicit(&activity->noted[i], word, memory_order_release);
	atomic_store_explicit(&activity->turn, turn + 1, memory_order_release);
}

/* Empty if it is being written all the time, or was by a thread that a fork left behind. */
static void read_statement(const struct lease_activity *activity, char *statement)
{
	uint64_t noted[LEASE_NOTED_BYTES / sizeof(uint64_t)];

	statement[0] = '\0';
	for (int i = 0; i < READINGS; i++) {
		uint_fast32_t before =
			atomic_load_explicit(&activity->turn, memory_order_acquire);
		uint_fast32_t after;

		for (size_t j = 0; j < LEASE_NOTED_BYTES / sizeof(uint64_t); j++) {
			noted[j] =
				atomic_load_explicit(&activity->noted[j], memory_order_acquire);
		}
		after = atomic_load_explicit(&activity->turn, memory_order_relaxed);
		if (before == after && before % 2 == 0) {
			const char *text = (const char *)noted;

			headline(text, strnlen(text, sizeof(noted)) == sizeof(noted) - 1,
			         statement, LEASE_STATEMENT_MAX);
			return;
		}
	}
}

void lease_clear_activity(struct lease_activity *activity)
{
	lease_note_statement(activity, "");
	lease_note_transaction(activity, LEASE_TRANSACTION_IDLE);
	atomic_store_explicit(&activity->used_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&activity->used_at, 0, memory_order_relaxed);
	atomic_store_explicit(&activity->orphaned, false, memory_order_relaxed);
}

void lease_note_use(struct lease_activity *activity)
{
	atomic_store_explicit(&activity->used_ns, clock_coarse_ns(), memory_order_relaxed);
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

uint64_t lease_last_used(const struct lease *lease)
{
	uint64_t used_ns =
		lease->activity != NULL
			? atomic_load_explicit(&lease->activity->used_ns, memory_order_relaxed)
			: 0;

	return used_ns > lease->began_ns ? used_ns : lease->began_ns;
}

void lease_read_activity(struct lease *copy)
{
	copy->transaction = LEASE_TRANSACTION_UNKNOWN;
	copy->statement[0] = '\0';
	copy->used_ns = 0;
	copy->used_at = 0;
	copy->orphaned = false;
	if (copy->activity == NULL) {
		return;
	}
	copy->transaction = (enum lease_transaction)atomic_load_explicit(
		&copy->activity->transaction, memory_order_relaxed);
	copy->used_ns = atomic_load_explicit(&copy->activity->used_ns, memory_order_relaxed);
	copy->used_at = atomic_load_explicit(&copy->activity->used_at, memory_order_relaxed);
	copy->orphaned = atomic_load_explicit(&copy->activity->orphaned, memory_order_relaxed);
	read_statement(copy->activity, copy->statement);
}

const char *lease_transaction_name(enum lease_transaction transaction)
{
	static const char names[LEASE_TRANSACTIONS][16] = {
		[LEASE_TRANSACTION_UNKNOWN] = "unknown",
		[LEASE_TRANSACTION_IDLE] = "idle",
		[LEASE_TRANSACTION_ACTIVE] = "active",
		[LEASE_TRANSACTION_OPEN] = "in_transaction",
		[LEASE_TRANSACTION_FAILED] = "failed",
	};

	return names[transaction];
}
