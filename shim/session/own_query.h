/* SPDX-License-Identifier: PostgreSQL */
/*
 * Queries of our own on a session, which no lease is on: sent without waiting, while the answer
 * is collected later, by a thread that waits or step by step in a program's event loop.
 *
 * The connection is non-blocking meanwhile. One query, or one pipeline, is in flight at a time
 * (session->flight). DROP_PING_FAILED says of an answer that the connection, or the way to the
 * server, is gone, DROP_RESET_FAILED that the server refused a statement.
 */
#ifndef PQPOOL_SESSION_OWN_QUERY_H
#define PQPOOL_SESSION_OWN_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cold.h"
#include "pool/drop_reason.h"
#include "session/session.h"

/* Sends one statement, as a simple query. False: the connection is broken. */
bool own_query_send(struct session *session, const char *statement);

/* Sends some in a pipeline, each with a Sync of its own; for a libpq that has pipelines. */
bool own_query_send_all(struct session *session, const char *const statements[],
                        unsigned count);

/* Sends another behind those. */
bool own_query_send_behind(struct session *session, const char *statement);

/* True if a part of it is not sent yet. */
bool own_query_is_unsent(struct session *session);

/*
 * Takes in what has arrived, and not more. True when all of the answer is in, and `*why` tells
 * what came of it.
 */
bool own_query_take(struct session *session, enum drop_reason *why);

/* Waits for the answer until session->check.deadline_ns, which is DROP_PING_FAILED. */
enum drop_reason own_query_collect(struct session *session);

/* The same until `deadline_ns`; DROP_NONE also if it stays in flight. */
enum drop_reason own_query_await(struct session *session, uint64_t deadline_ns);

/*
 * Collects the answer from a session that is to be closed, if there is one in flight: the
 * server would log an answer that is not read as a connection reset.
 */
void own_query_settle(struct session *session, uint64_t deadline_ns);

/*
 * The same past libpq and without malloc, for a process that is about to end without closing
 * anything.
 */
COLD void own_query_swallow(const struct session *session, uint64_t deadline_ns);

#endif
