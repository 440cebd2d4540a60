/* SPDX-License-Identifier: PostgreSQL */
/*
 * The server's own limit on a session that lies idle, idle_session_timeout (server 14 and
 * later): it ends what a process leaves idle that makes no further call, for there is neither a
 * thread nor a signal of ours to do it.
 *
 * It is set behind the reset, in the same flight, and put back by the ping before the next
 * lease, so a lease has what a login gave it: RESET brings back value and source (pg_settings
 * whole, seen with servers 14 to 18). Nobody is lent a session before the server has answered
 * to that, so the limit cannot end a lease.
 *
 * The server is asked to set it only if it has none (a smaller one is as good, and a greater
 * one was chosen by somebody), and only if its process is the one that the connection began
 * with: a proxy that pools transactions would set it for the sessions of others. Only with a
 * libpq that has pipelines. It is a SELECT, which may wait for long where transactions are
 * serializable, read-only and deferrable by default, so there is none where they are read-only,
 * or were when the session was opened, as they are again behind a reset.
 *
 * A session in constant use is spared it: what it costs a lease, 15 to 30 us of the server's
 * time, would be seen only there.
 */
#ifndef PQPOOL_SESSION_IDLE_LIMIT_H
#define PQPOOL_SESSION_IDLE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"

/* Of one session; reset.c's and own_query.c's. */
struct idle_limit {
	bool barred;    /* the server cannot, or would not, or need not */
	bool set;       /* it is in force */
	bool undoing;   /* what puts it back is in flight */
	unsigned due;   /* check.syncs_due where its answer comes; 0 = it is not in flight */
	unsigned quick; /* leases that each ended soon after the one before, with allowances */
};

/* Puts it back. */
#define IDLE_LIMIT_UNDO "RESET idle_session_timeout"

/* For what sets it. */
#define IDLE_LIMIT_TEXT 256

/* For a new connection, once it is up. */
void idle_limit_note(struct idle_limit *limit, const struct libpq *libpq, const PGconn *conn);

/* A lease ended `since_ns` after the one before. True if the session is to be limited. */
bool idle_limit_wanted(struct idle_limit *limit, const struct libpq *libpq, const PGconn *conn,
                       uint64_t since_ns);

/* The statement that sets it to `ms`, if it can be; its result goes to the other. */
void idle_limit_write(char text[IDLE_LIMIT_TEXT], uint64_t ms, int backend_pid);
void idle_limit_answer(struct idle_limit *limit, const struct libpq *libpq,
                       const PGresult *result);

#endif
