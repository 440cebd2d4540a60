/* SPDX-License-Identifier: PostgreSQL */
/*
 * The layout of the status page's file: written by status.c, read by the tools, which write
 * three words of it themselves, the orders. page_dir.h says where the files are, whose they
 * are, and how long they stay.
 *
 *   0                     struct status_head
 *   STATUS_POOLS_AT       struct status_pool    [STATUS_POOLS_MAX]
 *   STATUS_SESSIONS_AT    struct status_session [STATUS_SESSIONS_MAX]
 *   STATUS_STACKS_AT      struct status_stack, one behind the other
 *
 * The file is sparse: each area grows by blocks, which exist before the writer touches them;
 * the head tells how far each one goes. What lies beyond reads as zeros or not at all, and
 * zeros are valid: a free row, the end of the stacks.
 *
 * One writer, the process, by plain stores; any number of readers, without a lock. A row's
 * `generation` is odd while it is written, and has another value afterwards. A reader accepts a
 * row if two readings agree and the generation is even. One that stays odd was left half
 * written by a death: it was about to become the program's, or no longer was. Counters, of 8
 * bytes, and the state of a transaction are valid by themselves at any time and do not change
 * the generation.
 *
 * A reader must trust nothing in here: indices, lengths and strings may be anything.
 *
 * Orders (version 3). A tool of the same user's or root's writes a number that was not there,
 * CLOCK_MONOTONIC in nanoseconds, with pwrite(2):
 *
 *   pool.drain, head.drain  no session whose connect began before now is lent again: idle ones
 *                           are closed, leased ones when they are given back. The pool's; that
 *                           of pools that have no row
 *   head.order              look: at every `drain`, and whether a file PAGE_DIR_PAUSED is in
 * the page's directory, in which case new connects wait
 *
 * `drain` is written before `order`. The process looks at `order` at its next pool call, once
 * for each number, and writes into the row which `drain` it has obeyed, and when.
 */
#ifndef PQPOOL_TRACE_STATUS_STATUS_FORMAT_H
#define PQPOOL_TRACE_STATUS_STATUS_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STATUS_MAGIC   "pqpool\x1a\n" /* 8 bytes */
#define STATUS_VERSION 4              /* any other layout has another number */

#define STATUS_POOLS_MAX    1024
#define STATUS_SESSIONS_MAX 8192
#define STATUS_STACKS_BYTES (4U << 20)

#define STATUS_NO_POOL  UINT32_MAX /* a session that is not pooled, or whose pool has no row */
#define STATUS_NO_LIMIT UINT32_MAX

#define STATUS_REASONS      48
#define STATUS_REASON_BYTES 24

/* Strings end with a NUL, and are cut to fit. */
struct status_head {
	char magic[8]; /* written last: the head is whole */
	uint32_t version;
	int32_t pid;
	uint64_t created_us; /* wall clock, microseconds; so are all names in _us of a time */
	uint64_t created_ns; /* CLOCK_MONOTONIC at the same moment; so are all times in _ns */

	uint32_t pools;       /* rows that exist, free ones included */
	uint32_t sessions;    /* likewise */
	uint32_t stack_bytes; /* of whole entries */
	uint32_t pad;

	/*
	 * Counters, since the page was made. A lease of a pool that has a row is counted there
	 * alone, so that threads with pools of their own write to no common place. In version 1
	 * it was counted here, too.
	 */
	uint64_t acquired; /* leases begun */
	uint64_t released; /* and ended; so acquired - released are open */
	uint64_t untold;   /* leases begun that had no row */

	char program[64];
	char config[1536]; /* effective values as logfmt pairs: size=10 max_overflow=20 ... */
	/* Words for the numbers in status_pool.closed: "aged", "ping_failed". */
	char reasons[STATUS_REASONS][STATUS_REASON_BYTES];

	/* Since version 3: a tool's. */
	uint64_t order;
	uint64_t drain;
};

/*
 * Histograms, since version 4: how many took at most status_bucket_ns of their place, and more
 * than that of the place before.
 */
#define STATUS_BUCKETS 12

static inline uint64_t status_bucket_ns(unsigned bucket)
{
	return bucket < STATUS_BUCKETS - 1 ? UINT64_C(62500) << 2 * bucket : UINT64_MAX;
}

enum status_pool_state { STATUS_POOL_FREE, STATUS_POOL_USED };

struct status_pool {
	uint32_t generation;
	uint32_t state;
	uint32_t limit; /* sessions at most; STATUS_NO_LIMIT */
	uint32_t size;  /* kept when idle, at most; STATUS_NO_LIMIT */
	uint32_t in_use;
	uint32_t idle;
	uint32_t waiting; /* callers */
	uint32_t peak;    /* most in use at once */

	/* Counters. */
	uint64_t acquired;
	uint64_t released;
	uint64_t held_us;     /* by the leases that were released */
	uint64_t waits;       /* acquires that had to wait, and are over */
	uint64_t wait_us;     /* how long, all together */
	uint64_t wait_max_us; /* the longest */
	uint64_t timeouts;    /* that got no session */
	uint64_t opened;      /* sessions */
	uint64_t closed[STATUS_REASONS];
	char label[328]; /* user@host:port/db */

	/*
	 * Since version 4: in the place of the label's end. Holds of the leases that were
	 * released, as they are told: what a session had in a millisecond may come with its
	 * next lease, or its end. Waits, of those that `waits` counts.
	 */
	uint64_t holds[STATUS_BUCKETS];
	uint64_t waited[STATUS_BUCKETS];

	/* Since version 3: in the place of the label's end. */
	uint64_t drain;      /* a tool's */
	uint64_t drained;    /* the `drain` that was obeyed last */
	uint64_t drained_ns; /* when: sessions whose connect began before are old */
};

enum status_session_state { STATUS_SESSION_FREE, STATUS_SESSION_IDLE, STATUS_SESSION_LEASED };

/* What is known of the transaction on a lease. */
enum status_transaction {
	STATUS_TRANSACTION_UNKNOWN,
	STATUS_TRANSACTION_IDLE,
	STATUS_TRANSACTION_ACTIVE,
	STATUS_TRANSACTION_OPEN,
	STATUS_TRANSACTION_FAILED
};

/* A session, and the lease on it. Idle: there is none, and only `id`, `pool` and
 * `backend` count. */
struct status_session {
	uint32_t generation;
	uint32_t state;
	uint64_t id;
	uint32_t pool; /* row; STATUS_NO_POOL */
	int32_t backend;

	uint64_t lease; /* its number, as in the log */
	uint64_t began_us;
	uint64_t began_ns;
	uint64_t wait_ns; /* from the program's call to the lease */
	int32_t tid;
	uint32_t stack;       /* number of a status_stack; 0 = unknown */
	uint32_t transaction; /* enum status_transaction */
	uint32_t spoken;      /* 0: nothing was sent on this lease, `statement` is older */
	char statement[168];  /* the last one sent, redacted */

	/* Since version 3: in the place of the statement's end. */
	uint64_t opened_ns; /* when its connect began */
	uint32_t shared;    /* 1: the keeper has it, too, and may take it while it is idle */
	uint32_t pad;
};

/* In a stack's id: a lease of this stack was given back. */
#define STATUS_GIVEN_BACK 0x80000000U

/*
 * A call stack: its number, and what a log's event=stack line says of it, as pairs without
 * a newline: frames="module+0xoffset(symbol) ..." build_ids="module=hex ..." and, where a
 * script made the call, script="/srv/app.py:12" script_frames="..." Entries are padded to 8
 * bytes; `bytes` counts the text alone, which has no NUL.
 */
struct status_stack {
	uint32_t id; /* STATUS_GIVEN_BACK may be added later */
	uint32_t bytes;
	char text[];
};

#define STATUS_POOLS_AT    4096U
#define STATUS_SESSIONS_AT (STATUS_POOLS_AT + STATUS_POOLS_MAX * 1024U)
#define STATUS_STACKS_AT   (STATUS_SESSIONS_AT + STATUS_SESSIONS_MAX * 256U)
#define STATUS_BYTES       (STATUS_STACKS_AT + STATUS_STACKS_BYTES)

static_assert(sizeof(struct status_head) <= STATUS_POOLS_AT, "the head fits");
static_assert(sizeof(struct status_pool) == 1024, "the same for every compiler");
static_assert(sizeof(struct status_session) == 256, "the same for every compiler");

/* The bytes of a pool's label in a page of this version. */
static inline size_t status_label_bytes(uint32_t version)
{
	return version < 4 ? 520 : sizeof(((struct status_pool *)0)->label);
}

/* True if it is the head of a page of this version, or of one before. */
static inline bool status_is_page(const struct status_head *head)
{
	return memcmp(head->magic, STATUS_MAGIC, sizeof(head->magic)) == 0 &&
	       head->version >= 1 && head->version <= STATUS_VERSION;
}

#endif
