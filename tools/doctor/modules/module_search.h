/* SPDX-License-Identifier: PostgreSQL */
/*
 * Looks for the modules that a program may load at run time and that need libpq, or that bring
 * an interpreter, whose own modules may.
 *
 * Nothing is run. A program is looked at in its libraries and folders (module_folders.h), and
 * in those of each module found there; not in the folders where the linker keeps all libraries.
 * The search is bounded in folders, files, bytes and time.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_MODULES_MODULE_SEARCH_H
#define PQPOOL_TOOLS_DOCTOR_MODULES_MODULE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "doctor/library_search.h"

enum module_found {
	MODULE_NEEDS_LIBPQ, /* `path` is the module's */
	MODULE_INTERPRETER, /* `path` is the library's of an interpreter that a module needs */
};

typedef void module_search_each(enum module_found found, const char *path, void *arg);

struct module_search_result {
	size_t folders; /* that were looked into, and exist */
	size_t files;   /* that were opened */
	bool cut_short; /* a bound was reached */
};

/*
 * `order`: the program, first, with the libraries that it needs. `script`: NULL, or the name of
 * a script by which the program was called.
 */
struct module_search_result module_search(const struct load_order *order, const char *script,
                                          module_search_each *each, void *arg);

#endif
