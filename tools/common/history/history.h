/* SPDX-License-Identifier: PostgreSQL */
/*
 * Everything that happened, as logs tell it: each lease, session, refused connect and mark, of
 * all processes, in compact records. What is open or leaked at the end is in the list of leases
 * that it is built over (common/leases/), whose words and places it points into.
 *
 * Its size is that of the number of leases and sessions: about 150 bytes each.
 *
 * No locks, no threads. If memory runs out, the tool ends. It is never freed: it lives as long
 * as the tool.
 */
#ifndef PQPOOL_TOOLS_COMMON_HISTORY_HISTORY_H
#define PQPOOL_TOOLS_COMMON_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text/hash.h"
#include "common/leases/lease_list.h"
#include "common/log/log_files.h"

#define HISTORY_UNKNOWN UINT64_MAX /* of a time or a duration */

/* All numbers are less: what a double holds exactly, as readers of JSON have it. */
#define HISTORY_LARGEST (UINT64_C(1) << 53)

/* The rest share one: whoever writes logs chooses how many there are. */
#define HISTORY_POOLS 200

/* Of one kind; further ones are counted. */
#define HISTORY_MARKS 1000

/* How many sessions a pool may have, and how long a connect waits for one. */
struct history_settings {
	bool known;
	bool shared;          /* the sessions are the keeper's, for all processes */
	uint64_t size;        /* 0 = no limit */
	int64_t max_overflow; /* -1 = no limit */
	uint64_t timeout_us;
};

/* A process of the lease list, by its number, from 1 on: it outlives the list's. */
struct history_process {
	int64_t pid;
	const char *program;
	uint64_t first_us; /* wall clock, as all `_us` that are no durations */
	uint64_t last_us;
	struct history_settings settings; /* its own, or else those that its program had last */
};

enum history_end {
	HISTORY_RELEASED,
	HISTORY_LEAKED,
	HISTORY_KEPT,    /* to the end, and no leak; or PQPOOL_SUPPRESS names it */
	HISTORY_AT_EXIT, /* a leak, which an exit handler released */
	HISTORY_GIVEN_AWAY,
	HISTORY_OPEN /* where the log ends */
};

struct history_lease {
	size_t process; /* its number */
	size_t pool;
	uint64_t lease; /* its number in the process */
	uint64_t session;
	int64_t thread;
	const struct place *place; /* NULL = unknown */
	const char *script;        /* the line of a script's that took it; NULL = none did */
	uint64_t acquired_us;
	uint64_t wait_us;        /* from the program's call on; HISTORY_UNKNOWN */
	uint64_t queued_us;      /* of that, in line for a turn */
	uint64_t hold_us;        /* if open: as far as is known */
	uint64_t query_us;       /* a query was running; HISTORY_UNKNOWN */
	uint64_t transaction_us; /* idle in a transaction; HISTORY_UNKNOWN */
	enum history_end end;
	bool opened;             /* for it the session was opened */
	bool dropped;            /* with it the session was closed */
	const char *statement;   /* NULL = unknown, as the next */
	const char *transaction; /* its state at the end */
};

struct history_session {
	size_t process;
	size_t pool;
	uint64_t session;
	int64_t backend;
	uint64_t opened_us; /* HISTORY_UNKNOWN: before the log */
	uint64_t took_us;   /* HISTORY_UNKNOWN, as the next: not closed */
	uint64_t closed_us;
	const char *reason; /* it was closed for; NULL */
	bool borrowed;      /* the keeper handed it over */
	bool used;          /* a lease has been on it */
	uint64_t leases;
};

/* A connect that got none in time. */
struct history_timeout {
	size_t process;
	size_t pool;
	uint64_t time_us;
	uint64_t wait_us;
};

enum history_mark_kind {
	MARK_SERVER_RESTART,
	MARK_DEADLOCK,
	MARK_TIMEOUT,
	MARK_NEAR_LIMIT,
	MARK_MISUSE,
	MARK_TURN_LOST,
	MARK_LOST_LINES,
	MARK_ROTATE_FAILED,
	MARK_KINDS
};

struct history_mark {
	uint64_t time_us;
	size_t pool; /* HISTORY_NO_POOL */
	char *text;
};

#define HISTORY_NO_POOL SIZE_MAX

struct history_marks {
	struct history_mark *all;
	size_t count;
	uint64_t left_out;
};

/* Of all processes that use it. */
struct history_pool {
	size_t number;
	const char *name;
	bool pooled;         /* false: `name` says why not */
	uint64_t limit_seen; /* the largest that a line tells; 0 = none */
	uint64_t acquired;
	uint64_t waits;
	UT_hash_handle hh; /* history_lines.c's */
};

struct history {
	struct lease_list held;
	struct history_process *processes; /* [0] is nobody's */
	size_t process_count;
	struct history_pool *pools[HISTORY_POOLS + 1];
	size_t pool_count;
	struct history_lease *leases;
	size_t lease_count;
	struct history_session *sessions;
	size_t session_count;
	struct history_timeout *timeouts;
	size_t timeout_count;
	struct history_marks marks[MARK_KINDS];
	uint64_t from_us; /* first and last event; 0 = there was none */
	uint64_t to_us;
	uint64_t acquired;
	uint64_t released;
	uint64_t opened;
	uint64_t borrowed;
	uint64_t closed;
	uint64_t waits;
	uint64_t lost_lines;

	struct history_pool *pools_by_name; /* these are history_lines.c's */
	struct history_open *open;          /* leases and sessions */
	struct history_config *configs;
};

/*
 * Reads the logs that are named into the history, which begins zeroed. False, after a warning,
 * if one cannot be read. Owner of `files`: the caller (log_files_free), either way.
 */
bool history_read(struct history *history, struct log_files *files, char *const *names,
                  size_t count);

/* Whether the lease is a leak. */
bool history_is_leak(const struct history_lease *lease);

#endif
