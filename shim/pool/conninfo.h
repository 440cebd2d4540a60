/* SPDX-License-Identifier: PostgreSQL */
/*
 * The arguments of a connect function, whichever it was, as one list of options.
 *
 * libpq merges what it is given with a service file, the PG* environment and its
 * own defaults. Here `given` is what the program said, exactly as libpq would have
 * read it from that function, and `defaults` what environment and build add; an
 * option's value is the one given, else the default. What a service file that is
 * named in the arguments adds is not known here; whoever makes a key of this puts the
 * service's name and file in as well.
 *
 * No locks; every call is libpq's own parser's.
 */
#ifndef PQPOOL_POOL_CONNINFO_H
#define PQPOOL_POOL_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/libpq.h"

enum connect_function { CONNECT_STRING, CONNECT_PARAMS, CONNECT_LOGIN };

/* Places in `login`, PQsetdbLogin's arguments. */
enum login_argument {
	LOGIN_HOST,
	LOGIN_PORT,
	LOGIN_OPTIONS,
	LOGIN_TTY,
	LOGIN_DBNAME,
	LOGIN_USER,
	LOGIN_PASSWORD,
	LOGIN_ARGUMENTS
};

/* One call of the program's; the strings are the program's and valid during it. */
struct connect_call {
	enum connect_function function;
	const char *conninfo;        /* CONNECT_STRING */
	const char *const *keywords; /* CONNECT_PARAMS, NULL-terminated */
	const char *const *values;
	int expand_dbname;
	const char *login[LOGIN_ARGUMENTS]; /* CONNECT_LOGIN */
};

struct conninfo {
	const struct libpq *libpq;
	PQconninfoOption *defaults; /* the template: one row per option of this libpq */
	PQconninfoOption *parsed;   /* the program's string, `given` may point into it */
	PQconninfoOption *routed;   /* the route's likewise */
	const char **given;         /* by row; NULL = not given */
	size_t count;
};

/*
 * Reads `call` as libpq would. `route`, if not NULL, is "host", "host:port" or
 * "[host]:port" and takes the place of the program's host and hostaddr, and of its
 * port if it names one.
 * False: libpq would refuse it, or memory is short; nothing to free then.
 */
bool conninfo_read(struct conninfo *ci, const struct libpq *libpq,
                   const struct connect_call *call, const char *route);

void conninfo_free(struct conninfo *ci);

/* The effective value of an option, "" if it has none or does not exist. */
const char *conninfo_value(const struct conninfo *ci, const char *keyword);

/*
 * What the program said as one connection string for PQconnectdb, malloc'ed: it gives
 * the same connection as the call itself, under the same environment.
 * `connect_timeout_s` is put in unless 0 or the program or a service may have said; so
 * that conninfo_hide knows it again.
 * It may hold a password: wipe it. NULL: out of memory.
 */
char *conninfo_text(const struct conninfo *ci, int64_t connect_timeout_s);

/* Takes out of what PQconninfo says what was put in by conninfo_text. NULL is allowed. */
void conninfo_hide(const struct libpq *libpq, PQconninfoOption *options);

/* The same without the waits: PQconnectStart or PQconnectStartParams. */
PGconn *conninfo_start(const struct libpq *libpq, const struct connect_call *call);

/* Makes the call as the program made it: libpq's own connect, with all its waits. */
PGconn *conninfo_connect(const struct libpq *libpq, const struct connect_call *call);

#endif
