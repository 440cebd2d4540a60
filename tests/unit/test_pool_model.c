/* SPDX-License-Identifier: PostgreSQL */
/*
 * The pool against a model of it: random calls, and what each must give.
 *
 *   test_pool_model [SEED]     another seed than the usual one
 *
 * After each call both are compared. A sequence of calls that sets them apart is shrunk until
 * each of its steps is needed, and printed. That it is found and shrunk is shown with models
 * that are wrong.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pool/pool.h"
#include "pool_model.h"

#define STEPS     4000
#define SEQUENCES 600

static struct pool pool;
static uint64_t seed = 20260102;

static uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

/* ---- steps: each applies one call to both, and says where they differ ------------------ */

static const char *acquire(struct actor *a, bool again)
{
	enum pool_grant expected;
	enum pool_grant got;

	if (a->part != OUT) {
		return NULL;
	}
	got = again ? pool_acquire_again(&pool, model.now, &a->waiter, NULL)
	            : pool_acquire(&pool, model.now, &a->waiter, NULL);
	expected = model_acquire(a, again);
	if (got != expected) {
		return "another grant";
	}
	return got == POOL_FULL || a->waiter.slot == a->slot ? NULL : "another slot";
}

static const char *leave_line(struct actor *a)
{
	if (a->part != LINE) {
		return NULL;
	}
	if (pool_leave(&pool, &a->waiter) != POOL_FULL) {
		return "granted, though others came before";
	}
	for (size_t i = 0; i < model.waiting; i++) {
		if (model.line[i] == a) {
			cut(model.line, &model.waiting, i);
			break;
		}
	}
	a->part = OUT;
	return NULL;
}

/* A session is opened in the room that the actor has, or cannot be. */
static const char *open_session(struct actor *a, bool succeeds, uint16_t jitter)
{
	if (a->part == STALE || (a->part == CHECK && !succeeds)) {
		free_slot(a->slot);
		a->part = ROOM;
		return NULL;
	}
	if (a->part == CHECK) {
		pool_lent(a->slot);
		a->part = LEASE;
	} else if (a->part == ROOM && succeeds) {
		a->slot = take_slot();
		pool_opened(&pool, a->slot, model.now, jitter);
		a->part = LEASE;
	} else if (a->part == ROOM) {
		pool_open_failed(&pool);
		a->part = OUT;
		model_give_room(POOL_OPEN, NULL);
	}
	return NULL;
}

static const char *give_back(struct actor *a)
{
	enum drop_reason expected;

	if (a->part != LEASE) {
		return NULL;
	}
	model.returning++;
	expected = fate(a->slot);
	model.sheds = model.sheds || must_shed();
	if (expected == DROP_NONE && model.waiting == 0 && is_surplus() && is_calm()) {
		expected = DROP_SURPLUS;
	}
	a->part = expected == DROP_NONE ? BACK : DOOMED;
	model.returning -= expected == DROP_NONE ? 0 : 1;
	return pool_return(&pool, a->slot, model.now) == expected ? NULL : "another reason";
}

static const char *keep(struct actor *a)
{
	if (a->part != BACK) {
		return NULL;
	}
	a->part = OUT;
	model.returning--;
	if (!model_serve(POOL_LEND, a->slot)) {
		push(model.idle, &model.idle_count, a->slot);
	}
	pool_keep(&pool, a->slot, model.now);
	return NULL;
}

static const char *close_session(struct pool_slot *slot, bool seen)
{
	bool served = model_give_room(seen ? POOL_REPLACE : POOL_OPEN, seen ? slot : NULL);

	if (seen && pool_drop(&pool, slot) != served) {
		return "its room went elsewhere";
	}
	if (!seen) {
		pool_forget(&pool, slot);
	}
	if (!seen || !served) {
		free_slot(slot);
	}
	return NULL;
}

static const char *drop(struct actor *a, bool seen)
{
	if (a->part != LEASE && a->part != DOOMED && a->part != BACK) {
		return NULL;
	}
	model.returning -= a->part == BACK ? 1 : 0;
	a->part = OUT;
	return close_session(a->slot, seen);
}

static const char *close_one(uint32_t which, bool seen)
{
	struct pool_slot *slot;

	if (model.closing_count == 0) {
		return NULL;
	}
	which %= (uint32_t)model.closing_count;
	slot = model.closing[which];
	cut(model.closing, &model.closing_count, which);
	return close_session(slot, seen);
}

/* The pool takes this one out, which must be idle. */
static bool closes(const struct pool_slot *slot)
{
	for (size_t i = 0; i < model.idle_count; i++) {
		if (model.idle[i] == slot) {
			model.closing[model.closing_count++] = model.idle[i];
			cut(model.idle, &model.idle_count, i);
			return true;
		}
	}
	return false;
}

static bool is_past(const struct pool_slot *slot)
{
	return fate(slot) != DROP_NONE ||
	       (model.limits.idle_timeout_ns > 0 &&
	        model.now >= slot->idle_ns + model.limits.idle_timeout_ns);
}

static const char *tend(void)
{
	struct pool_slot *out = pool_tend(&pool, model.now);
	struct pool_slot *surplus[SLOTS];
	size_t count = 0;

	for (; out != NULL; out = out->next) {
		if (out->why == DROP_SURPLUS) {
			push(surplus, &count, out);
		} else if (!is_past(out) || !closes(out)) {
			return "not past its time";
		}
	}
	for (size_t i = 0; i < model.idle_count; i++) {
		if (is_past(model.idle[i])) {
			return "past its time, and left";
		}
	}
	/* The oldest one first. */
	for (size_t i = 0; i < count; i++) {
		if (!must_shed() || model.idle[model.idle_count - 1] != surplus[i]) {
			return "no surplus";
		}
		closes(surplus[i]);
	}
	if (model.sheds && must_shed()) {
		return "surplus, and left";
	}
	model.sheds = false;
	return NULL;
}

static const char *drain(void)
{
	struct pool_slot *next;

	for (struct pool_slot *out = pool_drain(&pool); out != NULL; out = next) {
		next = out->next;
		if (!closes(out)) {
			return "was not idle";
		}
	}
	return model.idle_count == 0 ? NULL : "still idle";
}

static const char *land(uint64_t place, uint64_t ago)
{
	bool undisputed =
		model.place == place || model.place == 0 || model.now - ago >= model.landed;

	if (model.place != place) {
		model.invalid_before = model.place != 0 ? model.now : model.invalid_before;
		model.place = place;
		model.landed = model.now;
	}
	return pool_landed(&pool, place, model.now - ago, model.now) == undisputed
	               ? NULL
	               : "another's word";
}

static const char *reserve(uint32_t wanted)
{
	uint32_t room = limit() - model.used;
	uint32_t got = pool_reserve(&pool, wanted);

	if (got != (wanted < room ? wanted : room)) {
		return "another number of rooms";
	}
	/* They are given up at once: what comes of a room is seen with the actors. */
	model.used += got;
	while (got-- > 0) {
		pool_open_failed(&pool);
		model_give_room(POOL_OPEN, NULL);
	}
	return NULL;
}

static const char *wait_ns(uint32_t which)
{
	static const uint64_t some[] = {1, NS_PER_MS, 300 * NS_PER_MS, NS_PER_SEC,
	                                20 * NS_PER_SEC};

	model.now += some[which % (sizeof(some) / sizeof(some[0]))];
	return NULL;
}

static const char *const names[] = {
	"acquire",    "acquire again", "leave the line", "open or pass", "fail to open or pass",
	"give back",  "keep",          "drop",           "forget",       "close one",
	"forget one", "tend",          "drain",          "invalidate",   "land",
	"reserve",    "wait"};

/* A step is a number: the call, the actor, and a detail. */
static unsigned kind_of(uint32_t step)
{
	static const uint8_t kinds[] = {0,  0,  0,  1,  2,  3,  3, 3, 4,  5,  5,
	                                5,  6,  6,  6,  7,  8,  9, 9, 10, 11, 11,
	                                12, 13, 14, 15, 16, 16, 3, 5, 6,  0};

	return kinds[step % 32];
}

static const char *apply(uint32_t step)
{
	struct actor *a = &actors[(step >> 5) % ACTORS];
	uint32_t detail = step >> 16;

	switch (kind_of(step)) {
	case 0:
	case 1:
		return acquire(a, kind_of(step) == 1);
	case 2:
		return leave_line(a);
	case 3:
	case 4:
		return open_session(a, kind_of(step) == 3, (uint16_t)detail);
	case 5:
		return give_back(a);
	case 6:
		return keep(a);
	case 7:
	case 8:
		return drop(a, kind_of(step) == 7);
	case 9:
	case 10:
		return close_one(detail, kind_of(step) == 9);
	case 11:
		return tend();
	case 12:
		return drain();
	case 13:
		model.invalid_before = detail % 4 == 0 ? model.now : model.invalid_before;
		pool_invalidate(&pool, model.invalid_before);
		return NULL;
	case 14:
		return detail % 8 == 0 ? land(1 + detail / 8 % 2, detail % 3) : NULL;
	case 15:
		return reserve(detail % 3);
	default:
		return wait_ns(detail);
	}
}

/* ---- both after a step ------------------------------------------------------------------ */

static const char *compare(void)
{
	struct pool_counts counts = pool_count(&pool);

	if (counts.used != model.used || counts.idle != model.idle_count ||
	    counts.waiting != model.waiting) {
		return "other counts";
	}
	if (counts.used > model.limits.total) {
		return "beyond the limit";
	}
	if (counts.waiting > 0 && (counts.idle > 0 || counts.used < model.limits.total)) {
		return "somebody waits for what is there";
	}
	for (size_t i = 0; i < ACTORS; i++) {
		struct actor *a = &actors[i];
		enum pool_grant grant = a->part == LINE ? POOL_FULL : a->waiter.grant;

		if (a->part == LINE && pool_granted(&pool, &a->waiter) != grant) {
			return "served before its turn";
		}
		if ((a->part == CHECK && (grant != POOL_LEND || a->waiter.slot != a->slot)) ||
		    (a->part == STALE &&
		     (grant != POOL_REPLACE || a->waiter.slot != a->slot))) {
			return "not served with that";
		}
	}
	return NULL;
}

static void begin(enum lie lie, uint64_t config)
{
	static const struct pool_limits several[] = {
		{.size = 2, .total = 2},
		{.size = 1, .total = 1},
		{.size = 2, .total = 5, .recycle_ns = 30 * NS_PER_SEC},
		{.size = 1, .total = 4, .idle_timeout_ns = 5 * NS_PER_SEC},
		{.size = 3, .total = 6, .fifo = true},
		{.size = 0, .total = 3},
		{.size = 4,
	         .total = 5,
	         .recycle_ns = NS_PER_SEC,
	         .idle_timeout_ns = NS_PER_SEC},
	};
	const struct pool_limits *limits =
		&several[config % (sizeof(several) / sizeof(several[0]))];

	model = (struct model){.lie = lie, .limits = *limits, .now = 1000 * NS_PER_SEC};
	memset(actors, 0, sizeof(actors));
	memset(taken, 0, sizeof(taken));
	pool_init(&pool, limits);
}

/* Where they differ: *at is the step; NULL: nowhere. */
static const char *run(enum lie lie, uint64_t config, const uint32_t *steps, size_t count,
                       size_t *at)
{
	begin(lie, config);
	for (*at = 0; *at < count; (*at)++) {
		const char *why = apply(steps[*at]);

		why = why != NULL ? why : compare();
		if (why != NULL) {
			return why;
		}
	}
	return NULL;
}

/* Leaves out what can be left out, big parts first; returns how many steps are left. */
static size_t shrink(enum lie lie, uint64_t config, uint32_t *steps, size_t count)
{
	static uint32_t fewer[STEPS];

	for (size_t part = count / 2; part > 0; part /= 2) {
		for (size_t from = 0; from + part <= count;) {
			size_t at;

			memcpy(fewer, steps, from * sizeof(*steps));
			memcpy(&fewer[from], &steps[from + part],
			       (count - from - part) * sizeof(*steps));
			if (run(lie, config, fewer, count - part, &at) != NULL) {
				count = at + 1;
				memcpy(steps, fewer, count * sizeof(*steps));
			} else {
				from += part;
			}
		}
	}
	return count;
}

static void print_steps(uint64_t config, const uint32_t *steps, size_t count, const char *why)
{
	print_message("seed %" PRIu64 ", limits %" PRIu64 ": %s\n", seed, config, why);
	for (size_t i = 0; i < count; i++) {
		print_message("  actor %u: %s (%u)\n", (unsigned)((steps[i] >> 5) % ACTORS),
		              names[kind_of(steps[i])], (unsigned)(steps[i] >> 16));
	}
}

/* How many steps a counterexample has, 0 = none was found in so many sequences. */
static size_t search(enum lie lie, uint64_t sequences, bool shown)
{
	static uint32_t steps[STEPS];
	uint64_t state = seed;
	size_t at;

	for (uint64_t config = 0; config < sequences; config++) {
		for (size_t i = 0; i < STEPS; i++) {
			steps[i] = next_random(&state);
		}
		if (run(lie, config, steps, STEPS, &at) != NULL) {
			size_t count = shrink(lie, config, steps, at + 1);

			if (shown) {
				const char *why = run(lie, config, steps, count, &at);

				print_steps(config, steps, count,
				            why != NULL ? why : "not again");
			}
			return count;
		}
	}
	return 0;
}

static void does_what_the_model_says(void **state)
{
	(void)state;
	assert_int_equal(search(TRUE, SEQUENCES, true), 0);
}

static void a_wrong_model_is_found_and_shrunk(void **state)
{
	(void)state;
	for (enum lie lie = LIMIT; lie <= SURPLUS; lie++) {
		size_t steps = search(lie, SEQUENCES, false);

		assert_in_range(steps, 1, 16);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(does_what_the_model_says),
		cmocka_unit_test(a_wrong_model_is_found_and_shrunk),
	};

	if (argc > 1) {
		seed = strtoull(argv[1], NULL, 10);
		seed += seed == 0 ? 1 : 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
