/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a connection begins with and DISCARD ALL does not bring back behind a pooler: the
 * settings that the server reports, which a program connects with (PGTZ, client_encoding,
 * application_name ...). PgBouncer gives its client a session that was begun by itself and
 * sets there what the client began with; to the server that is no part of the start, so
 * DISCARD ALL ends it (seen with PgBouncer 1.18 in session and in transaction mode). After
 * the first reset of a session its settings are compared with those of its start. If they
 * differ, they are set again before each lease that follows a reset, by a statement that does
 * so only if the process that answers is not the one that the connection began with: on a
 * server itself they differ because its configuration was reloaded, and a new connection would
 * have the new ones. Where they differ and there is no such statement (a value has a backslash,
 * it would be too long, there was no memory), the session is not lent again.
 *
 * Where the answer to the reset goes to a keeper, that one compares, and closes the session.
 */
#ifndef PQPOOL_SESSION_OPENED_START_SETTINGS_H
#define PQPOOL_SESSION_OPENED_START_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"

/* Room for the statement below, with its NUL; what would be longer cannot be set again. */
#define START_SETTINGS_TEXT 640

/* Of one session; reset.c's. Zero: nothing is known, and nothing is asked. */
struct start_settings {
	char *text;           /* the statement that sets them, on the heap, or NULL */
	uint64_t fingerprint; /* of what they were */
	enum { START_SETTINGS_STAY, START_SETTINGS_UNKNOWN, START_SETTINGS_LOST } state;
};

/* For a new connection, once it is up. */
COLD void start_settings_note(struct start_settings *settings, const struct libpq *libpq,
                              const PGconn *conn);

/*
 * After the answer to DISCARD ALL: the statement to send before the session is lent, or NULL.
 * It holds until the next call. False: they are lost, and nothing can bring them back.
 */
bool start_settings_question(struct start_settings *settings, const struct libpq *libpq,
                             const PGconn *conn, const char **question);

void start_settings_drop(struct start_settings *settings);

#endif
