/* SPDX-License-Identifier: PostgreSQL */
/*
 * Slots, waiters, order and age of one pool.
 *
 * A room is the right to have one backend; a slot is a session in a room. `used` counts rooms.
 * The first waiter is served where a room or a session becomes free: by serve_locked().
 *
 * Over 500 lines: what each function does to the counts is understood only with all others.
 */
#include "pool/pool.h"

#include <string.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/text/hash.h"
#include "pool/near_limit.h"
#include "trace/lease/counters.h"
#include "trace/status/status.h"

void pool_init(struct pool *pool, const struct pool_limits *limits)
{
	memset(pool, 0, sizeof(*pool));
	pool->limits = *limits;
	pool->tend_at_ns = UINT64_MAX;
	pool->near_look_ns = UINT64_MAX;
	lock_init(&pool->lock, LOCK_POOL);
}

static void show_locked(struct pool *pool)
{
	uint32_t in_use = pool->used - pool->idle_count;

	near_limit_note_locked(pool);
	status_pool(pool->row, in_use, pool->idle_count, pool->waiting);
}

/*
 * Ends what lock_take began, puts what has changed on the status page, and wakes who was
 * served: that thread would have to wait for the lock before.
 */
static void leave(struct pool *pool)
{
	struct pool_waiter *woken = pool->woken;

	pool->woken = NULL;
	show_locked(pool);
	lock_drop(&pool->lock);
	if (woken != NULL) {
		bell_ring(&woken->bell);
	}
}

bool pool_show(struct pool *pool, uint32_t row)
{
	uint32_t none = 0;
	bool shown;

	lock_take(&pool->lock);
	shown = atomic_compare_exchange_strong(&pool->row, &none, row);
	leave(pool);
	return shown;
}

/* Serves the first in line, if there is one. */
static bool serve_locked(struct pool *pool, enum pool_grant grant, struct pool_slot *slot)
{
	struct pool_waiter *first = pool->waiters;
	void (*granted)(struct pool_waiter *);

	lock_assert_held(&pool->lock);
	if (first == NULL || pool->paused) {
		return false;
	}
	DL_DELETE(pool->waiters, first);
	pool->waiting--;
	first->slot = slot;
	deadlock_unblock(&first->blocked);
	/* From the store on it may leave without the lock, unless it has a callback. */
	granted = first->granted;
	atomic_store(&first->grant, grant);
	if (granted != NULL) {
		granted(first);
	} else if (bell_claim(&first->bell)) {
		pool->woken = first;
	}
	return true;
}

static uint64_t tend_at(const struct pool *pool)
{
	return atomic_load_explicit(&pool->tend_at_ns, memory_order_relaxed);
}

static void set_tend_at(struct pool *pool, uint64_t at_ns)
{
	atomic_store_explicit(&pool->tend_at_ns, at_ns, memory_order_relaxed);
}

/* More lie idle, or will in a moment, than the pool keeps for good. */
static bool surplus_locked(const struct pool *pool)
{
	return pool->limits.size != POOL_NO_LIMIT &&
	       pool->idle_count + pool->returning > pool->limits.size;
}

/* So few are in use that there is no crowd. */
static bool calm_locked(const struct pool *pool)
{
	uint32_t in_use = pool->used - pool->idle_count - pool->returning - pool->closing;

	return in_use <= 1 || (uint64_t)in_use * POOL_CROWD_PART < pool->limits.size;
}

/* To the first waiter, as that grant; or it is free. False: it is. */
static COLD bool give_room_locked(struct pool *pool, enum pool_grant grant,
                                  struct pool_slot *slot)
{
	bool served = serve_locked(pool, grant, slot);

	if (!served) {
		pool->used--;
		near_limit_fall_locked(pool);
		if (surplus_locked(pool) && calm_locked(pool)) {
			set_tend_at(pool, 0);
		}
	}
	return served;
}

static COLD bool room_locked(const struct pool *pool)
{
	return !pool->paused &&
	       (pool->limits.total == POOL_NO_LIMIT || pool->used < pool->limits.total);
}

/* When an idle slot is past its time. */
static uint64_t expiry(const struct pool *pool, const struct pool_slot *slot)
{
	uint64_t at = slot->opened_ns < pool->invalid_before_ns ? 0 : slot->retire_ns;

	if (pool->limits.idle_timeout_ns > 0 &&
	    slot->idle_ns + pool->limits.idle_timeout_ns < at) {
		at = slot->idle_ns + pool->limits.idle_timeout_ns;
	}
	return at;
}

enum drop_reason pool_fate(const struct pool *pool, const struct pool_slot *slot,
                           uint64_t now_ns)
{
	if (slot->opened_ns < pool->invalid_before_ns) {
		return DROP_INVALIDATED;
	}
	if (slot->began_ns < pool->drained_ns) {
		return DROP_DRAINED;
	}
	return now_ns >= slot->retire_ns ? DROP_AGED : DROP_NONE;
}

/* The home of the calling thread. */
static unsigned home(void)
{
	static atomic_uint threads;
	static _Thread_local unsigned number;

	if (number == 0) {
		number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) |
		         POOL_HOMES;
	}
	return number % POOL_HOMES;
}

/* The one idle longest is to be closed. utlist keeps the last element in the head's prev. */
static bool sheds_locked(const struct pool *pool, uint64_t now_ns)
{
	return surplus_locked(pool) && pool->idle != NULL &&
	       (calm_locked(pool) || now_ns >= pool->idle->prev->idle_ns + POOL_SURPLUS_NS);
}

static void put_idle_locked(struct pool *pool, struct pool_slot *slot)
{
	uint64_t at;

	slot->state = SLOT_IDLE;
	slot->home = home();
	pool->own[slot->home] = slot;
	DL_PREPEND(pool->idle, slot);
	pool->idle_count++;
	near_limit_fall_locked(pool);
	at = expiry(pool, slot);
	if (at < tend_at(pool)) {
		set_tend_at(pool, at);
	}
}

static void take_out_locked(struct pool *pool, struct pool_slot *slot, enum slot_state state)
{
	/* No element's prev is NULL: the first one's is the last. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	DL_DELETE(pool->idle, slot);
	if (pool->own[slot->home] == slot) {
		pool->own[slot->home] = NULL;
	}
	pool->idle_count--;
	if (state == SLOT_CLOSING) {
		pool->closing++;
	}
	slot->state = state;
	slot->prev = NULL;
	slot->next = NULL;
}

static void offer_slot_locked(struct pool *pool, struct pool_slot *slot)
{
	slot->state = SLOT_CHECKING;
	if (!serve_locked(pool, POOL_LEND, slot)) {
		put_idle_locked(pool, slot);
	}
}

static void wake_locked(struct pool *pool)
{
	if (pool->woken != NULL) {
		bell_ring(&pool->woken->bell);
		pool->woken = NULL;
	}
}

void pool_pass_on_locked(struct pool *pool, enum pool_grant grant, struct pool_slot *slot)
{
	serve_locked(pool, grant, slot);
	show_locked(pool);
	wake_locked(pool);
}

/* The idle slot that is next; NULL: there is none. */
static struct pool_slot *next_idle_locked(const struct pool *pool, uint64_t now_ns)
{
	struct pool_slot *own;

	/* utlist keeps the last element in the head's prev. */
	if (pool->idle == NULL || pool->limits.fifo) {
		return pool->idle != NULL ? pool->idle->prev : NULL;
	}
	own = pool->own[home()];
	return own != NULL && now_ns - own->idle_ns < POOL_WARM_NS ? own : pool->idle;
}

/* An idle slot that is granted, as POOL_LEND or not; `*why` gets its fate. */
static enum pool_grant grant_idle_locked(struct pool *pool, struct pool_slot *slot,
                                         uint64_t now_ns, enum drop_reason *why)
{
	take_out_locked(pool, slot, SLOT_CHECKING);
	*why = pool_fate(pool, slot, now_ns);
	return *why == DROP_NONE ? POOL_LEND : POOL_REPLACE;
}

static enum pool_grant acquire(struct pool *pool, uint64_t now_ns, struct pool_waiter *waiter,
                               void (*granted)(struct pool_waiter *waiter), bool first)
{
	struct pool_slot *slot;
	enum pool_grant grant;
	uint32_t in_use;

	/* Not the bell: somebody may still be about to ring it for the wait before. */
	memset(&waiter->blocked, 0, sizeof(waiter->blocked));
	waiter->slot = NULL;
	waiter->why = DROP_NONE;
	waiter->granted = granted;
	lock_take(&pool->lock);
	slot = pool->paused ? NULL : next_idle_locked(pool, now_ns);
	if (slot != NULL) {
		waiter->slot = slot;
		waiter->grant = grant_idle_locked(pool, slot, now_ns, &waiter->why);
	} else if (room_locked(pool)) {
		pool->used++;
		waiter->grant = POOL_OPEN;
	} else {
		waiter->grant = POOL_FULL;
		if (first) {
			DL_PREPEND(pool->waiters, waiter);
		} else {
			DL_APPEND(pool->waiters, waiter);
		}
		pool->waiting++;
	}
	/* Without the lock it may be served at any moment. */
	grant = waiter->grant;
	in_use = pool->used - pool->idle_count;
	leave(pool);
	counters_in_use(in_use, pool->limits.total == POOL_NO_LIMIT ? 0 : pool->limits.total);
	return grant;
}

enum pool_grant pool_acquire(struct pool *pool, uint64_t now_ns, struct pool_waiter *waiter,
                             void (*granted)(struct pool_waiter *waiter))
{
	return acquire(pool, now_ns, waiter, granted, false);
}

enum pool_grant pool_acquire_again(struct pool *pool, uint64_t now_ns,
                                   struct pool_waiter *waiter,
                                   void (*granted)(struct pool_waiter *waiter))
{
	return acquire(pool, now_ns, waiter, granted, true);
}

void pool_block(struct pool *pool, struct pool_waiter *waiter)
{
	lock_take(&pool->lock);
	if (waiter->grant == POOL_FULL && !pool->paused && !waiter->blocked.counted) {
		deadlock_block(&waiter->blocked);
	}
	lock_drop(&pool->lock);
}

enum pool_grant pool_granted(struct pool *pool, const struct pool_waiter *waiter)
{
	enum pool_grant grant;

	if (waiter->granted == NULL) {
		return atomic_load(&waiter->grant);
	}
	lock_take(&pool->lock);
	grant = waiter->grant;
	lock_drop(&pool->lock);
	return grant;
}

enum pool_grant pool_leave(struct pool *pool, struct pool_waiter *waiter)
{
	enum pool_grant grant;

	if (waiter->granted == NULL && atomic_load(&waiter->grant) != POOL_FULL) {
		return atomic_load(&waiter->grant);
	}
	lock_take(&pool->lock);
	grant = waiter->grant;
	if (grant == POOL_FULL) {
		DL_DELETE(pool->waiters, waiter);
		pool->waiting--;
		deadlock_unblock(&waiter->blocked);
	}
	leave(pool);
	return grant;
}

uint32_t pool_reserve(struct pool *pool, uint32_t wanted)
{
	uint32_t got = 0;

	lock_take(&pool->lock);
	while (got < wanted && room_locked(pool)) {
		pool->used++;
		got++;
	}
	leave(pool);
	return got;
}

/* What there is goes to those in line. */
static void serve_line_locked(struct pool *pool, uint64_t now_ns)
{
	while (pool->waiters != NULL) {
		struct pool_slot *slot = next_idle_locked(pool, now_ns);
		enum pool_grant grant = POOL_OPEN;

		if (slot != NULL) {
			grant = grant_idle_locked(pool, slot, now_ns, &pool->waiters->why);
		} else if (room_locked(pool)) {
			pool->used++;
		} else {
			return;
		}
		serve_locked(pool, grant, slot);
		wake_locked(pool);
	}
}

void pool_pause(struct pool *pool, bool paused, uint64_t now_ns)
{
	lock_take(&pool->lock);
	if (pool->paused != paused) {
		pool->paused = paused;
		if (!paused) {
			serve_line_locked(pool, now_ns);
		}
	}
	leave(pool);
}

void pool_opened(struct pool *pool, struct pool_slot *slot, uint64_t now_ns, uint16_t jitter)
{
	uint64_t life = pool->limits.recycle_ns;

	memset(slot, 0, sizeof(*slot));
	slot->state = SLOT_LEASED;
	slot->began_ns = now_ns;
	slot->opened_ns = now_ns;
	slot->retire_ns = life == 0 ? UINT64_MAX : now_ns + life - (life / 20 * jitter >> 16);
}

void pool_open_failed(struct pool *pool)
{
	lock_take(&pool->lock);
	give_room_locked(pool, POOL_OPEN, NULL);
	leave(pool);
}

/* No lock: no other thread reads the state of a slot that it does not own. */
void pool_lent(struct pool_slot *slot)
{
	slot->state = SLOT_LEASED;
}

enum drop_reason pool_return(struct pool *pool, struct pool_slot *slot, uint64_t now_ns)
{
	enum drop_reason why;

	lock_take(&pool->lock);
	pool->returning++;
	why = pool_fate(pool, slot, now_ns);
	if (sheds_locked(pool, now_ns)) {
		set_tend_at(pool, 0);
	}
	if (why == DROP_NONE && pool->waiters == NULL && surplus_locked(pool) &&
	    calm_locked(pool)) {
		why = DROP_SURPLUS;
	}
	if (why == DROP_NONE) {
		slot->state = SLOT_RETURNING;
	} else {
		pool->returning--;
	}
	lock_drop(&pool->lock);
	return why;
}

void pool_keep(struct pool *pool, struct pool_slot *slot, uint64_t now_ns)
{
	lock_take(&pool->lock);
	if (slot->state == SLOT_RETURNING) {
		pool->returning--;
	}
	slot->idle_ns = now_ns;
	offer_slot_locked(pool, slot);
	leave(pool);
}

static COLD bool drop(struct pool *pool, struct pool_slot *slot, enum pool_grant grant,
                      struct pool_slot *granted)
{
	bool served;

	lock_take(&pool->lock);
	if (slot->state == SLOT_RETURNING) {
		pool->returning--;
	} else if (slot->state == SLOT_CLOSING) {
		pool->closing--;
	}
	slot->state = SLOT_CLOSED;
	served = give_room_locked(pool, grant, granted);
	leave(pool);
	return served;
}

bool pool_drop(struct pool *pool, struct pool_slot *slot)
{
	return drop(pool, slot, POOL_REPLACE, slot);
}

void pool_forget(struct pool *pool, struct pool_slot *slot)
{
	drop(pool, slot, POOL_OPEN, NULL);
}

static void invalidate_locked(struct pool *pool, uint64_t now_ns)
{
	if (now_ns > pool->invalid_before_ns) {
		pool->invalid_before_ns = now_ns;
	}
	set_tend_at(pool, 0);
}

void pool_invalidate(struct pool *pool, uint64_t now_ns)
{
	lock_take(&pool->lock);
	invalidate_locked(pool, now_ns);
	lock_drop(&pool->lock);
}

void pool_outdate(struct pool *pool, uint64_t now_ns)
{
	lock_take(&pool->lock);
	if (now_ns > pool->drained_ns) {
		pool->drained_ns = now_ns;
	}
	set_tend_at(pool, 0);
	lock_drop(&pool->lock);
}

bool pool_doubts(struct pool *pool, uint64_t now_ns)
{
	uint64_t life = pool->limits.recycle_ns;
	bool doubts;

	lock_take(&pool->lock);
	doubts = pool->invalid_before_ns > 0 &&
	         (life == 0 || now_ns < pool->invalid_before_ns + life);
	lock_drop(&pool->lock);
	return doubts;
}

bool pool_landed(struct pool *pool, uint64_t place, uint64_t began_ns, uint64_t now_ns)
{
	bool undisputed = true;

	lock_take(&pool->lock);
	if (pool->place != place) {
		if (pool->place != 0) {
			undisputed = began_ns >= pool->landed_ns;
			invalidate_locked(pool, now_ns);
		}
		pool->place = place;
		pool->landed_ns = now_ns;
	}
	lock_drop(&pool->lock);
	return undisputed;
}

static void doom_locked(struct pool *pool, struct pool_slot *slot, enum drop_reason why,
                        struct pool_slot **doomed)
{
	take_out_locked(pool, slot, SLOT_CLOSING);
	slot->why = why;
	LL_PREPEND(*doomed, slot);
}

/* Takes out what is past its time, or surplus, and notes when the next one will be. */
static struct pool_slot *expire_locked(struct pool *pool, uint64_t now_ns)
{
	struct pool_slot *doomed = NULL;
	struct pool_slot *slot;
	struct pool_slot *after;

	set_tend_at(pool, UINT64_MAX);
	DL_FOREACH_SAFE (pool->idle, slot, after) {
		uint64_t at = expiry(pool, slot);
		enum drop_reason why = pool_fate(pool, slot, now_ns);

		if (now_ns >= at || why != DROP_NONE) {
			doom_locked(pool, slot, why == DROP_NONE ? DROP_IDLE_TIMEOUT : why,
			            &doomed);
		} else if (at < tend_at(pool)) {
			set_tend_at(pool, at);
		}
	}
	while (sheds_locked(pool, now_ns)) {
		doom_locked(pool, pool->idle->prev, DROP_SURPLUS, &doomed);
	}
	return doomed;
}

struct pool_slot *pool_tend(struct pool *pool, uint64_t now_ns)
{
	struct pool_slot *doomed = NULL;

	if (now_ns >= tend_at(pool)) {
		lock_take(&pool->lock);
		doomed = expire_locked(pool, now_ns);
		leave(pool);
	}
	return doomed;
}

struct pool_slot *pool_drain(struct pool *pool)
{
	struct pool_slot *drained = NULL;

	lock_take(&pool->lock);
	while (pool->idle != NULL) {
		struct pool_slot *slot = pool->idle;

		take_out_locked(pool, slot, SLOT_CLOSING);
		LL_PREPEND(drained, slot);
	}
	leave(pool);
	return drained;
}

struct pool_counts pool_count(struct pool *pool)
{
	struct pool_counts counts;

	lock_take(&pool->lock);
	counts = (struct pool_counts){pool->used, pool->idle_count, pool->waiting};
	lock_drop(&pool->lock);
	return counts;
}
