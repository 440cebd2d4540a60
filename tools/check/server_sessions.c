/* SPDX-License-Identifier: PostgreSQL */
/* What a server says of its connections, at one moment. */
#include "check/server_sessions.h"

#include <stdio.h>

/*
 * Connections that count against max_connections. Of sessions that are not visible, the
 * type is hidden, too: those that have a user and a database are clients, but for the odd
 * parallel worker. Until 11, walsenders took connections like others.
 */
#define CLIENTS                                                                                \
	"(SELECT a.*, a.backend_type IS NULL AS hidden FROM pg_stat_activity a"                \
	" WHERE a.pid <> pg_backend_pid()"                                                     \
	" AND CASE WHEN a.backend_type IS NULL"                                                \
	" THEN a.usesysid IS NOT NULL AND a.datid IS NOT NULL"                                 \
	" ELSE a.backend_type = 'client backend' OR a.backend_type = 'walsender'"              \
	" AND current_setting('server_version_num')::int < 120000 END) AS clients"

#define IN_TRANSACTION "state IN ('idle in transaction', 'idle in transaction (aborted)')"

#define SETTING(name) "coalesce(current_setting('" name "', true), '0')::int"

bool server_sessions_count(struct server_conn *conn, struct connection_counts *counts)
{
	static const char sql[] = "SELECT " SETTING("max_connections") ", " SETTING(
		"superuser_reserved_"
		"connections") " + " SETTING("reserved_connections") ", count(*), count(*) "
								     "FILTER (WHERE state IN "
								     "('active', 'fastpath "
								     "function call'))"
								     ", count(*) FILTER (WHERE "
								     "state = 'idle')"
								     ", count(*) FILTER "
								     "(WHERE " IN_TRANSACTION
								     ")"
								     ", count(*) FILTER (WHERE "
								     "hidden)"
								     ", (SELECT count(DISTINCT "
								     "pid) FROM pg_locks "
								     "WHERE NOT granted)"
								     ", coalesce(1000 * "
								     "extract(epoch FROM "
								     "max(clock_timestamp() - "
								     "state_change)"
								     " FILTER "
								     "(WHERE " IN_TRANSACTION
								     ")), 0)::bigint"
								     " FROM " CLIENTS;
	struct page_rows *rows = server_conn_ask(conn, sql, 0, NULL);

	if (rows == NULL) {
		return false;
	}
	*counts = (struct connection_counts){
		.max_connections = rows_number(rows, 0, 0),
		.reserved = rows_number(rows, 0, 1),
		.used = rows_number(rows, 0, 2),
		.active = rows_number(rows, 0, 3),
		.idle = rows_number(rows, 0, 4),
		.idle_in_transaction = rows_number(rows, 0, 5),
		.hidden = rows_number(rows, 0, 6),
		.waiting = rows_number(rows, 0, 7),
		.longest_ms = rows_number(rows, 0, 8),
	};
	rows_free(rows);
	return true;
}

struct page_rows *server_sessions_states(struct server_conn *conn)
{
	return server_conn_ask(conn,
	                       "SELECT CASE WHEN hidden THEN 'not visible'"
	                       " ELSE coalesce(state, 'starting') END, count(*)"
	                       " FROM " CLIENTS " GROUP BY 1 ORDER BY 2 DESC, 1",
	                       0, NULL);
}

#define GROUPED_BY(column)                                                                     \
	"SELECT coalesce(" column ", ''), count(*)"                                            \
	", count(*) FILTER (WHERE state IN ('active', 'fastpath function call'))"              \
	", count(*) FILTER (WHERE state = 'idle')"                                             \
	", count(*) FILTER (WHERE " IN_TRANSACTION ")"                                         \
	" FROM " CLIENTS " GROUP BY 1 ORDER BY 2 DESC, 1"

struct page_rows *server_sessions_users(struct server_conn *conn)
{
	return server_conn_ask(conn, GROUPED_BY("usename"), 0, NULL);
}

struct page_rows *server_sessions_applications(struct server_conn *conn)
{
	return server_conn_ask(conn, GROUPED_BY("application_name"), 0, NULL);
}

struct page_rows *server_sessions_idlers(struct server_conn *conn, int64_t ms)
{
	char text[32];
	const char *values[] = {text};

	snprintf(text, sizeof(text), "%lld", (long long)ms);
	return server_conn_ask(
		conn,
		"SELECT pid, usename, datname, application_name, host(client_addr),"
		" (1000 * extract(epoch FROM clock_timestamp() - state_change))::bigint"
		" FROM " CLIENTS " WHERE " IN_TRANSACTION
		" AND clock_timestamp() - state_change > $1::float8 * interval '1 ms'"
		" ORDER BY state_change",
		1, values);
}

struct page_rows *server_sessions_waits(struct server_conn *conn)
{
	return server_conn_ask(
		conn,
		"SELECT DISTINCT w.pid, b.pid, a.usename, a.datname, a.application_name"
		" FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) AS w,"
		" LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid)"
		" LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid ORDER BY 2, 1",
		0, NULL);
}

struct page_rows *server_sessions_backends(struct server_conn *conn)
{
	return server_conn_ask(
		conn,
		"SELECT pid, usename, datname, state,"
		" (1000 * extract(epoch FROM clock_timestamp() - state_change))::bigint,"
		" (1000000 * extract(epoch FROM clock_timestamp() - backend_start))::bigint"
		" FROM " CLIENTS " ORDER BY pid",
		0, NULL);
}
