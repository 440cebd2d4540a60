/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program: its environment and settings, its name, its threads.
 *
 * Programs change environment and name before they connect: php-fpm clears its environment, and
 * daemons write a title over their arguments. So program_begin() copies both when the library
 * is loaded, before any code of the program's. A setting that is in the environment at the
 * first connect takes precedence over the copy: it may have been put there on purpose
 * (php-fpm's env[]).
 */
#ifndef PQPOOL_BASE_CONFIG_PROGRAM_H
#define PQPOOL_BASE_CONFIG_PROGRAM_H

#include <stdbool.h>

/*
 * Copies the settings and the program's name, in place of any copied before. The dynamic linker
 * calls it when the library is loaded. Allocates and opens nothing.
 */
__attribute__((constructor)) void program_begin(int argc, char **argv, char **envp);

/* environ(7); an empty one where there is none, as after clearenv(3). */
char *const *program_environ(void);

/*
 * The PQPOOL_ variables, "NAME=value" as in environ(7), each name once; NULL: out of memory, or
 * at the start there were more than could be copied. The first call makes them: not two at
 * once.
 */
char *const *program_settings(void);

/* Why there are none: there were too many. */
bool program_settings_are_cut(void);

/* The value of one of them, after program_settings(); NULL: it is not set. */
const char *program_setting(const char *name);

/* As it was called, and without the folder. */
const char *program_name(void);
const char *program_short_name(void);

/* False once there was a second thread. */
bool program_is_single_threaded(void);

#endif
