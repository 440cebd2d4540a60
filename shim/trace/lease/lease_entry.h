/* SPDX-License-Identifier: PostgreSQL */
/*
 * struct lease: what the shim knows of one PGconn and of the lease on it.
 *
 * It is an entry of the lease table (lease_table.h), and is also copied, for reports
 * (snapshot.h).
 */
#ifndef PQPOOL_TRACE_LEASE_LEASE_ENTRY_H
#define PQPOOL_TRACE_LEASE_LEASE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text/hash.h"
#include "trace/lease/activity.h"
#include "trace/status/status.h"

struct lease {
	/* Set by the owner before lease_register, constant afterwards. */
	const void *conn;          /* the PGconn; never dereferenced */
	const char *pool;          /* "user@host:port/db", or why it is not pooled; owner's */
	bool pool_plain;           /* `pool` needs no quotes in the log */
	bool pooled;               /* false = passed through, tracked for the report only */
	uint64_t session;          /* number of the session in this process */
	uint32_t row;              /* on the status page, 0 = none; freed by lease_forget */
	struct status_holds holds; /* status.c's */
	struct lease_activity *activity; /* the owner's; NULL = not noted */

	/* Guarded by LOCK_LEASE; meaningful while open, or pending as far as known. */
	bool open;
	bool pending;      /* the program is connecting in steps */
	bool placed;       /* and holds one of the pool's slots meanwhile */
	bool crossed_fork; /* a fork happened while it was open: never pool it again */
	uint64_t id;       /* number of the lease, from 1; a forked child counts on */
	int backend_pid;
	pid_t pid;          /* the process that began it */
	pid_t tid;          /* the thread that began it */
	uint64_t began_ns;  /* CLOCK_MONOTONIC */
	uint64_t began_us;  /* wall clock */
	uint64_t wait_ns;   /* from the program's call to the lease */
	uint32_t stack;     /* stack.h; 0 = unknown */
	bool begun_at_exit; /* by an exit handler, see program_end.h */
	bool named;         /* lease_name_overdue has returned it */

	/* Guarded by LOCK_LEASE; meaningful while not open. */
	bool finished;      /* the program gave it back: its pointer is stale */
	uint32_t end_stack; /* where; 0 = unknown */
	uint32_t misuses;   /* of the stale pointer, so far */

	/* Only in copies. */
	uint64_t ended_ns;
	bool at_exit;    /* only the program's end released it */
	bool suppressed; /* report.c's */
	bool kept;       /* kept.c's */
	/* Only in copies of what was open: the activity, by lease_read_activity. */
	enum lease_transaction transaction;
	uint64_t used_ns;
	uint64_t used_at;
	bool orphaned;
	bool timed; /* lease_times knows: */
	int64_t query_ns;
	int64_t transaction_ns;
	char statement[LEASE_STATEMENT_MAX]; /* last one, redacted; "" = none */

	UT_hash_handle hh; /* lease_table.c's */
};

/*
 * Totals since the process began to use libpq, of the leases that it began itself: at any
 * time begun = ended + open, so an open lease that was forgotten counts as ended.
 */
struct lease_totals {
	uint64_t begun;
	uint64_t ended;
};

#endif
