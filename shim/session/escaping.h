/* SPDX-License-Identifier: PostgreSQL */
/*
 * Keeping PQescapeString and PQescapeBytea right.
 *
 * The two that take no connection follow process-wide state of libpq: the client_encoding
 * and standard_conforming_strings that a server reported last, on whichever connection,
 * while connecting or after a SET. A session lent from the pool is a connect without a
 * report, and what they make of a string might then be no literal of the new connection:
 * a way in for injections.
 *
 * Nothing of this is imitated here. libpq's own state is read through what PQescapeString
 * makes of a probe, and whoever lends a session first has the server report its settings
 * anew where the two differ (reset_check). So libpq's state is at each moment what it
 * would be without us, also for callers that look the functions up past us.
 *
 * Tried and dropped: answering the two functions by the settings of the connection leased
 * last. A SET on another one comes later than that, and cannot be seen without reading
 * connections that other threads use.
 *
 * No locks, no state.
 */
#ifndef PQPOOL_SESSION_ESCAPING_H
#define PQPOOL_SESSION_ESCAPING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"

/* How a connection escapes: its settings, and what they make of their probe. */
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
 * Takes settings and print of a connection that is idle and in our care, unless they are
 * known. True if that may have left something in its error message, which the next thing
 * sent clears.
 */
bool escaping_learn(struct escaping *escaping, const struct libpq *libpq, PGconn *conn);

/*
 * A reset would put the settings of `conn` back to what they were when it was opened, and
 * the server would report it, without a connect of the program's if the session turns out
 * not to be fit after that. True if that would make a difference to what is a literal: a
 * connection to close.
 */
bool escaping_must_not_return(const struct escaping *opened, const struct libpq *libpq,
                              const PGconn *conn);

/*
 * Two statements, one after the other: both settings become others, and what they were by
 * default. Each change is reported. In between libpq's state is neither here nor there.
 */
void escaping_detour(const struct escaping *escaping, const char *statements[2]);

/*
 * True if libpq's process-wide state is what a connect with these settings, which are known,
 * would have made of it. With UTF-8 some 300 instructions, else eight times as many.
 */
bool escaping_is_of_process(const struct escaping *escaping, const struct libpq *libpq);

#endif
