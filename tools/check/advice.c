/* SPDX-License-Identifier: PostgreSQL */
/* Advice for the connected database. */
#include "check/advice.h"

#include <stdio.h>
#include <string.h>

#include "check/advice_sql.h"
#include "common/terminal_text.h"

/* Prints object, reason and statement of each row; takes the rows. */
static bool print_section(const char *title, struct page_rows *rows)
{
	if (rows == NULL) {
		return false;
	}
	printf("%s:%s\n", title, rows_count(rows) > 0 ? "" : " none");
	for (int i = 0; i < rows_count(rows); i++) {
		fputs("  ", stdout);
		terminal_text_put(stdout, rows_text(rows, i, 0));
		fputs(": ", stdout);
		terminal_text_put(stdout, rows_text(rows, i, 1));
		fputs("\n    ", stdout);
		terminal_text_put(stdout, rows_text(rows, i, 2));
		puts(";");
	}
	rows_free(rows);
	return true;
}

static bool is_true(const char *s)
{
	return s != NULL && strcmp(s, "t") == 0;
}

/* What the reader must know of the circumstances. */
static bool print_circumstances(struct server_conn *conn)
{
	struct page_rows *rows = server_conn_ask(conn, advice_circumstances_sql, 0, NULL);

	if (rows == NULL) {
		return false;
	}
	fputs("Advice for the database ", stdout);
	terminal_text_put(stdout, rows_text(rows, 0, 0));
	if (rows_text(rows, 0, 1) != NULL) {
		printf(", by statistics gathered since %s\n", rows_text(rows, 0, 1));
	} else {
		puts(", by statistics that were never reset");
	}
	if (is_true(rows_text(rows, 0, 2))) {
		puts("This is a standby: its statistics are about itself; run statements on "
		     "its primary.");
	}
	if (!is_true(rows_text(rows, 0, 3))) {
		puts("autovacuum is off on this server.");
	}
	if (!is_true(rows_text(rows, 0, 4))) {
		puts("track_counts is off on this server: there are no statistics.");
	}
	rows_free(rows);
	return true;
}

bool advice_print(struct server_conn *conn)
{
	return print_circumstances(conn) &&
	       print_section("Overdue for VACUUM or ANALYZE, by autovacuum's own formulas",
	                     server_conn_ask(conn, advice_vacuum_sql, 0, NULL)) &&
	       print_section("Unused indexes (standbys count their own scans: check them, too)",
	                     server_conn_ask(conn, advice_unused_sql, 0, NULL)) &&
	       print_section("Duplicate indexes",
	                     server_conn_ask(conn, advice_duplicates_sql, 0, NULL));
}
