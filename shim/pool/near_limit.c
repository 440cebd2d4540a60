/* SPDX-License-Identifier: PostgreSQL */
/* For how long a pool has been near its limit. */
#include "pool/near_limit.h"

static bool is_near_locked(const struct pool *pool)
{
	return pool->limits.warn_at > 0 &&
	       pool->used - pool->idle_count >= pool->limits.warn_at;
}

static void set_look(struct pool *pool, uint64_t at_ns)
{
	atomic_store_explicit(&pool->near_look_ns, at_ns, memory_order_relaxed);
}

void near_limit_note_locked(struct pool *pool)
{
	if (!is_near_locked(pool)) {
		set_look(pool, UINT64_MAX);
	} else if (pool->near_since_ns == 0) {
		set_look(pool, 0);
	}
}

void near_limit_fall_locked(struct pool *pool)
{
	if (!is_near_locked(pool)) {
		pool->near_since_ns = 0;
		pool->near_logged = false;
	}
}

bool pool_near_limit(struct pool *pool, uint64_t now_ns, uint64_t for_ns, uint64_t *since_ns)
{
	bool due = false;

	if (now_ns < atomic_load_explicit(&pool->near_look_ns, memory_order_relaxed)) {
		return false;
	}
	lock_take(&pool->lock);
	if (is_near_locked(pool)) {
		if (pool->near_since_ns == 0) {
			pool->near_since_ns = now_ns;
		}
		due = !pool->near_logged && now_ns >= pool->near_since_ns + for_ns;
		pool->near_logged = pool->near_logged || due;
		set_look(pool, pool->near_logged ? UINT64_MAX : pool->near_since_ns + for_ns);
		*since_ns = pool->near_since_ns;
	}
	lock_drop(&pool->lock);
	return due;
}
