/* SPDX-License-Identifier: PostgreSQL */
/* Calls of ours to functions of a libpq that may jump to others. */
#include "base/libpq/tailcall.h"

#include <stddef.h>
#include <stdint.h>

/* The linker's: where the object that this is in begins, and where it ends. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static _Thread_local const struct libpq *entered;

void tailcall_enter(const struct libpq *libpq)
{
	entered = libpq;
}

void tailcall_leave(void)
{
	entered = NULL;
}

static bool is_ours(const void *address)
{
	return (uintptr_t)address >= (uintptr_t)__ehdr_start &&
	       (uintptr_t)address < (uintptr_t)_end;
}

bool tailcall_has_jumped(const void *return_address, struct libpq_caller *caller)
{
	if (entered == NULL || !is_ours(return_address)) {
		return false;
	}
	*caller = (struct libpq_caller){.libpq = entered, .inside = true};
	return true;
}
