/* SPDX-License-Identifier: PostgreSQL */
/* The leases grouped by the pool and the place that took them, with the names of its frames. */
#ifndef PQPOOL_TOOLS_REPORT_PLACES_H
#define PQPOOL_TOOLS_REPORT_PLACES_H

#include "common/history/history.h"
#include "common/symbols/source_lookup.h"

/* What is shown of a stack: a name for each frame, once however often it comes. */
struct frame_name {
	size_t number;
	UT_hash_handle hh; /* places.c's */
	char text[];
};

struct lease_place {
	struct {
		size_t pool;
		const struct place *place; /* NULL = unknown */
		const char *script;        /* NULL = no script took it; a word of the list's */
	} key;
	size_t number; /* PLACES_NONE: it is left out */
	uint64_t leases;
	uint64_t leaks;
	uint64_t held_us;
	bool split; /* the next two are known of a lease at least */
	uint64_t query_us;
	uint64_t transaction_us;
	uint64_t p50_us;
	uint64_t p99_us;
	uint64_t max_us;
	uint64_t first_us; /* when the first lease was taken */
	size_t *stack;     /* numbers of frames, the outermost first */
	size_t depth;
	size_t begin; /* places.c's, as the next */
	UT_hash_handle hh;
};

#define PLACES_NONE SIZE_MAX
#define PLACES_MOST 2000

struct places {
	struct lease_place **all; /* those most held first */
	size_t count;
	size_t left_out;
	struct frame_name **frames;
	size_t frame_count;
	const struct lease_place **of_lease; /* of each lease of the history */
	struct lease_place *by_key;          /* these are places.c's */
	struct frame_name *by_name;
	struct source_lookup symbols;
};

/* The history must outlive the places, which are never freed. */
void places_make(struct places *places, const struct history *history);

/* Where the program connected: the innermost frame that is known; "" = nothing is. */
const char *places_label(const struct places *places, const struct lease_place *place);

#endif
