/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds out whether a program, or any that it starts, ever calls a libpq that we see.
 *
 * By the modification time of an empty marker file in the folder for temporary files, which the
 * shim sets at the first call. The environment (CONFIG_WITNESS) passes its name on. Dropped
 * alternatives: the program could see and close an inherited descriptor; the log may be off; a
 * status page is removed with its process.
 */
#ifndef PQPOOL_TOOLS_RUN_CALL_PROBE_H
#define PQPOOL_TOOLS_RUN_CALL_PROBE_H

#include <limits.h>
#include <stdbool.h>

struct call_probe {
	char path[PATH_MAX]; /* "" = none could be made */
	char *outer;         /* that of a `pqpool run` around this one; NULL = none */
};

/* Makes the file and names it in the environment. If it cannot be made, a line warns of it. */
void call_probe_place(struct call_probe *probe);

/* True if there was a call, or if that is not known. The file is removed. */
bool call_probe_remove(struct call_probe *probe);

#endif
