/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a blocking call has in hand of a pool, so that it can be given back if it never returns:
 * a place in the line, a room to open a session in, a session that it checks or closes.
 *
 * A call may be left for good: by longjmp or Perl's die in a signal handler, by an exception,
 * by cancellation of its thread. So what it has is noted before it blocks, in a record that is
 * not on its stack, and is given back to the pool
 * - by the thread's next connect or finish, if that runs on the part of the thread's own stack
 *   that the call was on, which is over then;
 * - at the end of the thread;
 * - by any thread that finds the pool full, once the call is overdue, or the kernel tells that
 * its thread sleeps elsewhere.
 *
 *            blocked_call_begin           blocked_call_block
 *   (free) ───────────────► owned ───────────────► open ──► taken, by another call
 *      ▲     blocked_call_end      │ ◄───────────────    │            │
 *      └──────────────────────┘     blocked_call_back                 │
 *      └─────────────────────────────────────────────────────────┘
 *
 * Each step is one compare-and-exchange that includes the number of the record's turn, so one
 * of the two sides wins. A call that returns and has lost (it was only late, or another stack
 * ran on the thread meanwhile) has nothing of the pool any more and continues without. Only if
 * the call is certainly over, in the first two cases, a connection that it used is finished;
 * else the socket is shut down and the rest left to the call.
 *
 * A thread can be cancelled only where it blocks: with what it has in its record.
 *
 * Memory: a record is used again and never freed. Locks: none of its own; those of the pool.
 * Signals: a handler that connects in the middle of a call gets a record of its own. Fork: the
 * child has none of the parent's other threads.
 */
#ifndef PQPOOL_ACQUIRE_LEND_BLOCKED_CALL_H
#define PQPOOL_ACQUIRE_LEND_BLOCKED_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"
#include "pool/pool.h"

struct lender;
struct blocked_record;
struct ask;

/*
 * libpq's connect takes no longer than this, with usual timeouts and a few hosts. If it does,
 * the call may lose its room.
 */
#define CONNECT_OVERDUE_NS (120 * NS_PER_SEC)

/* One call's hold on its record. */
struct blocked_call {
	struct blocked_record *record; /* NULL: it has none */
	uint64_t turn;
};

enum blocked_call_kind {
	BLOCKED_CALL_NOTHING,
	BLOCKED_CALL_LINE,    /* a place in the line, and what it is granted */
	BLOCKED_CALL_ROOM,    /* rooms to open sessions in */
	BLOCKED_CALL_CHECK,   /* a session that is checked */
	BLOCKED_CALL_CLEARING /* one that is closed; it still has its room */
};

/* Begins a call. False: no memory. */
bool blocked_call_begin(struct blocked_call *ticket);

/* Its place in a line, for pool_acquire; it has no callback. */
struct pool_waiter *blocked_call_waiter(const struct blocked_call *ticket);

/* What the call has in hand from now on. These do nothing for a void ticket. */
void blocked_call_hold_line(const struct blocked_call *ticket, struct lender *lender);
void blocked_call_hold_rooms(const struct blocked_call *ticket, struct lender *lender,
                             uint32_t rooms);
void blocked_call_hold_slot(const struct blocked_call *ticket, enum blocked_call_kind kind,
                            struct pool_slot *slot);
void blocked_call_hold_nothing(const struct blocked_call *ticket);

/*
 * The call may block from now on, and its thread be cancelled unless the program forbids it;
 * overdue at `until_ns`, DEADLINE_NEVER = never.
 */
void blocked_call_block(const struct blocked_call *ticket, uint64_t until_ns);

/*
 * It returned, and the thread cannot be cancelled any more. False: what it had was given back,
 * and the ticket is void.
 */
bool blocked_call_back(struct blocked_call *ticket);

/* The call is over, or has nothing of the pool any more. */
void blocked_call_end(struct blocked_call *ticket);

/*
 * With a place in the line, and blocked: sleeps until something is granted, or `until_ns`. By
 * poll(2), as libpq waits: a thread can be cancelled there, and if the program interposes
 * poll(2) other coroutines run meanwhile. False: a signal handler has run.
 */
bool blocked_call_sleep(const struct blocked_call *ticket, uint64_t until_ns);

/* The question that it asks the keeper for a session in its room; NULL for a void ticket. */
struct ask *blocked_call_ask(const struct blocked_call *ticket);

/* Where to note the connection that libpq opens in the room, or beside a session that is
 * checked; NULL for a void ticket. */
PGconn **blocked_call_conn(const struct blocked_call *ticket, const struct libpq *libpq);

#endif
