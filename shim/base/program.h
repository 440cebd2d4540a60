/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the C library knows of the program: its environment, its names, its threads.
 *
 * These are variables. Named as such in code, each would be looked up whenever any program
 * starts, whether it uses libpq or not; here that is done on first use.
 */
#ifndef PQPOOL_BASE_PROGRAM_H
#define PQPOOL_BASE_PROGRAM_H

#include <stdbool.h>

/*
 * Looks them up, if nobody has: before any lock of ours is taken, for whoever holds the
 * linker's may be waiting for it.
 */
void program_find(void);

/* environ(7); an empty one where there is none, as after clearenv(3). */
char *const *program_environ(void);

/* As it was called, and without the directory. */
const char *program_name(void);
const char *program_short_name(void);

/* False once there was a second thread, or if the C library does not tell. */
bool program_is_single_threaded(void);

#endif
