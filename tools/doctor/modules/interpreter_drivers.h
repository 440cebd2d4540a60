/* SPDX-License-Identifier: PostgreSQL */
/*
 * The database drivers of interpreters: psycopg2, DBD::Pg, php's pgsql, ...
 *
 * A guess from where each interpreter looks by default, and from its variables; what a
 * program adds to its path while it runs is not seen. Files are only looked for and read.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_INTERPRETER_DRIVERS_H
#define PQPOOL_TOOLS_DOCTOR_INTERPRETER_DRIVERS_H

#include <limits.h>
#include <stdbool.h>

enum driver_kind {
	DRIVER_LINKED,   /* a shared object that needs libpq */
	DRIVER_CTYPES,   /* looks libpq's functions up itself */
	DRIVER_PROTOCOL, /* speaks to the server without libpq */
};

typedef void drivers_each(enum driver_kind kind, const char *path, void *arg);

/* Whether the program of that path is an interpreter whose drivers are known. */
bool drivers_is_interpreter(const char *interpreter);

/*
 * Whether the library of that path has such an interpreter inside (libpython3.11.so.1.0,
 * libphp8.2.so); `interpreter` gets the path that the program of the same version has, whether
 * or not there is one.
 */
bool drivers_embedded(const char *library, char interpreter[PATH_MAX]);

/* Whether it loads them with RTLD_DEEPBIND, which goes past what was preloaded. */
bool drivers_is_deepbound(const char *interpreter);

/*
 * Calls `each` for every driver installed for `interpreter`, the path as it was called,
 * which tells Python's virtual environments apart. `script` is its script's path, or NULL.
 */
void drivers_find(const char *interpreter, const char *script, drivers_each *each, void *arg);

#endif
