/* SPDX-License-Identifier: PostgreSQL */
/* What the C library knows of the program: its environment, its names, its threads. */
#include "base/program.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/dl.h"

enum variable { ENVIRON, NAME, SHORT_NAME, SINGLE_THREADED, VARIABLES };

static const char names[VARIABLES][32] = {"environ", "program_invocation_name",
                                          "program_invocation_short_name",
                                          "__libc_single_threaded"};
static _Atomic(void *) found[VARIABLES];
static atomic_bool looked;

/* Threads that come at once find the same. */
void program_find(void)
{
	if (atomic_load_explicit(&looked, memory_order_acquire)) {
		return;
	}
	for (size_t i = 0; i < VARIABLES; i++) {
		atomic_store_explicit(&found[i], dl_symbol(RTLD_DEFAULT, names[i]),
		                      memory_order_relaxed);
	}
	dl_forget_error();
	atomic_store_explicit(&looked, true, memory_order_release);
}

static void *find(enum variable which)
{
	program_find();
	return atomic_load_explicit(&found[which], memory_order_relaxed);
}

char *const *program_environ(void)
{
	static char *const nothing[] = {NULL};
	char *const *const *variable = find(ENVIRON);

	return variable != NULL && *variable != NULL ? *variable : nothing;
}

static const char *name(enum variable which)
{
	const char *const *variable = find(which);

	return variable != NULL && *variable != NULL ? *variable : "";
}

const char *program_name(void)
{
	return name(NAME);
}

const char *program_short_name(void)
{
	return name(SHORT_NAME);
}

bool program_is_single_threaded(void)
{
	const char *variable = find(SINGLE_THREADED);

	return variable != NULL && *variable != 0;
}
