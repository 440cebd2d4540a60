/* SPDX-License-Identifier: PostgreSQL */
/* The options of `pqpool run`: one for each PQPOOL_* variable, two more, and their help. */
#ifndef PQPOOL_TOOLS_RUN_OPTIONS_H
#define PQPOOL_TOOLS_RUN_OPTIONS_H

#include <stdbool.h>

enum options_outcome { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_BAD };

struct options {
	int program; /* index of the first argument that is not an option */
	bool wait;
	bool fail_on_leak;
};

/*
 * Puts the variables' values into the environment and the rest into `options`.
 * OPTIONS_BAD: one line has gone to stderr.
 */
enum options_outcome options_take(int argc, char **argv, struct options *options);

/* Prints what there is to say about the options that set variables. */
void options_help(void);

#endif
