/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which pool lends the sessions of an identity.
 *
 * A lender is counted by everyone who is about to use it and by each of its sessions.
 * One that nobody counts has no session; it is forgotten when there are too many, so that
 * a program whose password changes every hour does not grow for ever.
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

	/* exhaustion_report.c's */
	atomic_bool suspected;               /* told, and nobody served since */
	atomic_uint_fast64_t suspect_due_ns; /* not looked at before */
	atomic_uint_fast64_t holders_due_ns; /* not listed before */

	/* lending.c's */
	atomic_uint_fast64_t triggered_until_ns; /* its sessions are not kept before */
	atomic_uint_fast64_t explained;          /* a bit for each reason told in the log */

	/* registry.c's */
	atomic_uint users; /* from 0 on it is raised with the lock held */
	UT_hash_handle hh;
};

/* Limits of every pool made from now on. */
void registry_configure(const struct pool_limits *limits);

/* The lender of an identity, counted once more. NULL: no memory, or too many in use. */
struct lender *registry_lender(struct identity *identity);

void lender_hold(struct lender *lender);
void lender_release(struct lender *lender);

/*
 * Goes through all lenders: the first for NULL, after the last NULL. The one it returns is
 * held until it is passed back for the next; who does not go on releases it.
 */
struct lender *registry_next(struct lender *lender);

/* Takes the registry's lock and those of all pools. */
void registry_fork_prepare(void);
void registry_fork_parent(void);
/* Forgets all lenders. */
void registry_fork_child(void);

#endif
