/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server says of its connections, at one moment.
 *
 * The moment is a transaction (server_conn_begin): within one, the server shows the same
 * sessions to all queries. Our own connection is not counted.
 *
 * Every role sees the number of connections, their users, and which session waits for which;
 * only members of pg_read_all_stats (pg_monitor) see the states of other roles' sessions.
 * States that are not visible are counted as hidden.
 */
#ifndef PQPOOL_TOOLS_CHECK_SERVER_SESSIONS_H
#define PQPOOL_TOOLS_CHECK_SERVER_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "check/server_conn.h"

struct connection_counts {
	int64_t max_connections;
	int64_t reserved; /* for superusers, and for pg_use_reserved_connections */
	int64_t used;
	int64_t active;
	int64_t idle;
	int64_t idle_in_transaction;
	int64_t hidden;     /* of them, those whose state is not visible */
	int64_t waiting;    /* for a lock */
	int64_t longest_ms; /* idle in transaction; 0 = none */
};

/* The figures. False with server_conn_error. */
bool server_sessions_count(struct server_conn *conn, struct connection_counts *counts);

/* Sessions for the tables; NULL with server_conn_error, the caller's to free. */
/* columns: state, number */
struct page_rows *server_sessions_states(struct server_conn *conn);
/* columns: user or application, number, active, idle, idle in transaction */
struct page_rows *server_sessions_users(struct server_conn *conn);
struct page_rows *server_sessions_applications(struct server_conn *conn);
/* Idle in transaction for longer than that, longest first: pid, user, database,
 * application, client's address, milliseconds. */
struct page_rows *server_sessions_idlers(struct server_conn *conn, int64_t ms);
/* Sessions that wait for a lock: pid, the pid that blocks it (0 = a prepared transaction);
 * user, database and application of the blocking session. */
struct page_rows *server_sessions_waits(struct server_conn *conn);
/* All sessions: pid, user, database, state, milliseconds in it, age of the backend in
 * microseconds (null: not visible). */
struct page_rows *server_sessions_backends(struct server_conn *conn);

#endif
