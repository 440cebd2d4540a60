/* SPDX-License-Identifier: PostgreSQL */
/* What the program does on a leased connection. */
#include "trace/lease/activity.h"

#include <string.h>

#include "sql/redact_statement.h"

/* How often a reader tries again while a statement is being written. */
#define READINGS 8

/*
 * Each word is stored with release and loaded with acquire: a reader who has seen a word of a
 * new statement also sees that the turn has changed. No fences, which ThreadSanitizer does not
 * follow; on common machines these are plain stores and loads.
 */
void lease_note_statement(struct lease_activity *activity, const char *text)
{
	/* Already odd if a fork came in the middle: the child has no other writer. */
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

void lease_read_statement(const struct lease_activity *activity,
                          char statement[LEASE_STATEMENT_MAX])
{
	uint64_t noted[LEASE_NOTED_BYTES / sizeof(uint64_t)];
	const char *text = (const char *)noted;

	statement[0] = '\0';
	for (int i = 0; i < READINGS; i++) {
		uint_fast32_t before =
			atomic_load_explicit(&activity->turn, memory_order_acquire);

		for (size_t j = 0; j < LEASE_NOTED_BYTES / sizeof(uint64_t); j++) {
			noted[j] =
				atomic_load_explicit(&activity->noted[j], memory_order_acquire);
		}
		if (before % 2 == 0 &&
		    before == atomic_load_explicit(&activity->turn, memory_order_relaxed)) {
			redact_statement(text,
			                 strnlen(text, sizeof(noted)) == sizeof(noted) - 1,
			                 statement, LEASE_STATEMENT_MAX);
			return;
		}
	}
}

void lease_forget_statement(struct lease_activity *activity)
{
	uint_fast32_t turn = atomic_load_explicit(&activity->turn, memory_order_relaxed) | 1;

	atomic_store_explicit(&activity->turn, turn, memory_order_relaxed);
	for (size_t i = 0; i < LEASE_NOTED_BYTES / sizeof(uint64_t); i++) {
		atomic_store_explicit(&activity->noted[i], 0, memory_order_release);
	}
	atomic_store_explicit(&activity->turn, turn + 1, memory_order_release);
}

void lease_clear_activity(struct lease_activity *activity)
{
	lease_forget_statement(activity);
	atomic_store_explicit(&activity->transaction, LEASE_TRANSACTION_IDLE,
	                      memory_order_relaxed);
	atomic_store_explicit(&activity->query_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&activity->transaction_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&activity->used_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&activity->used_at, 0, memory_order_relaxed);
	atomic_store_explicit(&activity->orphaned, false, memory_order_relaxed);
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
