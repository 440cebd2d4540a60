/* SPDX-License-Identifier: PostgreSQL */
/* The tables of `pqpool check`: a server's connections by state, user and application. */
#ifndef PQPOOL_TOOLS_CHECK_SESSION_TABLES_H
#define PQPOOL_TOOLS_CHECK_SESSION_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "check/server_conn.h"
#include "check/server_sessions.h"

/*
 * Prints them to standard output; sessions idle in transaction for longer than `idle_ms`
 * are named, with CONFIG_NO_LIMIT none. False if the server failed, with server_conn_error.
 */
bool session_tables_print(struct server_conn *conn, const struct connection_counts *counts,
                          int64_t idle_ms);

#endif
