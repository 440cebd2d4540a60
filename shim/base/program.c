/* SPDX-License-Identifier: PostgreSQL */
/* What the C library knows of the program: its environment, its names, its threads. */
#include "base/program.h"

#include <stddef.h>

#include "base/late.h"

char *const *program_environ(void)
{
	static char *const nothing[] = {NULL};
	char *const *const *variable = late(LATE_environ);

	return variable != NULL && *variable != NULL ? *variable : nothing;
}

static const char *name(enum late which)
{
	const char *const *variable = late(which);

	return variable != NULL && *variable != NULL ? *variable : "";
}

const char *program_name(void)
{
	return name(LATE_program_invocation_name);
}

const char *program_short_name(void)
{
	return name(LATE_program_invocation_short_name);
}

bool program_is_single_threaded(void)
{
	const char *variable = late(LATE___libc_single_threaded);

	return variable != NULL && *variable != 0;
}
