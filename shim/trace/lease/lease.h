/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who holds what: the one table from a PGconn to the lease on it.
 *
 * An entry exists as long as the PGconn is ours to look after, leased or idle,
 * and is embedded in the object of whoever owns the PGconn, so that opening and
 * ending a lease allocate nothing. A PGconn without an entry is a stranger: every
 * caller passes it through untouched.
 *
 *            lease_register        lease_begin
 *   (none) ───────────────► idle ───────────────► open
 *      ▲     lease_forget     │ ◄───────────────    │
 *      └──────────────────────┘      lease_end      │
 *      └────────────────────────────────────────────┘ lease_forget
 *
 * What is done on a leased connection is noted by the thread that uses it, without a
 * lock (struct lease_activity), and read whenever somebody asks: the PGconn itself is
 * never looked into, for it is that thread's, or may have been freed past us.
 *
 * Locks: LOCK_LEASE, of the connection's shard (lease_table.h), taken by every function here
 * and held for a hash look-up at most; of all shards by what is about all leases. Fork: see
 * lease_fork_*; a lease remembers the process that began it and lease_crossed() tells that the
 * caller is another one.
 */
#ifndef PQPOOL_TRACE_LEASE_LEASE_H
#define PQPOOL_TRACE_LEASE_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cold.h"
#include "base/text/hash.h"

/* libpq's PQtransactionStatus, as far as it was seen. */
enum lease_transaction {
	LEASE_TRANSACTION_UNKNOWN, /* broken, or nobody noted it */
	LEASE_TRANSACTION_IDLE,
	LEASE_TRANSACTION_ACTIVE, /* a statement is under way */
	LEASE_TRANSACTION_OPEN,   /* idle in a transaction */
	LEASE_TRANSACTION_FAILED,
	LEASE_TRANSACTIONS
};

#define LEASE_STATEMENT_MAX 96 /* of what is shown, with its NUL */
#define LEASE_NOTED_BYTES   128

/*
 * What the thread that uses a connection does on it. One writer at a time, any number of
 * readers: `turn` is odd while the statement is being written, and another one afterwards.
 *
 * `noted` is the beginning of the statement as it was sent, for noting it has to be quick;
 * it may hold what nobody is to see, and is made presentable (sql/redact_statement.h) when a
 * copy of the lease is made. There is no other way out for it.
 */
struct lease_activity {
	atomic_uint_fast32_t turn;
	atomic_int transaction;    /* enum lease_transaction */
	_Atomic(uint64_t) used_ns; /* of the last statement, CLOCK_MONOTONIC_COARSE; 0 = none */
	_Atomic(uint64_t) used_at; /* the number of the process's newest lease by then */
	atomic_bool orphaned;      /* its thread has ended, and nobody used it since */
	_Atomic(uint64_t) noted[LEASE_NOTED_BYTES / sizeof(uint64_t)];
};

struct lease {
	/* Set by the owner before lease_register, constant afterwards. */
	const void *conn; /* the PGconn; never looked into here */
	const char *pool; /* "user@host:port/db", or why it is not pooled; owner's */
	bool pool_plain;  /* it needs no quotes in the log */
	bool pooled;      /* false = passed through, tracked for the report only */
	uint64_t session; /* number of the session in this process */
	uint32_t row;     /* on the status page, 0 = none; taken back by lease_forget */
	struct lease_activity *activity; /* the owner's; NULL = nobody notes it */

	/* Guarded by LOCK_LEASE; meaningful while open, or pending as far as it goes. */
	bool open;
	bool pending;      /* the program connects in steps and has not come to the end */
	bool placed;       /* and has a session's place in the pool meanwhile */
	bool crossed_fork; /* a fork happened while it was open: never pool it again */
	uint64_t id;       /* number of the lease, from 1; a forked child counts on */
	int backend_pid;
	pid_t pid;          /* the process that began it */
	pid_t tid;          /* the thread that began it */
	uint64_t began_ns;  /* CLOCK_MONOTONIC */
	uint64_t began_us;  /* wall clock, for people */
	uint64_t wait_ns;   /* from the program's call to the lease */
	uint32_t stack;     /* stack.h; 0 = unknown */
	bool begun_at_exit; /* by an exit handler, see program_end.h */
	bool named;         /* lease_name_overdue has handed it out */

	/* Guarded by LOCK_LEASE; meaningful while not open. */
	bool finished;      /* the program gave it back: its pointer is stale */
	uint32_t end_stack; /* where; 0 = unknown */
	uint32_t misuses;   /* of the stale pointer, so far */

	/* Only in copies: when it was released, and whether by the program's end alone. */
	uint64_t ended_ns;
	bool at_exit;
	bool suppressed; /* report.c's */
	bool kept;       /* kept.c's */
	/* Only in copies of open leases: what the activity said. */
	enum lease_transaction transaction;
	uint64_t used_ns;
	uint64_t used_at;
	bool orphaned;
	char statement[LEASE_STATEMENT_MAX]; /* first words of the last one; "" = none */

	UT_hash_handle hh; /* lease.c's */
};

/* Where and how a lease began. */
struct lease_origin {
	int backend_pid;
	uint64_t now_ns;
	uint64_t wait_ns;
	uint32_t stack;
	bool at_exit;
};

/* What is known of a PGconn. */
enum lease_state { LEASE_UNKNOWN, LEASE_IDLE, LEASE_OPEN };

/*
 * Makes `lease` (zeroed but for the owner's fields) findable by lease->conn.
 * An entry of the same address that is still there belongs to a PGconn that was
 * freed behind our back: it is taken out first and returned in `*vanished` for
 * its owner to write off (NULL if there was none). False: out of memory.
 */
bool lease_register(struct lease *lease, struct lease **vanished);

/* Takes the entry out, open or idle. The memory is the owner's again. */
void lease_forget(struct lease *lease);

/* Opens a lease by the calling thread; returns its number. */
uint64_t lease_begin(struct lease *lease, const struct lease_origin *origin);

/*
 * Ends the lease on `conn` if one is open: exactly one of several callers gets
 * LEASE_OPEN. `*entry` is set to the registered entry (NULL if LEASE_UNKNOWN) and
 * `*ended`, if not NULL, to a copy of it as it was while open, with its end, which is
 * `now_ns`. `end_stack` is where it is given back, for whoever uses it after that.
 */
enum lease_state lease_end(const void *conn, uint64_t now_ns, uint32_t end_stack,
                           struct lease **entry, struct lease *ended);

/*
 * Looks `conn` up without changing anything. The entry stays valid while the
 * program keeps to libpq's rule of one thread at a time per connection. Cheap where
 * the thread asks for the same connection again and no lease has begun or ended since.
 */
enum lease_state lease_find(const void *conn, struct lease **entry);

/*
 * Notes what is sent, "" for nothing any more. By the thread that uses the connection; no
 * lock, and some 20 ns.
 */
void lease_note_statement(struct lease_activity *activity, const char *text);

/* Nothing was done yet. */
void lease_clear_activity(struct lease_activity *activity);

/* The number of the lease that began last. */
uint64_t lease_newest(void);

/* The connection is used: a statement begins on it, or has ended. By the same thread; some 10
 * ns. */
void lease_note_use(struct lease_activity *activity);

/* When the program last did something with an open lease, if only taking it. CLOCK_MONOTONIC */
uint64_t lease_last_used(const struct lease *lease);

/* The calling thread ends, and the process goes on: what it holds is orphaned. */
COLD void lease_note_thread_end(void);

static inline void lease_note_transaction(struct lease_activity *activity,
                                          enum lease_transaction transaction)
{
	atomic_store_explicit(&activity->transaction, (int)transaction, memory_order_relaxed);
}

/*
 * Asks the activity of a copy's lease for the copy, as lease_snapshot and lease_oldest do.
 * lease_end leaves it to its caller, as it is not for nothing.
 */
COLD void lease_read_activity(struct lease *copy);

/* "idle", "active", "in_transaction", "failed", "unknown": for the log and for people. */
const char *lease_transaction_name(enum lease_transaction transaction);

/*
 * A lease that lease_end has ended was released by nothing but the program's end: keeps
 * `ended`, a copy of it, for the report, to whose end its label has to last; no
 * more than LEASE_LATE_MAX of them. Nothing is allocated by malloc.
 */
#define LEASE_LATE_MAX 4096
COLD void lease_keep_late(const struct lease *ended);

/*
 * The calling thread takes another lease, and not at its end: what it released with its
 * interpreter's was released in time, for the program has begun another one (as Apache does
 * with mod_perl at a restart).
 */
void lease_forget_late(void);

/*
 * The program has the idle connection in hand, though not on a lease yet: it connects in
 * steps, by the calling thread. `placed` is as for lease_place. lease_begin and lease_forget
 * end that, and lease_fail.
 */
void lease_pend(struct lease *lease, const struct lease_origin *origin, bool placed);
void lease_fail(struct lease *lease);

/* Notes whether a pending one has a place in the pool. */
void lease_place(struct lease *lease, bool placed);

/*
 * True if `conn` was given back and belongs to nobody now: whoever uses it has kept a
 * stale pointer. `*last` gets a copy of the lease that was on it, with this misuse counted.
 */
bool lease_misused(const void *conn, struct lease *last);

/* The same question, without counting. */
COLD bool lease_is_stale(const void *conn);

/* Notes a new backend under an open lease (the program called PQreset). */
void lease_set_backend(struct lease *lease, int backend_pid);

/*
 * Totals since the process began to use libpq, of the leases it began itself: at
 * any time begun = ended + open, so a forgotten open lease counts as ended.
 */
struct lease_totals {
	uint64_t begun;
	uint64_t ended;
};

/*
 * Copies the open leases that this process began, oldest first, into an array for
 * lease_snapshot_free; `*count` gets their number. NULL if there are none or memory
 * is short (then `*count` still tells how many there are). malloc is not used: the
 * program may have been interrupted in the middle of it.
 */
struct lease *lease_snapshot(size_t *count, struct lease_totals *totals);

/* The same, and those pending that are placed, which have no number: all who have sessions. */
struct lease *lease_holders(size_t *count, struct lease_totals *totals);

/*
 * The same, and those that are pending, which get their numbers here, and behind them what
 * lease_keep_late kept: all that a report is about.
 */
struct lease *lease_leaks(size_t *count, struct lease_totals *totals);

void lease_snapshot_free(struct lease *snapshot, size_t count);

/* Up to `max` entries that are idle into `out`; returns how many. No malloc. */
size_t lease_idle(struct lease **out, size_t max);

/*
 * The oldest open leases on the pool named by this very label pointer, at most
 * `max` of them into `out`; returns how many. Only those this process began.
 */
size_t lease_oldest(const char *pool, struct lease *out, size_t max);

/* No lease; as a time, never. */
#define LEASE_NONE UINT64_MAX

/*
 * Copies up to `max` open leases of this process that were last used, or else begun, at
 * `before_ns` or earlier, each once in its life, into `out`; returns how many. `*oldest_ns`
 * gets that moment of the first one that is still to come, LEASE_NONE if there is none. If
 * fewer than `max` are returned no other one is due.
 */
COLD size_t lease_name_overdue(uint64_t before_ns, struct lease *out, size_t max,
                               uint64_t *oldest_ns);

/* Around fork(): take the lock; drop it. */
void lease_fork_prepare(void);
/* Marks every open lease as having crossed a fork, then drops the lock. */
void lease_fork_parent(void);
/*
 * Child: marks them as well and sets the totals to nothing; takes out every entry
 * that was idle, unless `keep` says otherwise of it, and hands it to `each`, which closes
 * its descriptor and may free it.
 */
void lease_fork_child(bool (*keep)(struct lease *lease), void (*each)(struct lease *lease));

#endif
