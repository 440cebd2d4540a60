/* SPDX-License-Identifier: PostgreSQL */
/*
 * The lenders: which pool has the sessions of an identity.
 *
 * Each use of a lender counts it, and each of its sessions. One with a count of 0 has no
 * session; it is freed if there are too many, so that a program whose password changes every
 * hour does not grow for ever.
 *
 * Locks: LOCK_REGISTRY for look-ups; a pool's own lock ranks above it.
 */
#ifndef PQPOOL_POOL_REGISTRY_H
#define PQPOOL_POOL_REGISTRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/text/hash.h"
#include "key/identity.h"
#include "pool/pool.h"

struct lender {
	struct pool pool;
	struct identity *identity; /* counted */
	atomic_flag prewarmed;

	/* full/exhaustion.c's */
	atomic_bool suspected;               /* logged, and no waiter served since */
	atomic_uint_fast64_t suspect_due_ns; /* when to look next */
	atomic_uint_fast64_t holders_due_ns; /* when to list holders again */

	/* lending.c's and discard.c's */
	atomic_flag announced;                   /* in the log */
	atomic_uint_fast64_t triggered_until_ns; /* no session is kept before */
	atomic_uint_fast64_t explained;          /* a bit for each reason that was logged */

	uint64_t drained; /* orders.c's: the order to drain that was obeyed last */

	atomic_bool unshared; /* borrow.c's: the keeper is not asked, its sessions cannot be
	                         shared */

	/* registry.c's */
	atomic_uint users; /* from 0 on it is raised with the lock held */
	UT_hash_handle hh;
};

/* Limits of every pool made from now on. */
void registry_configure(const struct pool_limits *limits);

/* The lender of an identity, counted once more. NULL: no memory, or too many in use. */
struct lender *registry_lender(struct identity *identity);

/* Puts its pool on the status page, once. No lock may be held that ranks above LOCK_POOL. */
void lender_show(struct lender *lender);

void lender_hold(struct lender *lender);
void lender_release(struct lender *lender);

/*
 * Iterates over all lenders: the first for NULL, after the last NULL. The one returned is held
 * until it is passed back for the next; a caller that stops earlier releases it.
 */
struct lender *registry_next(struct lender *lender);

/* Takes the registry's lock and those of all pools. */
void registry_fork_prepare(void);
void registry_fork_parent(void);
/* Forgets all lenders. */
void registry_fork_child(void);

#endif
