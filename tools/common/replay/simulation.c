/* SPDX-License-Identifier: PostgreSQL */
/* One pool, as it would have gone with other limits. */
#include "common/replay/simulation.h"

#include <stdlib.h>

#include "common/xalloc.h"

/* As in shim/pool/pool.h. */
#define CROWD_PART 5

struct lease_end {
	uint64_t at_us;
	bool drops;
};

/*
 * Whoever stands in line has all who came later behind him. So the line is always the connects
 * from `head` up to the one that comes next.
 */
struct simulation {
	const struct sim_connect *connects;
	const struct sim_settings *settings;
	struct sim_result *result;
	uint64_t *waits;
	size_t head;            /* the first that is not served */
	struct lease_end *ends; /* of the leases, a heap: the next end first */
	size_t in_use;
	uint64_t idle;
};

/* Which ends first: of two at once the one whose session stays. */
static bool is_before(struct lease_end a, struct lease_end b)
{
	return a.at_us != b.at_us ? a.at_us < b.at_us : a.drops < b.drops;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void push_end(struct simulation *s, struct lease_end end)
{
	size_t at = s->in_use;

	s->ends = xalloc_grow(s->ends, s->in_use++, sizeof(*s->ends));
	while (at > 0 && is_before(end, s->ends[(at - 1) / 2])) {
		s->ends[at] = s->ends[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	s->ends[at] = end;
}

static struct lease_end pop_end(struct simulation *s)
{
	struct lease_end first = s->ends[0];
	struct lease_end last = s->ends[--s->in_use];
	size_t at = 0;

	for (;;) {
		size_t next = 2 * at + 1;

		if (next + 1 < s->in_use && is_before(s->ends[next + 1], s->ends[next])) {
			next++;
		}
		if (next >= s->in_use || !is_before(s->ends[next], last)) {
			break;
		}
		s->ends[at] = s->ends[next];
		at = next;
	}
	s->ends[at] = last;
	return first;
}

static bool has_room(const struct simulation *s)
{
	return s->idle > 0 || s->settings->limit == 0 || s->in_use < s->settings->limit;
}

/* The first in line gets a session. */
static void serve(struct simulation *s, uint64_t now_us)
{
	const struct sim_connect *connect = &s->connects[s->head++];
	uint64_t wait_us = now_us - connect->comes_us;
	bool opens = s->idle == 0;
	uint64_t setup_us = connect->opened == opens ? connect->setup_us
	                    : opens                  ? s->settings->open_us
	                                             : s->settings->check_us;

	s->idle -= !opens;
	s->result->opened += opens;
	s->result->waited += wait_us > 0;
	s->waits[s->result->served++] = wait_us;
	push_end(s, (struct lease_end){sum(now_us, sum(setup_us, connect->hold_us)),
	                               connect->drops});
	if (s->in_use > s->result->peak) {
		s->result->peak = s->in_use;
	}
}

/* Those leave the line whose time was over before `now_us`. */
static void time_out(struct simulation *s, size_t coming, uint64_t now_us)
{
	while (s->head < coming &&
	       sum(s->connects[s->head].comes_us, s->settings->timeout_us) < now_us) {
		s->head++;
		s->result->timeouts++;
	}
}

/* What lies idle above the size is closed, unless there is a crowd. */
static void close_surplus(struct simulation *s)
{
	uint64_t size = s->settings->size;
	bool crowd = s->in_use > 1 && s->in_use * CROWD_PART >= size;

	if (size > 0 && !crowd && s->in_use + s->idle > size) {
		s->idle = size > s->in_use ? size - s->in_use : 0;
	}
}

static void end_lease(struct simulation *s, size_t coming)
{
	struct lease_end end = pop_end(s);

	s->idle += !end.drops;
	time_out(s, coming, end.at_us);
	if (s->head < coming) {
		serve(s, end.at_us);
	} else {
		close_surplus(s);
	}
}

void simulation_run(const struct sim_connect *connects, size_t count,
                    const struct sim_settings *settings, struct sim_result *result,
                    uint64_t *waits)
{
	struct simulation s = {
		.connects = connects, .settings = settings, .result = result, .waits = waits};

	*result = (struct sim_result){0};
	for (size_t coming = 0; coming < count; coming++) {
		uint64_t now_us = connects[coming].comes_us;

		while (s.in_use > 0 && s.ends[0].at_us <= now_us) {
			end_lease(&s, coming);
		}
		if (s.head == coming && has_room(&s)) {
			serve(&s, now_us);
		}
	}
	while (s.head < count && s.in_use > 0 && s.ends[0].at_us != UINT64_MAX) {
		end_lease(&s, count);
	}
	result->timeouts += count - s.head;
	free(s.ends);
}
