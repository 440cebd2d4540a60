/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the program does on a leased connection: its last statement, the transaction's state,
 * how long it was in it, the time of the last use.
 *
 * The thread that uses the connection writes it without a lock; any thread may read it. The
 * PGconn itself is never looked into: it belongs to that thread, or was freed without our
 * notice.
 */
#ifndef PQPOOL_TRACE_LEASE_ACTIVITY_H
#define PQPOOL_TRACE_LEASE_ACTIVITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* libpq's PQtransactionStatus, as the shim last saw it. */
enum lease_transaction {
	LEASE_TRANSACTION_UNKNOWN, /* broken, or never noted */
	LEASE_TRANSACTION_IDLE,
	LEASE_TRANSACTION_ACTIVE, /* a statement is running */
	LEASE_TRANSACTION_OPEN,   /* idle in a transaction */
	LEASE_TRANSACTION_FAILED,
	LEASE_TRANSACTIONS
};

#define LEASE_STATEMENT_MAX 96 /* bytes of a statement that are shown, with the NUL */
#define LEASE_NOTED_BYTES   128

/*
 * One writer, any number of readers: `turn` is odd while a statement is being written, and
 * has another value afterwards. `noted` is the beginning of the statement as it was sent and
 * may hold secrets; lease_read_statement, which redacts it, is the only way to read it.
 */
struct lease_activity {
	atomic_uint_fast32_t turn;
	atomic_int transaction;    /* enum lease_transaction */
	_Atomic(uint64_t) used_ns; /* of the last statement, CLOCK_MONOTONIC; 0 = none */
	_Atomic(uint64_t) used_at; /* number of the process's newest lease at that time */
	atomic_bool orphaned;      /* its thread has ended, and no other used it since */
	/*
	 * How long a statement was running, and how long it was idle in a transaction. Each is
	 * the sum so far; while it lasts, less the time at which that began, which makes it
	 * negative. So a reader needs one word, and never has half of it.
	 */
	_Atomic(int64_t) query_ns;
	_Atomic(int64_t) transaction_ns;
	_Atomic(uint64_t) noted[LEASE_NOTED_BYTES / sizeof(uint64_t)];
};

/* Notes the statement that is sent. By the using thread; about 20 ns. */
void lease_note_statement(struct lease_activity *activity, const char *text);

/* Nothing of it is left in memory. Likewise. */
void lease_forget_statement(struct lease_activity *activity);

/* activity.h's own: what is timed begins, goes on, or ends. */
static inline void lease_time(_Atomic(int64_t) *time_ns, bool lasts, uint64_t now_ns)
{
	int64_t sum = atomic_load_explicit(time_ns, memory_order_relaxed);

	if ((sum < 0) != lasts) {
		sum += lasts ? -(int64_t)now_ns : (int64_t)now_ns;
		atomic_store_explicit(time_ns, sum, memory_order_relaxed);
	}
}

/* The state since `now_ns`, CLOCK_MONOTONIC. By the using thread. */
static inline void lease_note_transaction(struct lease_activity *activity,
                                          enum lease_transaction transaction, uint64_t now_ns)
{
	lease_time(&activity->query_ns, transaction == LEASE_TRANSACTION_ACTIVE, now_ns);
	lease_time(&activity->transaction_ns,
	           transaction == LEASE_TRANSACTION_OPEN ||
	                   transaction == LEASE_TRANSACTION_FAILED,
	           now_ns);
	atomic_store_explicit(&activity->transaction, (int)transaction, memory_order_relaxed);
}

static inline enum lease_transaction
lease_noted_transaction(const struct lease_activity *activity)
{
	return (enum lease_transaction)atomic_load_explicit(&activity->transaction,
	                                                    memory_order_relaxed);
}

/* As at the start of a lease. */
void lease_clear_activity(struct lease_activity *activity);

/*
 * The last statement, redacted (sql/redact_statement.h); "" also if it keeps changing while it
 * is read, or a fork left it half written.
 */
void lease_read_statement(const struct lease_activity *activity,
                          char statement[LEASE_STATEMENT_MAX]);

/* "idle", "active", "in_transaction", "failed", "unknown". */
const char *lease_transaction_name(enum lease_transaction transaction);

#endif
