/* SPDX-License-Identifier: PostgreSQL */
/* The lenders: which pool has the sessions of an identity. */
#include "pool/registry.h"

#include <stdlib.h>

#include "base/cold.h"
#include "base/lock.h"
#include "trace/status/status.h"

#define LENDERS_MAX 4096

static struct lock lock = LOCK_INITIALIZER(LOCK_REGISTRY);
static struct lender *lenders;
static struct pool_limits limits;

void registry_configure(const struct pool_limits *wanted)
{
	limits = *wanted;
}

void lender_hold(struct lender *lender)
{
	atomic_fetch_add_explicit(&lender->users, 1, memory_order_relaxed);
}

void lender_release(struct lender *lender)
{
	atomic_fetch_sub_explicit(&lender->users, 1, memory_order_release);
}

/* Takes out one lender that is not in use; NULL: all are. */
static COLD struct lender *evict_locked(void)
{
	struct lender *lender;
	struct lender *after;

	HASH_ITER (hh, lenders, lender, after) {
		if (atomic_load_explicit(&lender->users, memory_order_acquire) == 0) {
			HASH_DEL(lenders, lender);
			return lender;
		}
	}
	return NULL;
}

static COLD void free_lender(struct lender *lender)
{
	status_free_pool(lender->pool.row);
	identity_release(lender->identity);
	free(lender);
}

static struct lender *make(struct identity *identity)
{
	struct lender *lender = calloc(1, sizeof(*lender));

	if (lender != NULL) {
		identity_hold(identity);
		lender->identity = identity;
		pool_init(&lender->pool, &limits);
	}
	return lender;
}

void lender_show(struct lender *lender)
{
	uint32_t row;

	if (lender->pool.row == 0) {
		row = status_take_pool(lender->identity->label, limits.total, limits.size);
		if (row != 0 && !pool_show(&lender->pool, row)) {
			status_free_pool(row);
		}
	}
}

static struct lender *find(struct identity *identity)
{
	struct lender *lender;

	lock_take(&lock);
	HASH_FIND_PTR(lenders, &identity, lender);
	if (lender != NULL) {
		lender_hold(lender);
	}
	lock_drop(&lock);
	return lender;
}

struct lender *registry_lender(struct identity *identity)
{
	struct lender *lender = find(identity);
	struct lender *fresh;
	struct lender *evicted = NULL;

	if (lender != NULL) {
		return lender;
	}
	fresh = make(identity);
	if (fresh == NULL) {
		return NULL;
	}
	lock_take(&lock);
	HASH_FIND_PTR(lenders, &identity, lender);
	if (lender == NULL && HASH_COUNT(lenders) >= LENDERS_MAX) {
		evicted = evict_locked();
	}
	if (lender == NULL && (evicted != NULL || HASH_COUNT(lenders) < LENDERS_MAX)) {
		HASH_ADD_PTR(lenders, identity, fresh);
		if (fresh->hh.tbl != NULL) {
			lender = fresh;
			fresh = NULL;
		}
	}
	if (lender != NULL) {
		lender_hold(lender);
	}
	lock_drop(&lock);
	if (fresh != NULL) {
		free_lender(fresh);
	}
	if (evicted != NULL) {
		free_lender(evicted);
	}
	return lender;
}

struct lender *registry_next(struct lender *lender)
{
	struct lender *next;

	lock_take(&lock);
	next = lender != NULL ? lender->hh.next : lenders;
	if (next != NULL) {
		lender_hold(next);
	}
	if (lender != NULL) {
		lender_release(lender);
	}
	lock_drop(&lock);
	return next;
}

void registry_fork_prepare(void)
{
	struct lender *lender;
	struct lender *after;

	lock_take(&lock);
	HASH_ITER (hh, lenders, lender, after) {
		lock_take_peer(&lender->pool.lock);
	}
}

void registry_fork_parent(void)
{
	struct lender *lender;
	struct lender *after;

	HASH_ITER (hh, lenders, lender, after) {
		lock_drop(&lender->pool.lock);
	}
	lock_drop(&lock);
}

void registry_fork_child(void)
{
	struct lender *lender;
	struct lender *after;

	HASH_ITER (hh, lenders, lender, after) {
		lock_drop(&lender->pool.lock);
		lender->pool.row = 0;
	}
	/* Not freed: other threads of the parent were using them. */
	lenders = NULL;
	lock_drop(&lock);
}
