/* SPDX-License-Identifier: PostgreSQL */
/* Finishes that are done a moment later. */
#include "acquire/deferred_finish.h"

#include <stdatomic.h>

#include "base/cold.h"

#define PLACES 64

enum state { EMPTY, CHANGING, NOTED };

static struct {
	atomic_int state;
	struct deferred_finish finish;
} places[PLACES] SPARSE;

static atomic_uint noted;

static bool move(unsigned place, int from, int to)
{
	return atomic_compare_exchange_strong(&places[place].state, &from, to);
}

bool deferred_finish_note(const struct deferred_finish *finish)
{
	for (unsigned i = 0; i < PLACES; i++) {
		if (move(i, EMPTY, CHANGING)) {
			places[i].finish = *finish;
			atomic_store(&places[i].state, NOTED);
			atomic_fetch_add(&noted, 1);
			return true;
		}
	}
	return false;
}

bool deferred_finish_any(void)
{
	return atomic_load_explicit(&noted, memory_order_relaxed) > 0;
}

bool deferred_finish_next(struct deferred_finish *finish)
{
	for (unsigned i = 0; i < PLACES; i++) {
		if (move(i, NOTED, CHANGING)) {
			*finish = places[i].finish;
			atomic_store(&places[i].state, EMPTY);
			atomic_fetch_sub(&noted, 1);
			return true;
		}
	}
	return false;
}
