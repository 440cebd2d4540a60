/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds out whether a program, or any that it starts, ever calls a libpq that we see.
 *
 * An empty file in the folder for temporary files, as old as files can be: the shim
 * renews its time at the first call. Its name goes down by the environment
 * (CONFIG_WITNESS). What else was thought of: an inherited descriptor is there for the
 * program to see, and to close; the log may be off; a status page goes with its process.
 */
#ifndef PQPOOL_TOOLS_RUN_CALL_PROBE_H
#define PQPOOL_TOOLS_RUN_CALL_PROBE_H

#include <limits.h>
#include <stdbool.h>

struct call_probe {
	char path[PATH_MAX]; /* "" = none could be made */
	char *outer;         /* that of a `pqpool run` around this one; NULL = none */
};

/* Makes the file and names it in the environment. Without one, after a warning, no end. */
void call_probe_place(struct call_probe *probe);

/* True if there was a call, or if that is not known. The file is removed. */
bool call_probe_remove(struct call_probe *probe);

#endif
