/* SPDX-License-Identifier: PostgreSQL */
/*
 * How a session began, as a record that another process can play (start_tape.h).
 *
 * A record holds no password and no part of an authentication: the startup packet, and of the
 * server's answers those from the end of the authentication on (AuthenticationOk, the
 * parameters, the key for cancelling, ReadyForQuery), with a NegotiateProtocolVersion before.
 */
#ifndef PQPOOL_SHARE_START_RECORD_H
#define PQPOOL_SHARE_START_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "share/keeper_protocol.h"
#include "share/start_tape.h"

/*
 * The record of a connection that is up, recorded from its beginning; malloc'ed. The fields
 * `opened_ns` and `local` are left to the caller. NULL: it cannot be shared: encrypted, an
 * authentication by tickets, a notice, more than fits, a connection that was not seen; or no
 * memory.
 */
COLD struct keeper_record *start_record_make(const struct start_tape *tape,
                                             const struct libpq *libpq, const PGconn *conn);

/* The length of a record with its bytes. */
static inline size_t start_record_size(const struct keeper_record *record)
{
	return sizeof(*record) + record->address_len + record->startup_len + record->reply_len;
}

/* False: these bytes are no record, whoever sent them. */
COLD bool start_record_is_whole(const void *bytes, size_t count);

/* How a record is played, and was. */
struct start_play {
	bool ping; /* libpq is to have an empty query in flight, which the server gets at once
	            */
	bool met;  /* libpq has called connect(2) through the tape (start_tape.h) */
};

/*
 * A connection with `conninfo` that is up, on the session of the record; it has a descriptor of
 * its own for `server`. NULL: libpq would not have said the same, or no memory; if it was not
 * even met the session is as it was. Does not wait for the server.
 */
COLD PGconn *start_record_play(const struct keeper_record *record, const struct libpq *libpq,
                               const char *conninfo, int server, struct start_play *play);

/*
 * Goes on with a connect that has begun on this tape, which is in place, to its end: true, it
 * is up and is the session of the record.
 */
COLD bool start_record_go_on(const struct start_tape *tape, const struct libpq *libpq,
                             PGconn *conn);

#endif
