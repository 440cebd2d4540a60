/* SPDX-License-Identifier: PostgreSQL */
/* Which of the connections that ended processes held were leaks, and which they kept. */
#include "common/leases/kept_rule.h"

#include <string.h>

/* How much of a script's frames, from the innermost on, leads out to the script's own line. */
static size_t bytes_of_place(const struct place *place)
{
	const char *frame = place->script_frames;
	size_t n = strlen(place->script);

	while (strncmp(frame, place->script, n) != 0 || frame[n] != '(') {
		frame = strchr(frame, ' ');
		if (frame == NULL) {
			return strlen(place->script_frames);
		}
		frame++;
	}
	return (size_t)(frame - place->script_frames) + n;
}

/* Whether two stacks of a process are of one place: in a script the lines alone count. */
static bool same_place(uint64_t stack, const struct place *place, uint64_t other,
                       const struct place *of_other)
{
	size_t n;

	if (stack == other) {
		return true;
	}
	if (place == NULL || of_other == NULL || place->script[0] == '\0') {
		return false;
	}
	n = bytes_of_place(place);
	return n == bytes_of_place(of_other) &&
	       strncmp(place->script_frames, of_other->script_frames, n) == 0;
}

static bool gives_back(const struct process *process, const struct held *held)
{
	const struct numbered *n;

	for (n = process->stacks; n != NULL; n = n->hh.next) {
		if (n->given_back && same_place(held->stack, held->place, n->stack, n->place)) {
			return true;
		}
	}
	return false;
}

static bool is_alone(const struct process *process, const struct held *held)
{
	const struct held *other;

	for (other = process->held; other != NULL; other = other->hh.next) {
		if (other != held && other->thread == held->thread &&
		    same_place(held->stack, held->place, other->stack, other->place)) {
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
