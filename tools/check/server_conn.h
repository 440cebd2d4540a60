/* SPDX-License-Identifier: PostgreSQL */
/*
 * A read-only connection to a server, with a limit on each wait.
 *
 * Loads libpq when it is first needed: the other subcommands must work where the system
 * has no libpq.
 *
 * One thread; nothing here prints.
 */
#ifndef PQPOOL_TOOLS_CHECK_SERVER_CONN_H
#define PQPOOL_TOOLS_CHECK_SERVER_CONN_H

#include <stdbool.h>
#include <stdint.h>

struct server_conn;

enum server_conn_outcome {
	SERVER_CONN_OPEN,
	SERVER_CONN_FULL,   /* the server refused, because all its connections are in use */
	SERVER_CONN_FAILED, /* any other reason */
};

/*
 * Connects as `conninfo` and the environment say; each exchange with the server may take
 * `timeout_ms`. server_conn_error() explains the outcome. `*conn` gets the connection,
 * open or failed, which is the caller's to close; NULL if memory ran out.
 */
enum server_conn_outcome server_conn_open(struct server_conn **conn, const char *conninfo,
                                          int64_t timeout_ms);

/* NULL does nothing. */
void server_conn_close(struct server_conn *conn);

/* Why the last call failed, one line; valid until the next call. Untrusted text. */
const char *server_conn_error(const struct server_conn *conn);

/* Where the connection leads: host name, address or directory; untrusted text. */
const char *server_conn_host(const struct server_conn *conn);
const char *server_conn_port(const struct server_conn *conn);

/* The rows of an answer. */
struct page_rows;

/*
 * Runs one statement; `values` are its parameters $1 to $n as text. NULL on failure.
 * Owner: the caller, who gives it to rows_free.
 */
struct page_rows *server_conn_ask(struct server_conn *conn, const char *sql, int n,
                                  const char *const *values);

/*
 * Begins a read-only transaction, in which names without a schema are the catalog's and no
 * statement takes long; ends it. False with server_conn_error.
 */
bool server_conn_begin(struct server_conn *conn);
bool server_conn_end(struct server_conn *conn);

/* NULL does nothing. */
void rows_free(struct page_rows *rows);
int rows_count(const struct page_rows *rows);
/* NULL if the column is null; untrusted text. Columns are counted from 0. */
const char *rows_text(const struct page_rows *rows, int row, int column);
/* The column as a whole number; 0 if it is null. */
int64_t rows_number(const struct page_rows *rows, int row, int column);
/* The column as a number with a fraction; 0 if it is null. */
double rows_real(const struct page_rows *rows, int row, int column);

#endif
