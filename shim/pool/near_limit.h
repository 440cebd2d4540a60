/* SPDX-License-Identifier: PostgreSQL */
/*
 * For how long a pool has been near its limit: limits.warn_at sessions or more in use.
 *
 * Locks: LOCK_POOL, taken by pool_near_limit, held by the callers of the others.
 */
#ifndef PQPOOL_POOL_NEAR_LIMIT_H
#define PQPOOL_POOL_NEAR_LIMIT_H

#include "pool/pool.h"

/* The number of sessions in use may have changed; and: fewer are. */
void near_limit_note_locked(struct pool *pool);
void near_limit_fall_locked(struct pool *pool);

/*
 * At every pool call: true, once until it falls below, if limits.warn_at sessions or more have
 * been in use for `for_ns`; then `*since_ns` is when that was first seen.
 */
bool pool_near_limit(struct pool *pool, uint64_t now_ns, uint64_t for_ns, uint64_t *since_ns);

#endif
