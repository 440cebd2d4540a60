/* SPDX-License-Identifier: PostgreSQL */
/*
 * Advice for the connected database: tables overdue for VACUUM or ANALYZE, unused and
 * duplicate indexes, each with the reason and the statement that would help.
 */
#ifndef PQPOOL_TOOLS_CHECK_ADVICE_H
#define PQPOOL_TOOLS_CHECK_ADVICE_H

#include <stdbool.h>

#include "check/server_conn.h"

/* Prints it to standard output, in a transaction (server_conn_begin). False if the server
 * failed, with server_conn_error. */
bool advice_print(struct server_conn *conn);

#endif
