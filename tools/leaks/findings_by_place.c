/* SPDX-License-Identifier: PostgreSQL */
/* What a list amounts to: leaks and held leases, grouped by the place that took them. */
#include "leaks/findings_by_place.h"

#include <stdlib.h>
#include <string.h>

#include "common/symbols/demangle.h"
#include "common/xalloc.h"

enum finding_kind finding_kind(const struct held *held)
{
	switch (held->holding) {
	case HOLDING_RELEASED_BY_EXIT:
		return FINDING_RELEASED_BY_EXIT;
	case HOLDING_NEVER_FINISHED:
		return FINDING_NEVER_FINISHED;
	case HOLDING_KEPT:
		return FINDING_KEPT;
	case HOLDING_SUPPRESSED:
		return FINDING_SUPPRESSED;
	case HOLDING_OPEN:
		return held->process->running ? FINDING_HELD : FINDING_NEVER_RELEASED;
	case HOLDING_NEVER_RELEASED:
		break;
	}
	return FINDING_NEVER_RELEASED;
}

size_t findings_leaked(const struct findings *findings)
{
	return findings->leases[FINDING_NEVER_RELEASED] +
	       findings->leases[FINDING_RELEASED_BY_EXIT] +
	       findings->leases[FINDING_NEVER_FINISHED];
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Where nothing is known of a stack but its number, that is one of its process's own. */
static int by_unknown_place(const struct held *a, const struct held *b)
{
	int order =
		strcmp(a->script != NULL ? a->script : "", b->script != NULL ? b->script : "");

	if (order == 0 && a->stack != b->stack) {
		order = compare(a->stack, b->stack);
	}
	if (order == 0 && a->stack != 0) {
		order = compare(a->process->number, b->process->number);
	}
	return order;
}

static int by_place(const struct held *a, const struct held *b)
{
	int order = compare(finding_kind(a), finding_kind(b));

	if (order == 0) {
		order = compare(a->place != NULL ? a->place->number : 0,
		                b->place != NULL ? b->place->number : 0);
	}
	return order == 0 && a->place == NULL ? by_unknown_place(a, b) : order;
}

static int by_place_and_age(const void *left, const void *right)
{
	const struct held *a = *(struct held *const *)left;
	const struct held *b = *(struct held *const *)right;
	int order = by_place(a, b);

	if (order == 0) {
		order = compare(a->began_us, b->began_us);
	}
	if (order == 0) {
		order = compare(a->process->number, b->process->number);
	}
	return order != 0 ? order : compare(a->lease, b->lease);
}

static int by_weight(const void *left, const void *right)
{
	const struct finding *a = left;
	const struct finding *b = right;
	int order = compare(a->kind, b->kind);

	if (order == 0) {
		order = compare(b->count, a->count);
	}
	return order != 0 ? order : by_place_and_age(&a->leases[0], &b->leases[0]);
}

static size_t collect(const struct lease_list *list, struct held ***all)
{
	const struct process *process;
	size_t count = 0;

	DL_FOREACH (list->all, process) {
		count += HASH_COUNT(process->held);
	}
	*all = xalloc_new(count, sizeof(struct held *));
	count = 0;
	DL_FOREACH (list->all, process) {
		for (struct held *held = process->held; held != NULL; held = held->hh.next) {
			(*all)[count++] = held;
		}
	}
	return count;
}

static void look_up(struct findings *findings, struct finding *finding)
{
	const struct held *oldest = finding->leases[0];

	finding->script = oldest->script != NULL ? oldest->script : "";
	finding->script_frames = "";
	if (oldest->place == NULL) {
		return;
	}
	if (oldest->place->script[0] != '\0') {
		finding->script = oldest->place->script;
	}
	finding->script_frames = oldest->place->script_frames;
	frames_parse(&finding->frames, oldest->place->frames, oldest->place->build_ids);
	finding->spots = xalloc_new(finding->frames.count, sizeof(struct spot *));
	for (size_t i = 0; i < finding->frames.count; i++) {
		finding->spots[i] = source_lookup_want(
			&findings->symbols, &finding->frames.all[i], oldest->began_us);
	}
}

/* Names that the log has, where no file said better. */
static void demangle_symbols(const struct finding *finding)
{
	for (size_t i = 0; i < finding->frames.count; i++) {
		struct frame *frame = &finding->frames.all[i];
		char *clear = demangle(frame->symbol);

		free(frame->symbol);
		frame->symbol = clear;
	}
}

void findings_make(struct findings *findings, const struct lease_list *list)
{
	size_t count;

	*findings = (struct findings){0};
	count = collect(list, &findings->held);
	qsort(findings->held, count, sizeof(struct held *), by_place_and_age);
	findings->all = xalloc_new(count, sizeof(*findings->all));
	for (size_t at = 0; at < count;) {
		struct finding *finding = &findings->all[findings->count++];

		finding->leases = &findings->held[at];
		finding->kind = finding_kind(findings->held[at]);
		do {
			finding->count++;
			at++;
		} while (at < count && by_place(findings->held[at], finding->leases[0]) == 0);
		findings->leases[finding->kind] += finding->count;
		findings->places[finding->kind]++;
		look_up(findings, finding);
	}
	qsort(findings->all, findings->count, sizeof(*findings->all), by_weight);
	findings->symbols.foreign = list->foreign;
	source_lookup_resolve(&findings->symbols);
	for (size_t i = 0; !list->foreign && i < findings->count; i++) {
		demangle_symbols(&findings->all[i]);
	}
}
