/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which of a server's connections are held by this user's programs, from their status pages.
 *
 * A backend's pid is unique on one server only. A lease counts as a connection to this server
 * only if pid, user and database agree, program and we connected to the same port, host or
 * socket directory are the same or both on this machine, and the backend is older than the
 * lease. If the server does not show when the backend began, the lease does not count.
 */
#ifndef PQPOOL_TOOLS_CHECK_LEASE_HOLDERS_H
#define PQPOOL_TOOLS_CHECK_LEASE_HOLDERS_H

#include <stdbool.h>

#include "check/server_conn.h"

/*
 * Prints program, lease and place of each, and the sessions that wait for it (`waits` of
 * server_sessions_waits). False if the server failed, with server_conn_error.
 */
bool lease_holders_print(struct server_conn *conn, const struct page_rows *waits);

#endif
