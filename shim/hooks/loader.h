/* SPDX-License-Identifier: PostgreSQL */
/*
 * dlsym and dlopen, for callers that look libpq's functions up themselves.
 *
 * Both are thunks in assembly, because the linker finds the calling object by the return
 * address (for RTLD_NEXT, RTLD_DEFAULT, RUNPATH, namespaces). They ask one of the functions
 * below where to continue, and jump there with the stack as they found it. On machines without
 * a thunk neither is interposed.
 *
 * Almost every call continues unchanged, at the next definition after ours:
 *
 *   dlsym   A hooked function of a libpq is answered with our own, so that foreign function
 *           interfaces are pooled, too. If there is no definition but ours, the look-up fails
 *           as it would without us.
 *   dlopen  RTLD_DEEPBIND puts a module's own libpq before us: the flag is removed for a module
 *           that needs one, or is one. A file is read only if the flag is set.
 *           dl_note_load() is told of each load, for stacks that threads remember.
 */
#ifndef PQPOOL_HOOKS_LOADER_H
#define PQPOOL_HOOKS_LOADER_H

#include <stdint.h>

/*
 * How a call continues: by a jump to `target` with `second` as its second argument; if `target`
 * is NULL it returns `second`. The thunks rely on this layout: two registers.
 */
struct road {
	void *target;
	uintptr_t second;
};

/* Called by the thunks, which the compiler does not see. */
#define LOADER_CALLED __attribute__((used))

/* For dlsym(handle, name), called from where `caller` points. errno is kept. */
LOADER_CALLED struct road loader_dlsym(void *handle, const char *name, const void *caller);

/* For dlopen(file, mode). errno is kept. */
LOADER_CALLED struct road loader_dlopen(const char *file, int mode);

#endif
