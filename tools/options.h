/* SPDX-License-Identifier: PostgreSQL */
/* The options of `pqpool run`: one for each PQPOOL_* variable, and their help. */
#ifndef PQPOOL_TOOLS_OPTIONS_H
#define PQPOOL_TOOLS_OPTIONS_H

enum options_outcome { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_BAD };

/*
 * Puts the options' values into the environment; `*program` gets the index of the
 * first argument that is not an option. OPTIONS_BAD: one line has gone to stderr.
 */
enum options_outcome options_take(int argc, char **argv, int *program);

/* Prints what there is to say about every option. */
void options_help(void);

#endif
