/* SPDX-License-Identifier: PostgreSQL */
/* What interposed functions share: those that the program's calls arrive at. */
#ifndef PQPOOL_HOOKS_INTERPOSED_H
#define PQPOOL_HOOKS_INTERPOSED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dl.h"

/* Everything else is hidden; exports.map and base/libpq/functions.def list them. */
#define ENTRY __attribute__((visibility("default")))

/* The program's return address, in an interposed function. */
#define CALLER __builtin_return_address(0)

/*
 * The next definition of `name`, libc's or another preloaded library's: looked up when first
 * needed, so that a program that never calls it pays nothing. NULL: there is none.
 */
static inline void *interposed_next(_Atomic(void *) *known, const char *name)
{
	void *found = atomic_load_explicit(known, memory_order_relaxed);

	if (found == NULL) {
		found = dl_next(name);
		atomic_store_explicit(known, found, memory_order_relaxed);
	}
	return found;
}

/* The same as a function of its type. */
#define REAL(name, known) ((__typeof__(name) *)(uintptr_t)interposed_next(known, #name))

#endif
