/* SPDX-License-Identifier: PostgreSQL */
/*
 * A model of the pool, for test_pool_model.c: what pool.h promises of the limit, the order of
 * the line, which session is lent, age, invalidation and surplus, and nothing of how the pool
 * finds it out.
 */
#ifndef PQPOOL_TESTS_POOL_MODEL_H
#define PQPOOL_TESTS_POOL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pool/pool.h"

#define ACTORS 7
#define SLOTS  64

/* What an actor, a thread of the program, owes the pool or holds of it. */
enum part { OUT, LINE, ROOM, CHECK, STALE, LEASE, DOOMED, BACK };

/* How a model is wrong, to see that this is found. */
enum lie { TRUE, LIMIT, ORDER, LENDS, AGE, SURPLUS };

struct actor {
	enum part part;
	struct pool_waiter waiter;
	struct pool_slot *slot;
};

/* The model. Lists are arrays with the first one at 0. */
struct model {
	enum lie lie;
	struct pool_limits limits;
	uint64_t now;
	uint32_t used;
	uint32_t returning;
	struct pool_slot *idle[SLOTS]; /* most recently returned first */
	size_t idle_count;
	struct actor *line[ACTORS];
	size_t waiting;
	struct pool_slot *closing[SLOTS];
	size_t closing_count;
	uint64_t invalid_before;
	uint64_t place;
	uint64_t landed;
	bool sheds; /* surplus must go with the next tending */
};

static struct model model;
static struct actor actors[ACTORS];
static struct pool_slot slots[SLOTS];
static bool taken[SLOTS];

/* ---- lists ----------------------------------------------------------------------- */

static inline struct pool_slot *take_slot(void)
{
	for (size_t i = 0; i < SLOTS; i++) {
		if (!taken[i]) {
			taken[i] = true;
			return &slots[i];
		}
	}
	abort();
}

static inline void free_slot(const struct pool_slot *slot)
{
	taken[slot - slots] = false;
}

static inline void cut(void *list, size_t *count, size_t at)
{
	void **items = list;

	memmove(&items[at], &items[at + 1], (*count - at - 1) * sizeof(*items));
	(*count)--;
}

static inline void push(void *list, size_t *count, void *item)
{
	void **items = list;

	memmove(&items[1], &items[0], *count * sizeof(*items));
	items[0] = item;
	(*count)++;
}

/* ---- the model --------------------------------------------------------------------- */

static inline uint32_t limit(void)
{
	return model.limits.total + (model.lie == LIMIT ? 1 : 0);
}

static inline enum drop_reason fate(const struct pool_slot *slot)
{
	if (slot->opened_ns < model.invalid_before) {
		return DROP_INVALIDATED;
	}
	return model.now + (model.lie == AGE ? 200 * NS_PER_MS : 0) >= slot->retire_ns
	               ? DROP_AGED
	               : DROP_NONE;
}

static inline bool is_surplus(void)
{
	return model.idle_count + model.returning >
	       model.limits.size + (model.lie == SURPLUS ? 1 : 0);
}

static inline bool is_calm(void)
{
	uint32_t in_use = model.used - (uint32_t)model.idle_count - model.returning -
	                  (uint32_t)model.closing_count;

	return in_use <= 1 || in_use * POOL_CROWD_PART < model.limits.size;
}

static inline bool must_shed(void)
{
	return is_surplus() && model.idle_count > 0 &&
	       (is_calm() ||
	        model.now >= model.idle[model.idle_count - 1]->idle_ns + POOL_SURPLUS_NS);
}

/* The first in line gets it; false: there is none. */
static inline bool model_serve(enum pool_grant grant, struct pool_slot *slot)
{
	size_t first = model.lie == ORDER && model.waiting > 0 ? model.waiting - 1 : 0;

	if (model.waiting == 0) {
		return false;
	}
	model.line[first]->slot = slot;
	model.line[first]->part = grant == POOL_LEND   ? CHECK
	                          : grant == POOL_OPEN ? ROOM
	                                               : STALE;
	cut(model.line, &model.waiting, first);
	return true;
}

static inline bool model_give_room(enum pool_grant grant, struct pool_slot *slot)
{
	bool served = model_serve(grant, slot);

	if (!served) {
		model.used--;
		model.sheds = model.sheds || (is_surplus() && is_calm());
	}
	return served;
}

/* What an acquire of the actor's is granted. */
static inline enum pool_grant model_acquire(struct actor *a, bool again)
{
	a->slot = NULL;
	if (model.idle_count > 0) {
		bool oldest = model.limits.fifo != (model.lie == LENDS);
		size_t at = oldest ? model.idle_count - 1 : 0;

		a->slot = model.idle[at];
		cut(model.idle, &model.idle_count, at);
		a->part = fate(a->slot) == DROP_NONE ? CHECK : STALE;
		return a->part == CHECK ? POOL_LEND : POOL_REPLACE;
	}
	if (model.used < limit()) {
		model.used++;
		a->part = ROOM;
		return POOL_OPEN;
	}
	if (again) {
		push(model.line, &model.waiting, a);
	} else {
		model.line[model.waiting++] = a;
	}
	a->part = LINE;
	return POOL_FULL;
}

#endif
