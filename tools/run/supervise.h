/* SPDX-License-Identifier: PostgreSQL */
/*
 * Runs a program below this process as if it ran in its place.
 *
 * It stays in our process group, so that it gets the terminal's signals and the shell's job
 * control. Signals that are sent to us are passed on, and when it stops, we stop. A signal sent
 * to the whole group reaches it twice: it looks to us like one that was sent to us alone.
 */
#ifndef PQPOOL_TOOLS_RUN_SUPERVISE_H
#define PQPOOL_TOOLS_RUN_SUPERVISE_H

#include <stdbool.h>

/*
 * Runs the file `program` and waits for its end; `*wait_status` is as of waitpid(2). False,
 * with errno, if it could not be run. All signals stay blocked afterwards.
 */
bool supervise(const char *program, char **argv, int *wait_status);

/* The exit status that says the same; where that was a signal, it ends us as well. */
int supervise_end(int wait_status);

#endif
