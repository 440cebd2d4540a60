/* SPDX-License-Identifier: PostgreSQL */
/*
 * dlsym and dlopen, for callers that look libpq's functions up themselves.
 *
 * Both are thunks in assembly: the linker tells by the address that its function returns
 * to who is asking (RTLD_NEXT, RTLD_DEFAULT, a library's RUNPATH, its namespace). So
 * they ask one of the functions below which way to go, and jump there with the stack as
 * they found it. On machines without a thunk neither is interposed.
 *
 * Almost every call goes on unchanged, to the next definition after ours:
 *
 *   dlsym   A hooked function of a libpq is answered with our own, so that foreign
 *           function interfaces are served as programs are. Where only our own
 *           definition is to be found, the look-up fails as it would without us.
 *   dlopen  RTLD_DEEPBIND puts a module's own libpq before us: it is taken off for a
 *           module that needs one, or is one. A file is read for that flag only.
 */
#ifndef PQPOOL_HOOKS_LOADER_H
#define PQPOOL_HOOKS_LOADER_H

#include <stdint.h>

/*
 * Which way a call goes on: a jump to `target` with `second` as its second argument.
 * `target` NULL: it returns `second`. The thunks know this layout: two registers.
 */
struct road {
	void *target;
	uintptr_t second;
};

/* Called by the thunks, of which the compiler knows nothing. */
#define LOADER_CALLED __attribute__((used))

/* For dlsym(handle, name), called from where `caller` points. errno is kept. */
LOADER_CALLED struct road loader_dlsym(void *handle, const char *name, const void *caller);

/* For dlopen(file, mode). errno is kept. */
LOADER_CALLED struct road loader_dlopen(const char *file, int mode);

#endif
