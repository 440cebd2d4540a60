/* SPDX-License-Identifier: PostgreSQL */
/*
 * A library to be preloaded, which sends its process the signal HALT_SIGNAL at one place,
 * once: HALT_AT is "before link", "after link", "before rename" or "after rename", where it
 * is a log that gets its name so.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_flag halted = ATOMIC_FLAG_INIT;

static void halt_if(const char *place, const char *name)
{
	const char *at = getenv("HALT_AT");
	const char *signal = getenv("HALT_SIGNAL");

	if (at != NULL && signal != NULL && strcmp(at, place) == 0 &&
	    strstr(name, "/log") != NULL && !atomic_flag_test_and_set(&halted)) {
		/* To this thread: it gets no further. */
		raise(atoi(signal));
	}
}

int link(const char *from, const char *to)
{
	int result;

	halt_if("before link", to);
	result = linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
	halt_if("after link", to);
	return result;
}

int rename(const char *from, const char *to)
{
	int result;

	halt_if("before rename", to);
	result = renameat(AT_FDCWD, from, AT_FDCWD, to);
	halt_if("after rename", to);
	return result;
}
