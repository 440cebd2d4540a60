/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a call that may block has of a pool's: a place in the line, a room to open a session
 * in, a session that it checks or closes.
 *
 * The call may never come back: a signal handler leaves it by longjmp or Perl's die, an
 * exception passes through it, its thread is cancelled. So what it has is noted here before it
 * blocks, in a record that is not on its stack, and is given back to the pool
 * - by the thread's next connect or finish, if that runs on the part of the thread's own stack
 *   that the call was on, which is over then;
 * - at the end of the thread;
 * - by any thread that finds the pool full, once the call is overdue, or its thread sleeps
 *   elsewhere, as the kernel tells.
 *
 *            blocked_call_begin           blocked_call_block
 *   (free) ───────────────► owned ───────────────► open ──► taken, by another call
 *      ▲     blocked_call_end      │ ◄───────────────    │            │
 *      └──────────────────────┘     blocked_call_back                 │
 *      └─────────────────────────────────────────────────────────┘
 *
 * Each step is one compare-and-exchange, with the number of the turn that the record is in, so
 * one of the two sides wins. A call that comes back and has lost (it was only late, or another
 * stack ran on the thread meanwhile) has nothing of the pool's any more and goes on without.
 * Only where the call is certainly over, in the first two cases, is a connection finished that
 * it used; else the socket is shut down and the rest left to the call.
 *
 * A cancelled thread is left where it blocks, and nowhere else: with what it has in its record.
 *
 * Memory: a record is used again and never freed. Locks: none of its own; those of the pool.
 * Signals: a handler that connects in the middle of a call gets a record of its own. Fork: the
 * child has none of the parent's other threads.
 */
#ifndef PQPOOL_ACQUIRE_LEND_BLOCKED_CALL_H
#define PQPOOL_ACQUIRE_LEND_BLOCKED_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "pool/pool.h"

struct lender;
struct pending;

/* One call's hold on its record. */
struct blocked_call {
	struct pending *pending; /* NULL: it has none */
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

/* Its place in a line, for pool_acquire, and what that is to call. */
struct pool_waiter *blocked_call_waiter(const struct blocked_call *ticket);
void blocked_call_granted(struct pool_waiter *waiter);

/* What the call has in hand from now on. Nothing for a void ticket, as all that follow. */
void blocked_call_hold_line(const struct blocked_call *ticket, struct lender *lender);
void blocked_call_hold_rooms(const struct blocked_call *ticket, struct lender *lender,
                             uint32_t rooms);
void blocked_call_hold_slot(const struct blocked_call *ticket, enum blocked_call_kind kind,
                            struct pool_slot *slot);
void blocked_call_hold_nothing(const struct blocked_call *ticket);

/*
 * The call may block from now on, and its thread be cancelled where the program has not
 * forbidden it; overdue at `until_ns`, DEADLINE_NEVER = never.
 */
void blocked_call_block(const struct blocked_call *ticket, uint64_t until_ns);

/*
 * It has come back, and the thread cannot be cancelled any more. False: what it had was given
 * back, and the ticket is void.
 */
bool blocked_call_back(struct blocked_call *ticket);

/* The call is over, or has nothing of the pool's any more. */
void blocked_call_end(struct blocked_call *ticket);

/*
 * With a place in the line, and blocked: sleeps until something is granted, or `until_ns`, or
 * a signal handler has run. By poll(2), as libpq waits: a thread can be
 * cancelled there, and where the program answers for poll(2) other stacks go on meanwhile.
 * False: a signal handler has run.
 */
bool blocked_call_sleep(const struct blocked_call *ticket, uint64_t until_ns);

/*
 * Where the connection that is opened in the room is to be noted as soon as libpq has begun it;
 * NULL for a void ticket.
 */
PGconn **blocked_call_conn(const struct blocked_call *ticket, const struct libpq *libpq);

/*
 * Gives back what those calls of this thread had that reached down to the caller's own frame.
 * At every connect and finish: a look at the thread's memory.
 */
void blocked_call_tend(void);

/* True if a call of this thread has not come back, and is not known to be over. */
bool blocked_call_others(const struct blocked_call *ticket);

/* Gives back what is overdue or seems to be left, of all threads. Reads /proc. */
COLD void blocked_call_tend_overdue(uint64_t now_ns);

/* The thread ends. */
void blocked_call_thread_end(void);

void blocked_call_fork_child(void);

#endif
