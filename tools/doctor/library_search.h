/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the dynamic linker of glibc finds a library, from the files alone: nothing is run and
 * nothing is loaded.
 *
 * Not followed: directories for processors with special abilities (glibc-hwcaps), which
 * hold other builds of the same library.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_LIBRARY_SEARCH_H
#define PQPOOL_TOOLS_DOCTOR_LIBRARY_SEARCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "doctor/elf_object.h"

/* An object that is loaded, and the one that needs it; `by` is NULL for the program. */
struct loaded {
	struct elf_object *object;
	const struct loaded *by;
	const char *rule; /* "DT_RUNPATH", "/etc/ld.so.cache", ...; never freed */
};

/* What has been loaded so far, in the linker's order: breadth first. */
struct load_order {
	struct loaded **all;
	size_t count;
};

/*
 * Puts the path of the library `name` that `by` would get into `path`, and returns the rule
 * that found it; NULL if it is nowhere.
 */
const char *search_library(const char *name, const struct loaded *by, char path[PATH_MAX]);

/*
 * Adds the object in `path` and everything it needs, unless it is there already; calls
 * `missing` for each name that was not found. Returns the object's own entry; NULL if it is no
 * object of this machine's kind, or memory ran out.
 */
const struct loaded *load_order_add(
	struct load_order *order, const char *path, const struct loaded *by, const char *rule,
	void (*missing)(const char *name, const struct loaded *by, void *arg), void *arg);

/* The place of the object with that path, or soname; `count` if there is none. */
size_t load_order_index(const struct load_order *order, const char *name);

void load_order_free(struct load_order *order);

#endif
