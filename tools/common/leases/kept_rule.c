/* SPDX-License-Identifier: PostgreSQL */
/* Which of the connections that ended processes held were leaks, and which they kept. */
#include "common/leases/kept_rule.h"

#include <string.h>

/* What is known of where a lease was taken. */
struct origin {
	uint64_t stack;
	const struct place *place; /* NULL = unknown */
	const char *script;        /* NULL = no script took it */
};

static struct origin origin_of(const struct held *held)
{
	struct origin origin = {held->stack, held->place, held->script};

	if (origin.script == NULL && held->place != NULL && held->place->script[0] != '\0') {
		origin.script = held->place->script;
	}
	return origin;
}

/* How much of a script's frames, from the innermost on, leads out to the script's own line. */
static size_t bytes_of_place(const struct origin *origin)
{
	const char *frame = origin->place->script_frames;
	size_t n = strlen(origin->script);

	while (strncmp(frame, origin->script, n) != 0 || frame[n] != '(') {
		frame = strchr(frame, ' ');
		if (frame == NULL) {
			return strlen(origin->place->script_frames);
		}
		frame++;
	}
	return (size_t)(frame - origin->place->script_frames) + n;
}

/* Whether two stacks of a process are of one place: in a script the lines alone count. */
static bool same_place(const struct origin *a, const struct origin *b)
{
	size_t n;

	if (a->stack == b->stack) {
		return true;
	}
	if (a->place == NULL || b->place == NULL || a->script == NULL || b->script == NULL) {
		return false;
	}
	n = bytes_of_place(a);
	return n == bytes_of_place(b) &&
	       strncmp(a->place->script_frames, b->place->script_frames, n) == 0;
}

static bool gives_back(const struct process *process, const struct held *held)
{
	struct origin own = origin_of(held);
	const struct numbered *n;

	for (n = process->stacks; n != NULL; n = n->hh.next) {
		struct origin other = {n->stack, n->place, n->script};

		if (n->given_back && same_place(&own, &other)) {
			return true;
		}
	}
	return false;
}

static bool is_alone(const struct process *process, const struct held *held)
{
	struct origin own = origin_of(held);
	const struct held *other;

	for (other = process->held; other != NULL; other = other->hh.next) {
		struct origin of_other = origin_of(other);

		if (other != held && other->thread == held->thread &&
		    same_place(&own, &of_other)) {
			return false;
		}
	}
	return true;
}

static bool is_open(const struct held *held)
{
	return !held->said &&
	       (held->holding == HOLDING_OPEN || held->holding == HOLDING_RELEASED_BY_EXIT);
}

void kept_rule_apply(struct lease_list *list)
{
	struct process *process;

	DL_FOREACH (list->all, process) {
		for (struct held *held = process->held; held != NULL; held = held->hh.next) {
			if (!process->running && is_open(held) && !gives_back(process, held) &&
			    is_alone(process, held)) {
				held->holding = HOLDING_KEPT;
			}
		}
	}
}
