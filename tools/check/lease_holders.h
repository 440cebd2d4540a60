/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which of a server's connections are held by programs of ours, from their status pages.
 *
 * A backend's pid says nothing across servers. A lease is taken for a connection to this
 * server only if pid, user and database agree, the port that the program connected to is
 * the one that we did, host or socket directory are the same or both on this machine, and
 * the backend is older than the lease. Where the server does not show us when the backend
 * began, nothing is claimed.
 */
#ifndef PQPOOL_TOOLS_CHECK_LEASE_HOLDERS_H
#define PQPOOL_TOOLS_CHECK_LEASE_HOLDERS_H

#include <stdbool.h>

#include "check/server_conn.h"

/*
 * Prints program, lease and place of each, and whom it keeps waiting (`waits` of
 * server_sessions_waits). False if the server failed, with server_conn_error.
 */
bool lease_holders_print(struct server_conn *conn, const struct page_rows *waits);

#endif
