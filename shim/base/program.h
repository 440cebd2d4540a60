/* SPDX-License-Identifier: PostgreSQL */
/* What the C library knows of the program: its environment, its names, its threads. */
#ifndef PQPOOL_BASE_PROGRAM_H
#define PQPOOL_BASE_PROGRAM_H

#include <stdbool.h>

/* environ(7); an empty one where there is none, as after clearenv(3). */
char *const *program_environ(void);

/* As it was called, and without the directory. */
const char *program_name(void);
const char *program_short_name(void);

/* False once there was a second thread, or if the C library does not tell. */
bool program_is_single_threaded(void);

#endif
