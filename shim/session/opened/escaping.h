/* SPDX-License-Identifier: PostgreSQL */
/*
 * Keeping PQescapeString and PQescapeBytea right: the two escaping functions without a
 * connection.
 *
 * They follow process-wide state of libpq: the client_encoding and standard_conforming_strings
 * that a server reported last, on any connection, while connecting or after a SET. A session
 * lent from the pool is a connect without a report, and what they make of a string might be no
 * literal of the new connection: an SQL injection.
 *
 * libpq's state is read through what PQescapeString makes of a probe. Where it differs from the
 * session's, reset_check has the server report the session's settings again. So libpq's state
 * is what it would be without us, also for callers that reach the functions past us.
 *
 * Tried and dropped: answering the two functions by the settings of the connection leased last.
 * A later SET on another one cannot be seen without reading connections that other threads use.
 *
 * No locks, no state.
 */
#ifndef PQPOOL_SESSION_OPENED_ESCAPING_H
#define PQPOOL_SESSION_OPENED_ESCAPING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"

/* How a connection escapes: its settings, and a hash of what they make of the probe. */
struct escaping {
	bool known;
	bool std_strings;
	int encoding;
	uint64_t print;
};

/* The settings as they are now; the print is not known yet. */
struct escaping escaping_settings(const struct libpq *libpq, const PGconn *conn);

/* Are these the settings of `conn`? */
bool escaping_holds(const struct escaping *escaping, const struct libpq *libpq,
                    const PGconn *conn);

/*
 * Takes settings and print of an idle connection in our care, unless they are known. True if
 * that may have left something in its error message, which the next query clears.
 */
bool escaping_learn(struct escaping *escaping, const struct libpq *libpq, PGconn *conn);

/*
 * A reset puts the settings of `conn` back to what they were when it was opened, and the server
 * reports that, even if the session is not lent after it. True if that changes what is a
 * literal: the connection is to be closed.
 */
bool escaping_must_not_return(const struct escaping *opened, const struct libpq *libpq,
                              const PGconn *conn);

/*
 * Two statements, to be sent one after the other: the first changes both settings, the second
 * resets them, and the server reports each change. In between libpq's state is wrong.
 */
void escaping_detour(const struct escaping *escaping, const char *statements[2]);

/*
 * True if libpq's process-wide state is what a connect with these settings, which are learnt,
 * would make it. With UTF-8 some 300 instructions, else eight times as many.
 */
bool escaping_is_of_process(const struct escaping *escaping, const struct libpq *libpq);

#endif
