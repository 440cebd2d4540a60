/* SPDX-License-Identifier: PostgreSQL */
/* The leases grouped by the pool and the place that took them. */
#include "report/places.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/percentile.h"
#include "common/symbols/call_frames.h"
#include "common/xalloc.h"

/* ---- groups -------------------------------------------------------------------------- */

static struct lease_place *group_of(struct places *places, const struct history_lease *lease)
{
	struct lease_place *found;
	struct lease_place *added = xalloc_new(1, sizeof(*added));

	added->key.pool = lease->pool;
	added->key.place = lease->place;
	added->key.script = lease->script;
	HASH_FIND(hh, places->by_key, &added->key, sizeof(added->key), found);
	if (found != NULL) {
		free(added);
		return found;
	}
	added->first_us = lease->acquired_us;
	HASH_ADD(hh, places->by_key, key, sizeof(added->key), added);
	xalloc_added(added->hh.tbl);
	places->all = xalloc_grow(places->all, places->count, sizeof(struct lease_place *));
	places->all[places->count++] = added;
	return added;
}

static void add_lease(struct lease_place *place, const struct history_lease *lease)
{
	place->leases++;
	place->leaks += history_is_leak(lease);
	place->held_us += lease->hold_us;
	if (lease->query_us != HISTORY_UNKNOWN && lease->transaction_us != HISTORY_UNKNOWN) {
		place->split = true;
		place->query_us += lease->query_us;
		place->transaction_us += lease->transaction_us;
	}
	if (lease->acquired_us < place->first_us) {
		place->first_us = lease->acquired_us;
	}
}

static void group(struct places *places, const struct history *history)
{
	places->of_lease = xalloc_new(history->lease_count, sizeof(struct lease_place *));
	for (size_t i = 0; i < history->lease_count; i++) {
		struct lease_place *place = group_of(places, &history->leases[i]);

		places->of_lease[i] = place;
		add_lease(place, &history->leases[i]);
	}
}

/* Each place's holds lie together, from its `begin` on. */
static void find_percentiles(struct places *places, const struct history *history)
{
	uint64_t *holds = xalloc_new(history->lease_count, sizeof(*holds));
	size_t *fill = xalloc_new(places->count, sizeof(*fill));
	size_t begin = 0;

	for (size_t i = 0; i < places->count; i++) {
		places->all[i]->number = i;
		places->all[i]->begin = begin;
		fill[i] = begin;
		begin += places->all[i]->leases;
	}
	for (size_t i = 0; i < history->lease_count; i++) {
		holds[fill[places->of_lease[i]->number]++] = history->leases[i].hold_us;
	}
	for (size_t i = 0; i < places->count; i++) {
		struct lease_place *place = places->all[i];
		uint64_t *own = &holds[place->begin];

		percentile_sort(own, place->leases);
		place->p50_us = percentile_of(own, place->leases, 50);
		place->p99_us = percentile_of(own, place->leases, 99);
		place->max_us = percentile_of(own, place->leases, 100);
	}
	free(holds);
	free(fill);
}

static int most_held_first(const void *left, const void *right)
{
	const struct lease_place *a = *(struct lease_place *const *)left;
	const struct lease_place *b = *(struct lease_place *const *)right;

	if (a->held_us != b->held_us) {
		return a->held_us < b->held_us ? 1 : -1;
	}
	return (a->number > b->number) - (a->number < b->number);
}

static void choose(struct places *places)
{
	if (places->count > 0) { /* else there is no array, and qsort must have one */
		qsort(places->all, places->count, sizeof(struct lease_place *),
		      most_held_first);
	}
	for (size_t i = 0; i < places->count; i++) {
		places->all[i]->number = i < PLACES_MOST ? i : PLACES_NONE;
	}
	places->left_out = places->count > PLACES_MOST ? places->count - PLACES_MOST : 0;
	places->count -= places->left_out;
}

/* ---- names of frames ------------------------------------------------------------------- */

static size_t frame_number(struct places *places, const char *text)
{
	size_t n = strlen(text);
	struct frame_name *name;

	HASH_FIND(hh, places->by_name, text, n, name);
	if (name == NULL) {
		name = xalloc_new(1, sizeof(*name) + n + 1);
		memcpy(name->text, text, n);
		name->number = places->frame_count;
		HASH_ADD_KEYPTR(hh, places->by_name, name->text, n, name);
		xalloc_added(name->hh.tbl);
		places->frames = xalloc_grow(places->frames, places->frame_count,
		                             sizeof(struct frame_name *));
		places->frames[places->frame_count++] = name;
	}
	return name->number;
}

/* "open_database /srv/src/shop.c:12", as far as known; "..." stands for frames left out. */
static void add_frame(struct places *places, struct lease_place *place, const char *function,
                      const char *file, unsigned long line)
{
	bool both = function[0] != '\0' && file[0] != '\0';
	char number[32] = "";
	char *text;

	if (line != 0) {
		snprintf(number, sizeof(number), ":%lu", line);
	}
	if (asprintf(&text, "%s%s%s%s", function, both ? " " : "", file, number) < 0) {
		xalloc_added(NULL);
	}
	place->stack = xalloc_grow(place->stack, place->depth, sizeof(*place->stack));
	place->stack[place->depth++] = frame_number(places, text);
	free(text);
}

static void add_native(struct places *places, struct lease_place *place,
                       const struct frame *frame, const struct spot *spot)
{
	char *where;

	if (asprintf(&where, "%s+0x%" PRIx64, frame->module, frame->offset) < 0) {
		xalloc_added(NULL);
	}
	for (size_t i = 0; i < spot->sources.count; i++) {
		const struct source *source = &spot->sources.all[i];
		const char *function = source->function != NULL ? source->function : "";

		if (source->file != NULL) {
			add_frame(places, place, function, source->file, source->line);
		} else {
			add_frame(places, place, function, where, 0);
		}
	}
	if (spot->sources.count == 0) {
		add_frame(places, place, frame->symbol, where, 0);
	}
	free(where);
}

static void add_script(struct places *places, struct lease_place *place)
{
	const char *text = place->key.place != NULL ? place->key.place->script_frames : "";
	struct script_frame frame;

	while (frames_next_script(&text, &frame)) {
		add_frame(places, place, frame.function, frame.file, frame.line);
		frames_free_script(&frame);
	}
	if (place->depth == 0) {
		add_frame(places, place, "", place->key.script, 0);
	}
}

/* The outermost comes first. */
static void turn_round(struct lease_place *place)
{
	for (size_t i = 0; i < place->depth / 2; i++) {
		size_t swapped = place->stack[i];

		place->stack[i] = place->stack[place->depth - 1 - i];
		place->stack[place->depth - 1 - i] = swapped;
	}
}

/* The frames of a place that no script took, and what was asked for each. */
struct wanted {
	struct frames frames;
	struct spot **spots;
};

static void want(struct places *places, const struct lease_place *place, struct wanted *wanted)
{
	frames_parse(&wanted->frames, place->key.place->frames, place->key.place->build_ids);
	wanted->spots = xalloc_new(wanted->frames.count, sizeof(struct spot *));
	for (size_t i = 0; i < wanted->frames.count; i++) {
		wanted->spots[i] = source_lookup_want(&places->symbols, &wanted->frames.all[i],
		                                      place->first_us);
	}
}

static void name_frames(struct places *places)
{
	struct wanted *wanted = xalloc_new(places->count, sizeof(*wanted));

	for (size_t i = 0; i < places->count; i++) {
		const struct lease_place *place = places->all[i];

		if (place->key.place != NULL && place->key.script == NULL) {
			want(places, place, &wanted[i]);
		}
	}
	source_lookup_resolve(&places->symbols);
	for (size_t i = 0; i < places->count; i++) {
		struct lease_place *place = places->all[i];

		if (place->key.script != NULL) {
			add_script(places, place);
		}
		for (size_t j = 0; j < wanted[i].frames.count; j++) {
			add_native(places, place, &wanted[i].frames.all[j], wanted[i].spots[j]);
		}
		turn_round(place);
		frames_free(&wanted[i].frames);
		free(wanted[i].spots);
	}
	free(wanted);
}

void places_make(struct places *places, const struct history *history)
{
	*places = (struct places){.symbols.foreign = history->held.foreign};
	group(places, history);
	find_percentiles(places, history);
	choose(places);
	name_frames(places);
}

const char *places_label(const struct places *places, const struct lease_place *place)
{
	if (place->key.script != NULL) {
		return place->key.script;
	}
	return place->depth > 0 ? places->frames[place->stack[place->depth - 1]]->text : "";
}
