/* SPDX-License-Identifier: PostgreSQL */
/*
 * From module and offset to function, file and line.
 *
 * First all spots are asked for, then all are looked up, module by module. A module is read
 * only if it is the one that ran: its build id is the log's, or, where the log has none, the
 * file is older than the log. The lines of another build would be wrong.
 *
 * `foreign`: the modules are named by a user whom root must not believe. None is read, not even
 * opened: to open some devices does something, and what reads debug information is large.
 */
#ifndef PQPOOL_TOOLS_COMMON_SYMBOLS_SOURCE_LOOKUP_H
#define PQPOOL_TOOLS_COMMON_SYMBOLS_SOURCE_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text/hash.h"
#include "common/symbols/call_frames.h"
#include "common/symbols/source_lines.h"

enum module_state {
	MODULE_THE_SAME,
	MODULE_ABSENT, /* no file, or none that can be read */
	MODULE_CHANGED /* another build */
};

struct module {
	const char *path;
	const char *build_id; /* the log's, "" = unknown */
	uint64_t ran_us;      /* it was in use then, wall clock */
	enum module_state state;
	struct spot *spots;
	UT_hash_handle hh; /* source_lookup.c's */
};

struct spot {
	uint64_t offset;
	const struct module *module;
	struct sources sources; /* after source_lookup_resolve; none = nothing known */
	UT_hash_handle hh;      /* source_lookup.c's */
};

/* Begins zeroed. Never freed: it lives as long as the tool. */
struct source_lookup {
	bool foreign;
	struct module *modules;
};

/* The spot of a frame that ran at `ran_us`, to be looked up. */
struct spot *source_lookup_want(struct source_lookup *lookup, const struct frame *frame,
                                uint64_t ran_us);

/* Looks all of them up; once. Warns of modules that are not what ran, or cannot be read. */
void source_lookup_resolve(struct source_lookup *lookup);

#endif
