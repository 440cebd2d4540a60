/* SPDX-License-Identifier: PostgreSQL */
/*
 * The sessions of one identity as slots: how many there may be, which is lent next, which are
 * too old. No libpq call and no clock: times are passed in, and the caller does what must be
 * done to a session, outside the lock.
 *
 *                    pool_opened            pool_return
 *   (room) ─► opening ─────────► leased ───────────────► returning
 *      ▲         │                 ▲  │                      │  pool_keep
 *      │         │ pool_open_failed│  │ doomed               ▼
 *      │         ▼         pool_lent  │                     idle
 *      └──── (room given on)       │  ▼                      │ pool_acquire, a waiter
 *      ▲                        checking ◄───────────────────┘
 *      │                           │ pool_drop
 *      └───────────── closed ◄─────┘ (also from leased, returning, and idle when swept)
 *
 * A slot counts against the limit from the reservation of its room until its session is
 * finished. The backend of a finished session may live for a moment longer, as after any
 * PQfinish; a waiter that is given its room sees its end first.
 *
 * Waiters are served in order of arrival: while there is a waiter there is no idle slot and no
 * free room, because each is handed to the first in line at once; unless the pool is paused.
 *
 * Locks: one per pool, LOCK_POOL, taken by every function here that has something to do.
 */
#ifndef PQPOOL_POOL_POOL_H
#define PQPOOL_POOL_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/lock.h"
#include "base/thread/bell.h"
#include "pool/deadlock.h"
#include "pool/drop_reason.h"

#define POOL_NO_LIMIT UINT32_MAX

struct pool_limits {
	uint32_t size;            /* sessions kept idle for good; POOL_NO_LIMIT */
	uint32_t total;           /* size + overflow; POOL_NO_LIMIT */
	uint64_t recycle_ns;      /* 0 = never too old */
	uint64_t idle_timeout_ns; /* 0 = off */
	bool fifo;                /* lend the one that was idle longest */
	uint32_t warn_at;         /* sessions in use that are near the limit; 0 = never */
};

/* Threads are distributed over so many homes. */
#define POOL_HOMES 8

/*
 * Within this time a thread is lent the session that it gave back itself, which is in its
 * processor's cache. Else LIFO: unused sessions age and are closed.
 */
#define POOL_WARM_NS NS_PER_MS

/*
 * Sessions above limits.size are kept while there is a crowd: while more than one session and
 * at least this part of the size is in use, not counting what is on its way back or being
 * closed. One that nobody was lent for this time goes before.
 */
#define POOL_CROWD_PART 5
#define POOL_SURPLUS_NS NS_PER_SEC

enum slot_state {
	SLOT_OPENING,
	SLOT_LEASED,
	SLOT_RETURNING,
	SLOT_IDLE,
	SLOT_CHECKING,
	SLOT_CLOSING, /* it was idle, and is to be finished */
	SLOT_CLOSED
};

/* Embedded in a session. All fields are the pool's. */
struct pool_slot {
	enum slot_state state;
	uint64_t began_ns;    /* its connect */
	uint64_t opened_ns;   /* or what it was when another process lent it was proven then */
	uint64_t retire_ns;   /* too old from then on */
	uint64_t idle_ns;     /* when it became idle */
	enum drop_reason why; /* of a slot that pool_tend took out */
	unsigned home;        /* of the thread that gave it back */
	struct pool_slot *prev;
	struct pool_slot *next;
};

/* What an acquire was granted. The caller owes the pool an answer to each. */
enum pool_grant {
	POOL_LEND,    /* check `slot`, then pool_lent; or go on as with POOL_REPLACE */
	POOL_REPLACE, /* close `slot` for `why` and see its end; its room is yours: POOL_OPEN */
	POOL_OPEN,    /* open a session in the room reserved: pool_opened or pool_open_failed */
	POOL_FULL     /* nothing: queued as `waiter`, ask pool_granted */
};

/*
 * A place in the line. It is told of its grant in one of two ways: by `granted`, called with
 * the lock held, which must not block; or, without that, by `bell`, which is rung with no lock
 * held, so that its memory must never be freed.
 */
struct pool_waiter {
	_Atomic(enum pool_grant) grant; /* POOL_FULL until served */
	struct pool_slot *slot;
	enum drop_reason why;
	struct blocked blocked;
	void (*granted)(struct pool_waiter *waiter);
	struct bell bell; /* zeroed by its owner before the first use */
	struct pool_waiter *prev;
	struct pool_waiter *next;
};

struct pool {
	struct pool_limits limits; /* constant */
	_Atomic(uint32_t) row;     /* on the status page, set once; 0 = none */
	struct lock lock;

	/* guarded by lock; what each lease uses is together */
	struct pool_slot *idle; /* most recently returned first */
	struct pool_waiter *waiters;
	struct pool_waiter *woken; /* its bell is to be rung once the lock is dropped */
	struct turn *turns;        /* acquire/upkeep/turns.h */
	uint32_t used;             /* rooms taken, whatever for */
	uint32_t idle_count;
	uint32_t returning;
	uint32_t closing; /* SLOT_CLOSING */
	uint32_t waiting;
	uint64_t invalid_before_ns; /* sessions opened before are not lent again */
	uint64_t drained_ns;        /* nor those whose connect began before */
	bool paused;                /* nothing is granted: who asks gets in line */
	uint64_t near_since_ns;     /* near the limit without a break; 0 = it is not */

	/* written under lock; read without it, to see whether it is needed */
	_Atomic uint64_t tend_at_ns;   /* an idle slot may have to be closed from then on */
	_Atomic uint64_t near_look_ns; /* pool_near_limit may be true from then on */

	/* guarded by lock */
	bool near_logged; /* this, near_since_ns and near_look_ns: near_limit.c's */
	struct pool_slot *own[POOL_HOMES]; /* idle, given back by the threads of a home */
	uint64_t place;                    /* the host of the last connect; 0 = none yet */
	uint64_t landed_ns;                /* since when connects get that host */
};

struct pool_counts {
	uint32_t used;
	uint32_t idle;
	uint32_t waiting;
};

void pool_init(struct pool *pool, const struct pool_limits *limits);

/* Shows the pool in this row of the status page; false: it has one. */
bool pool_show(struct pool *pool, uint32_t row);

/*
 * Asks for a session. On POOL_FULL the waiter is in line and must be taken out by pool_leave;
 * on any other grant it holds the slot, if there is one. The waiter must not be on a stack that
 * may be left while it is in line.
 */
enum pool_grant pool_acquire(struct pool *pool, uint64_t now_ns, struct pool_waiter *waiter,
                             void (*granted)(struct pool_waiter *waiter));

/* The same for one that lost its turn (turns.h): it gets in line at the front. */
COLD enum pool_grant pool_acquire_again(struct pool *pool, uint64_t now_ns,
                                        struct pool_waiter *waiter,
                                        void (*granted)(struct pool_waiter *waiter));

/*
 * With the lock held, and a waiter in line: passes on what another was granted and has not
 * answered (turns.h).
 */
COLD void pool_pass_on_locked(struct pool *pool, enum pool_grant grant, struct pool_slot *slot);

/*
 * The calling thread does nothing but wait until the waiter is served or leaves: it counts for
 * a deadlock (deadlock.h) unless it is served already, counts, or the pool is paused.
 */
void pool_block(struct pool *pool, struct pool_waiter *waiter);

/* What the waiter has been granted by now; it stays in line while that is POOL_FULL. */
enum pool_grant pool_granted(struct pool *pool, const struct pool_waiter *waiter);

/* Takes the waiter out of the line; what it was granted must be answered. */
enum pool_grant pool_leave(struct pool *pool, struct pool_waiter *waiter);

/* Reserves up to `wanted` rooms at once, no more than are free; returns how many. */
uint32_t pool_reserve(struct pool *pool, uint32_t wanted);

/*
 * Puts a session opened at `now_ns` into the room reserved for it, leased. `jitter`, 0 to
 * 65535, shortens its life by up to 5 %, so that sessions opened together do not end together.
 */
void pool_opened(struct pool *pool, struct pool_slot *slot, uint64_t now_ns, uint16_t jitter);

/* The connect of a session that was just opened began earlier. */
static inline void pool_began(struct pool_slot *slot, uint64_t began_ns)
{
	slot->began_ns = began_ns;
}

/* Gives a reserved room up: the session could not be opened. */
void pool_open_failed(struct pool *pool);

/* checking → leased: it passed the check. */
void pool_lent(struct pool_slot *slot);

/*
 * leased → returning, or the reason why the pool does not want it back; then it stays leased,
 * to be finished and passed to pool_drop. If it ends a crowd, pool_tend has what is to be
 * closed for that.
 */
enum drop_reason pool_return(struct pool *pool, struct pool_slot *slot, uint64_t now_ns);

/* returning → idle, or straight to the first waiter. */
void pool_keep(struct pool *pool, struct pool_slot *slot, uint64_t now_ns);

/*
 * Any state but idle → closed: the session is finished. True: its room went to the first
 * waiter, which sees the end of its backend and frees its memory. False: the room is free, and
 * the caller frees the memory.
 */
COLD bool pool_drop(struct pool *pool, struct pool_slot *slot);

/* The same for a session whose end no waiter is to see. */
void pool_forget(struct pool *pool, struct pool_slot *slot);

/* No session opened before `now_ns` will be lent again. */
COLD void pool_invalidate(struct pool *pool, uint64_t now_ns);

/* The same for sessions whose connect began before `now_ns`: a program's operator wants that.
 */
COLD void pool_outdate(struct pool *pool, uint64_t now_ns);

/*
 * From now on nothing is granted: who asks waits. Without `paused` those that wait are served
 * again with what there is.
 */
COLD void pool_pause(struct pool *pool, bool paused, uint64_t now_ns);

/*
 * A connect that began at `began_ns` got the host `place`. If that is another one than before,
 * no older session will be lent again. False: connects got other hosts meanwhile, and which is
 * right is not known; do not keep this one, either.
 */
bool pool_landed(struct pool *pool, uint64_t place, uint64_t began_ns, uint64_t now_ns);

/*
 * At every pool call: takes out the idle slots that are past their time, and surplus ones, as a
 * list by `next`, now closing, each with the reason: finish each, then pool_drop.
 */
struct pool_slot *pool_tend(struct pool *pool, uint64_t now_ns);

/* Takes out all idle slots, now closing, as a list by `next`. */
struct pool_slot *pool_drain(struct pool *pool);

/* True if a session that another process opened may be older than the last invalidation. */
COLD bool pool_doubts(struct pool *pool, uint64_t now_ns);

/* Why a session must not be lent at `now_ns`: its age, or it was invalidated. */
enum drop_reason pool_fate(const struct pool *pool, const struct pool_slot *slot,
                           uint64_t now_ns);

struct pool_counts pool_count(struct pool *pool);

#endif
