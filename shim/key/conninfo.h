/* SPDX-License-Identifier: PostgreSQL */
/*
 * The arguments of any of libpq's connect functions as one list of options.
 *
 * `given` is what the program said, exactly as libpq would have read it from that function.
 * `values` is what libpq makes of it, merged with a service file, the PG* environment and its
 * own defaults; effective_options.h asks libpq for them. The list of options is libpq's own, so
 * that an option of an unknown version is treated as any other.
 *
 * No locks. libpq's own parser is called, which asks no name service.
 */
#ifndef PQPOOL_KEY_CONNINFO_H
#define PQPOOL_KEY_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/libpq/libpq.h"

enum connect_function { CONNECT_STRING, CONNECT_PARAMS, CONNECT_LOGIN };

/* Indices of `login`, PQsetdbLogin's arguments. */
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

	/*
	 * If not NULL: the user that libpq has found for this call already, by the password
	 * database if the call and the environment name none. It need not be asked again.
	 */
	const char *user;
};

struct conninfo {
	const struct libpq *libpq;
	PQconninfoOption *options; /* one row per option of this libpq, without values */
	PQconninfoOption *parsed;  /* the program's string, `given` may point into it */
	PQconninfoOption *routed;  /* the route's likewise */
	const char **given;        /* by row; NULL = not given */
	size_t count;

	/* effective_options.c's */
	const char **values;      /* by row; NULL = it has none, or libpq was not asked yet */
	PQconninfoOption *merged; /* libpq's answers, which `values` point into */
	PQconninfoOption *located;
	char *passfile;    /* the default one, where libpq would look into it */
	bool home_unknown; /* libpq may look into a home folder that we cannot know */
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

/* A list of the options of a libpq, without values; free it with PQconninfoFree. */
PQconninfoOption *conninfo_template(const struct libpq *libpq);

/* The row of an option; ci->count if this libpq does not know it. */
size_t conninfo_row(const struct conninfo *ci, const char *keyword);

/* The service that is named in the call or the environment; NULL if none is. */
const char *conninfo_service(const struct conninfo *ci);

/* The effective value of an option, "" if it has none or does not exist. */
const char *conninfo_value(const struct conninfo *ci, const char *keyword);

/*
 * What the program said as one connection string, with `more` behind it, which wins.
 * malloc'ed. It may hold a password: wipe it. NULL: out of memory.
 */
char *conninfo_given_text(const struct conninfo *ci, const char *more);

/*
 * The effective values as one connection string for PQconnectdb, malloc'ed: it gives the
 * connection that the call itself would have given when it was read, whatever the environment
 * says later. Unless 0, `connect_timeout_s` is put in where there is no timeout, marked for
 * conninfo_hide. It may hold a password: wipe it. NULL: out of memory.
 */
char *conninfo_text(const struct conninfo *ci, int64_t connect_timeout_s);

/* Takes conninfo_text's timeout out of what PQconninfo says, which may be NULL. */
void conninfo_hide(const struct libpq *libpq, PQconninfoOption *options);

/* Makes the call as the program made it: libpq's own connect, with all its waits. */
PGconn *conninfo_connect(const struct libpq *libpq, const struct connect_call *call);

/* The same without the waits: PQconnectStart or PQconnectStartParams. */
PGconn *conninfo_start(const struct libpq *libpq, const struct connect_call *call);

#endif
