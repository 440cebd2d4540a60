/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the program gets from a connection whose connect in steps is not over (async_connect.h):
 * what libpq answers before a connection is up.
 */
#ifndef PQPOOL_HOOKS_PQ_UNCONNECTED_H
#define PQPOOL_HOOKS_PQ_UNCONNECTED_H

#include <libpq-fe.h>

/* `function` fails for that: PQerrorMessage says why, where libpq has anything to say. */
void unconnected_refuse(const PGconn *conn, const char *function);

#endif
