/* SPDX-License-Identifier: PostgreSQL */
/*
 * The modules by which interpreters come to libpq: psycopg2, DBD::Pg, php's pgsql, ...
 *
 * A guess from where each interpreter looks by default, and from its variables; what a
 * program adds to its path while it runs is not seen. Files are only looked for and read.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_INTERPRETER_MODULES_H
#define PQPOOL_TOOLS_DOCTOR_INTERPRETER_MODULES_H

#include <stdbool.h>

enum module_kind {
	MODULE_LINKED,   /* a shared object that needs libpq */
	MODULE_CTYPES,   /* looks libpq's functions up itself */
	MODULE_PROTOCOL, /* speaks to the server without libpq */
};

typedef void modules_each(enum module_kind kind, const char *path, void *arg);

/* Whether the program of that path is an interpreter of which the modules are known. */
bool modules_is_interpreter(const char *interpreter);

/* Whether it loads them with RTLD_DEEPBIND, which goes past what was preloaded. */
bool modules_is_deepbound(const char *interpreter);

/*
 * Calls `each` for every module installed for `interpreter`, a path as it was called:
 * Python's virtual environments go by it. `script` is its script's path, or NULL.
 */
void modules_find(const char *interpreter, const char *script, modules_each *each, void *arg);

#endif
