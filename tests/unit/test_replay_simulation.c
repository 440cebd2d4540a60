/* SPDX-License-Identifier: PostgreSQL */
/* A pool run again with other limits: cases reckoned by hand, and a model that looks
 * everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/replay/simulation.h"

#define MOST  24
#define TRIES 20000

static uint64_t waits[MOST];
static struct sim_result result;

static void run(const struct sim_connect *connects, size_t count, struct sim_settings settings)
{
	memset(waits, 0xff, sizeof(waits));
	simulation_run(connects, count, &settings, &result, waits);
}

static const struct sim_settings plain = {
	.size = 1, .limit = 1, .timeout_us = 1000, .open_us = 50, .check_us = 5};

/* ---- by hand ------------------------------------------------------------------------- */

static void nobody_comes(void **state)
{
	(void)state;
	run(NULL, 0, plain);
	assert_int_equal(result.peak + result.waited + result.timeouts + result.opened, 0);
}

static void waits_for_the_one_before(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 100, .setup_us = 40, .hold_us = 200, .opened = true},
		{.comes_us = 110, .setup_us = 3, .hold_us = 10},
		{.comes_us = 120, .setup_us = 3, .hold_us = 10},
		{.comes_us = 400, .setup_us = 3, .hold_us = 10}};

	(void)state;
	run(connects, 4, plain);
	assert_int_equal(result.served, 4);
	assert_int_equal(waits[0], 0);
	assert_int_equal(waits[1], 340 - 110);
	assert_int_equal(waits[2], 353 - 120);
	assert_int_equal(waits[3], 0);
	assert_int_equal(result.peak, 1);
	assert_int_equal(result.waited, 2);
	assert_int_equal(result.opened, 1);
}

/* With room for two the second opens a session, which takes what opening takes. */
static void opens_where_there_is_room(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 0, .setup_us = 40, .hold_us = 100, .opened = true},
		{.comes_us = 10, .setup_us = 3, .hold_us = 10},
		{.comes_us = 15, .setup_us = 3, .hold_us = 10}};
	struct sim_settings two = plain;

	(void)state;
	two.limit = 2;
	run(connects, 3, two);
	assert_int_equal(result.opened, 2);
	assert_int_equal(result.peak, 2);
	assert_int_equal(waits[2], 10 + 50 + 10 - 15);
}

/* What was recorded as opening a session finds an idle one now. */
static void checks_where_one_was_opened(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 0, .setup_us = 40, .hold_us = 100, .opened = true},
		{.comes_us = 10, .setup_us = 40, .hold_us = 10, .opened = true},
		{.comes_us = 20, .setup_us = 3, .hold_us = 10}};

	(void)state;
	run(connects, 3, plain);
	assert_int_equal(waits[1], 130);
	assert_int_equal(waits[2], 140 + 5 + 10 - 20);
}

/* A session that ends with its lease is opened anew for the next. */
static void opens_after_a_drop(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 0, .setup_us = 3, .hold_us = 10, .drops = true},
		{.comes_us = 1, .setup_us = 3, .hold_us = 10},
		{.comes_us = 2, .setup_us = 3, .hold_us = 10}};

	(void)state;
	run(connects, 3, plain);
	assert_int_equal(result.opened, 2);
	assert_int_equal(waits[1], 60 - 1);
	assert_int_equal(waits[2], 60 + 50 + 10 - 2);
}

static void times_out(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 0, .hold_us = 500, .opened = true},
		{.comes_us = 100, .hold_us = 1},  /* at its last moment */
		{.comes_us = 99, .hold_us = 1},   /* a moment before */
		{.comes_us = 450, .hold_us = 1}}; /* in time */
	const struct sim_connect in_order[] = {connects[0], connects[2], connects[1],
	                                       connects[3]};
	struct sim_settings settings = plain;

	(void)state;
	settings.timeout_us = 400;
	run(in_order, 4, settings);
	assert_int_equal(result.timeouts, 1);
	assert_int_equal(result.served, 3);
	assert_int_equal(waits[1], 400);
}

static void never_given_back(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 0, .hold_us = UINT64_MAX, .opened = true},
		{.comes_us = 5, .hold_us = 1},
		{.comes_us = 6, .hold_us = 1}};
	struct sim_settings settings = plain;

	(void)state;
	settings.timeout_us = UINT64_MAX;
	run(connects, 3, settings);
	assert_int_equal(result.timeouts, 2);
	assert_int_equal(result.served, 1);
}

/* Two above the size are lent again in a crowd, and closed after it. */
static void closes_what_is_above_the_size(void **state)
{
	const struct sim_connect connects[] = {
		{.comes_us = 0, .hold_us = 100, .opened = true},
		{.comes_us = 1, .hold_us = 110, .opened = true},
		{.comes_us = 2, .hold_us = 20, .opened = true},
		{.comes_us = 50, .hold_us = 10}, /* two are in use: lent again */
		{.comes_us = 200, .hold_us = 10},
		{.comes_us = 201, .hold_us = 10}}; /* one was left */
	struct sim_settings settings = plain;

	(void)state;
	settings.limit = 3;
	run(connects, 6, settings);
	assert_int_equal(result.opened, 4);
	settings.size = 3;
	run(connects, 6, settings);
	assert_int_equal(result.opened, 3);
	settings.size = settings.limit = 0;
	run(connects, 6, settings);
	assert_int_equal(result.opened, 3);
	assert_int_equal(result.peak, 3);
}

/* ---- by a model, which looks at every connect for what is next --------------------------- */

enum stage { COMING, IN_LINE, LEASED, OVER };

struct model {
	struct sim_connect connects[MOST];
	enum stage stage[MOST];
	uint64_t end_us[MOST];
	size_t count;
	struct sim_settings settings;
	uint64_t idle;
	struct sim_result result;
};

static size_t how_many(const struct model *m, enum stage stage)
{
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++) {
		n += m->stage[i] == stage;
	}
	return n;
}

/* The lease that ends first, of two at once the one whose session stays; MOST: none. */
static size_t next_end(const struct model *m)
{
	size_t next = MOST;

	for (size_t i = 0; i < m->count; i++) {
		if (m->stage[i] == LEASED &&
		    (next == MOST || m->end_us[i] < m->end_us[next] ||
		     (m->end_us[i] == m->end_us[next] && m->connects[next].drops &&
		      !m->connects[i].drops))) {
			next = i;
		}
	}
	return next;
}

static size_t first_at(const struct model *m, enum stage stage)
{
	size_t i = 0;

	while (i < m->count && m->stage[i] != stage) {
		i++;
	}
	return i;
}

static void lend(struct model *m, size_t i, uint64_t now_us, uint64_t *waited)
{
	const struct sim_connect *c = &m->connects[i];
	uint64_t setup_us = c->setup_us;

	if (m->idle > 0) {
		m->idle--;
		setup_us = c->opened ? m->settings.check_us : setup_us;
	} else {
		m->result.opened++;
		setup_us = c->opened ? setup_us : m->settings.open_us;
	}
	m->stage[i] = LEASED;
	m->end_us[i] = now_us + setup_us + c->hold_us;
	m->result.waited += now_us > c->comes_us;
	waited[m->result.served++] = now_us - c->comes_us;
	if (how_many(m, LEASED) > m->result.peak) {
		m->result.peak = how_many(m, LEASED);
	}
}

static void end(struct model *m, size_t i, uint64_t *waited)
{
	uint64_t now_us = m->end_us[i];
	size_t used;

	m->stage[i] = OVER;
	m->idle += !m->connects[i].drops;
	for (size_t j = 0; j < m->count; j++) {
		if (m->stage[j] == IN_LINE &&
		    m->connects[j].comes_us + m->settings.timeout_us < now_us) {
			m->stage[j] = OVER;
			m->result.timeouts++;
		}
	}
	if (how_many(m, IN_LINE) > 0) {
		lend(m, first_at(m, IN_LINE), now_us, waited);
		return;
	}
	used = how_many(m, LEASED);
	while (m->settings.size > 0 && m->idle > 0 && used + m->idle > m->settings.size &&
	       (used <= 1 || used * 5 < m->settings.size)) {
		m->idle--;
	}
}

static void run_model(struct model *m, uint64_t *waited)
{
	for (;;) {
		size_t coming = first_at(m, COMING);
		size_t ending = next_end(m);
		bool room = m->settings.limit == 0 || how_many(m, LEASED) < m->settings.limit;

		if (ending < MOST &&
		    (coming == m->count || m->end_us[ending] <= m->connects[coming].comes_us)) {
			end(m, ending, waited);
		} else if (coming == m->count) {
			return;
		} else if (how_many(m, IN_LINE) == 0 && (m->idle > 0 || room)) {
			lend(m, coming, m->connects[coming].comes_us, waited);
		} else {
			m->stage[coming] = IN_LINE;
		}
	}
}

static uint64_t chance(uint64_t below)
{
	return (uint64_t)rand() % below;
}

static void make_trace(struct model *m)
{
	uint64_t now_us = 0;

	memset(m, 0, sizeof(*m));
	m->count = chance(MOST + 1);
	m->settings = (struct sim_settings){.size = chance(5),
	                                    .timeout_us = chance(60),
	                                    .open_us = chance(9),
	                                    .check_us = chance(3)};
	m->settings.limit = m->settings.size > 0 ? m->settings.size + chance(4) : 0;
	for (size_t i = 0; i < m->count; i++) {
		now_us += chance(12) * chance(2);
		m->connects[i] = (struct sim_connect){.comes_us = now_us,
		                                      .setup_us = chance(6),
		                                      .hold_us = chance(40),
		                                      .opened = chance(3) == 0,
		                                      .drops = chance(5) == 0};
	}
}

static void agrees_with_a_model(void **state)
{
	uint64_t timeouts = 0;
	uint64_t waited = 0;

	(void)state;
	srand(20);
	for (int i = 0; i < TRIES; i++) {
		uint64_t expected[MOST];
		struct model m;

		make_trace(&m);
		memset(expected, 0xff, sizeof(expected));
		run_model(&m, expected);
		run(m.connects, m.count, m.settings);
		assert_memory_equal(&result, &m.result, sizeof(result));
		assert_memory_equal(waits, expected, sizeof(expected));
		timeouts += result.timeouts;
		waited += result.waited;
	}
	assert_true(timeouts > TRIES && waited > TRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_comes),
		cmocka_unit_test(waits_for_the_one_before),
		cmocka_unit_test(opens_where_there_is_room),
		cmocka_unit_test(checks_where_one_was_opened),
		cmocka_unit_test(opens_after_a_drop),
		cmocka_unit_test(times_out),
		cmocka_unit_test(never_given_back),
		cmocka_unit_test(closes_what_is_above_the_size),
		cmocka_unit_test(agrees_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
