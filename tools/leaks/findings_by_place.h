/* SPDX-License-Identifier: PostgreSQL */
/*
 * The leases of a list that were not given back in time, or that a running process holds,
 * grouped by the place that took them, with its source lines. In the order of the report:
 * leaks first, then by kind, the places with most leases first, in each place the oldest lease
 * first.
 */
#ifndef PQPOOL_TOOLS_LEAKS_FINDINGS_BY_PLACE_H
#define PQPOOL_TOOLS_LEAKS_FINDINGS_BY_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/leases/lease_list.h"
#include "common/symbols/call_frames.h"
#include "common/symbols/source_lookup.h"

enum finding_kind {
	FINDING_NEVER_RELEASED,
	FINDING_RELEASED_BY_EXIT,
	FINDING_NEVER_FINISHED,
	FINDING_KEPT, /* no leak: the one connection of its place and thread, to the end */
	FINDING_SUPPRESSED, /* leaks that PQPOOL_SUPPRESS names */
	FINDING_HELD,       /* no leak: the process runs and may give it back */
	FINDING_KINDS
};

struct finding {
	enum finding_kind kind;
	struct held *const *leases; /* `count` of them, the oldest first */
	size_t count;
	struct frames frames; /* none = the place is unknown */
	struct spot **spots;  /* a frame each */
	const char *script;   /* the script's place, "" = none */
	const char *script_frames;
};

struct findings {
	struct finding *all;
	size_t count;
	size_t leases[FINDING_KINDS]; /* of each kind */
	size_t places[FINDING_KINDS];
	struct held **held; /* what the findings' leases point into */
	struct source_lookup symbols;
};

/* The kind of leak, or not, that a lease is by what is known of its process. */
enum finding_kind finding_kind(const struct held *held);

/* Leases that are leaks, and not suppressed. */
size_t findings_leaked(const struct findings *findings);

/*
 * Groups the list's leases and looks the places up. The list must outlive the findings, which
 * are never freed.
 */
void findings_make(struct findings *findings, const struct lease_list *list);

#endif
