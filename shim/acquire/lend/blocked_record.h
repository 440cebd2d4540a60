/* SPDX-License-Identifier: PostgreSQL */
/*
 * The record of a blocking call, for blocked_call.c and abandoned_call.c alone; blocked_call.h
 * has the picture of its states.
 *
 * Records are used again and never freed, so their list is read without a lock.
 */
#ifndef PQPOOL_ACQUIRE_LEND_BLOCKED_RECORD_H
#define PQPOOL_ACQUIRE_LEND_BLOCKED_RECORD_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "acquire/lend/blocked_call.h"
#include "base/thread/thread_block.h"
#include "share/ask.h"

#define STATE_BITS 2
#define STATE_MASK 3

enum blocked_state { FREE, OWNED, OPEN, TAKEN };

struct blocked_record {
	/* Apart from the lines that another thread writes. */
	alignas(64) struct blocked_record *next; /* constant */
	atomic_bool kept;        /* a thread's first, which no other thread takes */
	_Atomic(uint64_t) state; /* turn << STATE_BITS | enum state */

	/* The call's; other threads read it once they have taken it, and atomics any time. */
	_Atomic(uintptr_t) thread;
	_Atomic(uint64_t) until_ns;
	_Atomic(pid_t) tid;
	atomic_int kind;                   /* enum blocked_call_kind */
	_Atomic(uintptr_t) frame;          /* its stack reached down to this */
	const struct blocked_call *ticket; /* on its stack; only compared, see is_over() */
	bool stray;                        /* not its thread's first, and so counted */
	struct lender *lender;             /* of a line, or of rooms; held */
	struct pool_slot *slot;            /* of what is checked or cleared */
	uint32_t rooms;
	const struct libpq *libpq;
	PGconn *conn; /* that libpq opens in the room, or beside what is checked */
	struct pool_waiter waiter;
	struct ask ask; /* of one that has a room, and asks the keeper */
};

/* The thread's part of its block. */
struct first {
	struct blocked_record *record;
};

_Static_assert(sizeof(struct first) <= sizeof(((struct thread_block *)0)->pending),
               "the thread's record fits into its part");

/* Added in front and never removed. */
extern _Atomic(struct blocked_record *) blocked_records;
extern atomic_uint blocked_strays; /* in use */

static inline uint64_t blocked_record_word(uint64_t turn, enum blocked_state state)
{
	return turn << STATE_BITS | state;
}

static inline uint64_t blocked_record_state(const struct blocked_record *p)
{
	return atomic_load_explicit(&p->state, memory_order_acquire);
}

static inline bool blocked_record_is_free(const struct blocked_record *p)
{
	return (blocked_record_state(p) & STATE_MASK) == FREE;
}

static inline bool blocked_record_move(struct blocked_record *p, uint64_t turn,
                                       enum blocked_state from, enum blocked_state to)
{
	uint64_t expected = blocked_record_word(turn, from);

	return atomic_compare_exchange_strong(&p->state, &expected,
	                                      blocked_record_word(turn, to));
}

static inline void blocked_record_free(struct blocked_record *p, uint64_t turn)
{
	bool stray = p->stray;

	p->stray = false;
	atomic_store_explicit(&p->state, blocked_record_word(turn, FREE), memory_order_release);
	if (stray) {
		atomic_fetch_sub(&blocked_strays, 1);
		atomic_store(&p->kept, false);
	}
}

#endif
