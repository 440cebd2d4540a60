/* SPDX-License-Identifier: PostgreSQL */
/* The tables of `pqpool check`: whose a server's connections are, and what they do. */
#include "check/session_tables.h"

#include <stdio.h>

#include "base/config/config.h"
#include "check/lease_holders.h"
#include "common/terminal_text.h"

#define TABLE_ROWS 10 /* of users and applications; the others are added up */

static void print_totals(const struct connection_counts *counts)
{
	printf("max_connections %lld, less %lld reserved: %lld for ordinary users, %lld left\n",
	       (long long)counts->max_connections, (long long)counts->reserved,
	       (long long)(counts->max_connections - counts->reserved),
	       (long long)(counts->max_connections - counts->reserved - counts->used));
	if (counts->hidden > 0) {
		printf("Not visible without the rights of pg_monitor: the state of %lld of "
		       "them\n",
		       (long long)counts->hidden);
	}
}

static bool print_states(struct server_conn *conn)
{
	struct page_rows *rows = server_sessions_states(conn);

	if (rows == NULL) {
		return false;
	}
	for (int i = 0; i < rows_count(rows); i++) {
		printf("%s%lld ", i == 0 ? "By state: " : ", ",
		       (long long)rows_number(rows, i, 1));
		terminal_text_put(stdout, rows_text(rows, i, 0));
	}
	if (rows_count(rows) > 0) {
		putchar('\n');
	}
	rows_free(rows);
	return true;
}

static void print_group(const struct page_rows *rows, int i)
{
	printf("  %5lld  %6lld  %6lld  %14lld  ", (long long)rows_number(rows, i, 1),
	       (long long)rows_number(rows, i, 2), (long long)rows_number(rows, i, 3),
	       (long long)rows_number(rows, i, 4));
	terminal_text_put(stdout,
	                  rows_text(rows, i, 0)[0] != '\0' ? rows_text(rows, i, 0) : "(none)");
	putchar('\n');
}

/* Takes the rows. */
static bool print_groups(const char *title, struct page_rows *rows)
{
	int64_t others = 0;

	if (rows == NULL) {
		return false;
	}
	if (rows_count(rows) > 0) {
		printf("  total  active    idle  in transaction  %s\n", title);
	}
	for (int i = 0; i < rows_count(rows); i++) {
		if (i < TABLE_ROWS) {
			print_group(rows, i);
		} else {
			others += rows_number(rows, i, 1);
		}
	}
	if (others > 0) {
		printf("  %5lld  of %d others\n", (long long)others,
		       rows_count(rows) - TABLE_ROWS);
	}
	rows_free(rows);
	return true;
}

static const char *or_unknown(const char *s)
{
	return s != NULL && s[0] != '\0' ? s : "?";
}

/* "user@database, application". */
static void print_session(const char *user, const char *database, const char *application)
{
	terminal_text_put(stdout, or_unknown(user));
	putchar('@');
	terminal_text_put(stdout, or_unknown(database));
	if (application != NULL && application[0] != '\0') {
		fputs(", ", stdout);
		terminal_text_put(stdout, application);
	}
}

static bool print_idlers(struct server_conn *conn, int64_t idle_ms)
{
	struct page_rows *rows;

	if (idle_ms == CONFIG_NO_LIMIT) {
		return true;
	}
	rows = server_sessions_idlers(conn, idle_ms);
	if (rows == NULL) {
		return false;
	}
	if (rows_count(rows) > 0) {
		fputs("Idle in transaction for longer than ", stdout);
		terminal_text_put_span(stdout, idle_ms);
		puts(":");
	}
	for (int i = 0; i < rows_count(rows); i++) {
		const char *address = rows_text(rows, i, 4);

		printf("  backend %s for ", rows_text(rows, i, 0));
		terminal_text_put_span(stdout, rows_number(rows, i, 5));
		fputs(": ", stdout);
		print_session(rows_text(rows, i, 1), rows_text(rows, i, 2),
		              rows_text(rows, i, 3));
		if (address != NULL) {
			fputs(", from ", stdout);
			terminal_text_put(stdout, address);
		}
		putchar('\n');
	}
	rows_free(rows);
	return true;
}

static void print_waits(const struct page_rows *waits)
{
	if (rows_count(waits) > 0) {
		puts("Waiting for a lock:");
	}
	for (int i = 0; i < rows_count(waits); i++) {
		printf("  backend %s waits for ", rows_text(waits, i, 0));
		if (rows_number(waits, i, 1) == 0) {
			puts("a prepared transaction");
			continue;
		}
		printf("backend %s (", rows_text(waits, i, 1));
		print_session(rows_text(waits, i, 2), rows_text(waits, i, 3),
		              rows_text(waits, i, 4));
		puts(")");
	}
}

bool session_tables_print(struct server_conn *conn, const struct connection_counts *counts,
                          int64_t idle_ms)
{
	struct page_rows *waits;
	bool good;

	print_totals(counts);
	if (!print_states(conn) || !print_groups("user", server_sessions_users(conn)) ||
	    !print_groups("application", server_sessions_applications(conn)) ||
	    !print_idlers(conn, idle_ms)) {
		return false;
	}
	waits = server_sessions_waits(conn);
	if (waits == NULL) {
		return false;
	}
	print_waits(waits);
	good = lease_holders_print(conn, waits);
	rows_free(waits);
	return good;
}
