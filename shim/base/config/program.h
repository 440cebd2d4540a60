/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is known of the program: its environment, its names, its threads.
 *
 * Our settings and the program's name are those of its start, for programs change both before
 * they connect: php-fpm clears its environment, and daemons write a title over their arguments.
 * So program_begin() copies them when the library is loaded, before any code of the program's.
 * A setting that the program has in its environment at the first connect wins over the one
 * that it was started with: it may have been put there on purpose (php-fpm's env[]).
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
 * at the start there were more than could be kept. Made by the first call, which the caller
 * sees to that no other one comes at the same time as.
 */
char *const *program_settings(void);

/* The value of one of them, once they were made; NULL: it is not set. */
const char *program_setting(const char *name);

/* As it was called, and without the directory. */
const char *program_name(void);
const char *program_short_name(void);

/* False once there was a second thread. */
bool program_is_single_threaded(void);

#endif
