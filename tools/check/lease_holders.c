/* SPDX-License-Identifier: PostgreSQL */
/* Which of a server's connections are held by programs of ours, from their status pages. */
#include "check/lease_holders.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/server_sessions.h"
#include "common/pages/status_pages.h"
#include "common/symbols/call_frames.h"
#include "common/symbols/source_lookup.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"

/* What may pass between reading the pages and asking the server, and round off. */
#define TOLERANCE_US 2000000

/* Columns of server_sessions_backends. */
enum { PID, USER, DATABASE, STATE, STATE_MS, AGE_US };

enum match { NO_MATCH, MATCH, MAYBE };

/* ---- is it this server? ---- */

static bool is_local(const char *host, size_t len)
{
	return len == 0 || host[0] == '/' || host[0] == '@' ||
	       (len == 5 && strncmp(host, "local", len) == 0) ||
	       (len == 9 && strncmp(host, "localhost", len) == 0) ||
	       (len > 4 && strncmp(host, "127.", 4) == 0) ||
	       (len == 3 && strncmp(host, "::1", len) == 0);
}

static bool is_directory(const char *host, size_t len)
{
	return len > 0 && (host[0] == '/' || host[0] == '@');
}

static bool is_same_host(const char *a, size_t a_len, const char *b)
{
	size_t b_len = strlen(b);

	if (a_len == b_len && strncmp(a, b, a_len) == 0) {
		return true;
	}
	/* Two servers may have one port number, in different directories. */
	return is_local(a, a_len) && is_local(b, b_len) &&
	       !(is_directory(a, a_len) && is_directory(b, b_len));
}

/* Whether one of the comma-separated hosts is the one that we are connected to. */
static bool has_host(const char *hosts, size_t len, const char *own)
{
	for (;;) {
		size_t one = strcspn(hosts, ",");

		if (one >= len) {
			return is_same_host(hosts, len, own);
		}
		if (is_same_host(hosts, one, own)) {
			return true;
		}
		hosts += one + 1;
		len -= one + 1;
	}
}

static bool has_port(const char *ports, size_t len, const char *own)
{
	size_t own_len = strlen(own);

	for (;;) {
		size_t one = strcspn(ports, ",");

		one = one < len ? one : len;
		if (one == own_len && strncmp(ports, own, one) == 0) {
			return true;
		}
		if (one >= len) {
			return false;
		}
		ports += one + 1;
		len -= one + 1;
	}
}

/*
 * Whether "user@host:port/database" is about this user and database of our server. Names
 * may hold any character, so both ends are compared rather than looked for.
 */
static bool is_same_pool(const char *label, const char *user, const char *database,
                         const struct server_conn *conn)
{
	size_t user_len = strlen(user);
	size_t database_len = strlen(database);
	const char *middle = label + user_len + 1;
	const char *end = strstr(label, " service=");
	const char *colon;

	end = end != NULL ? end : label + strlen(label);
	if (strncmp(label, user, user_len) != 0 || label[user_len] != '@' ||
	    (size_t)(end - middle) < database_len + 1) {
		return false;
	}
	end -= database_len + 1;
	colon = memrchr(middle, ':', (size_t)(end - middle));
	return end[0] == '/' && strncmp(end + 1, database, database_len) == 0 &&
	       colon != NULL &&
	       has_host(middle, (size_t)(colon - middle), server_conn_host(conn)) &&
	       has_port(colon + 1, (size_t)(end - colon - 1), server_conn_port(conn));
}

static enum match compare(const struct page *page, const struct page_session *session,
                          const struct page_rows *backends, int i,
                          const struct server_conn *conn)
{
	const char *user = rows_text(backends, i, USER);
	const char *database = rows_text(backends, i, DATABASE);
	int64_t held_us = (int64_t)(pages_held_ns(page, session) / 1000);

	if (rows_number(backends, i, PID) != session->row.backend || user == NULL ||
	    database == NULL || !is_same_pool(session->label, user, database, conn)) {
		return NO_MATCH;
	}
	if (rows_text(backends, i, AGE_US) == NULL) {
		return MAYBE;
	}
	return rows_number(backends, i, AGE_US) + TOLERANCE_US >= held_us ? MATCH : NO_MATCH;
}

/* ---- finding ---- */

struct holder {
	const struct page *page;
	const struct page_session *session;
	int backend; /* row */
	struct frames frames;
	struct spot **spots; /* one for each frame */
};

struct holders {
	struct holder *all;
	size_t count;
	int doubtful;  /* leases that may be on this server */
	int elsewhere; /* leases that are not */
};

/* Notes the places of its stack for source_lookup_resolve. */
static void want_places(struct holder *holder, struct source_lookup *symbols)
{
	const struct page_stack *stack = holder->session->stack;

	if (stack == NULL) {
		return;
	}
	frames_parse(&holder->frames, stack->frames, stack->build_ids);
	holder->spots = xalloc_new(holder->frames.count + 1, sizeof(*holder->spots));
	for (size_t i = 0; i < holder->frames.count; i++) {
		holder->spots[i] = source_lookup_want(symbols, &holder->frames.all[i],
		                                      holder->session->row.began_us);
	}
}

static void look_up(const struct page *page, const struct page_session *session,
                    const struct page_rows *backends, const struct server_conn *conn,
                    struct source_lookup *symbols, struct holders *holders)
{
	enum match match = NO_MATCH;
	int i = 0;

	while (i < rows_count(backends)) {
		match = compare(page, session, backends, i, conn);
		if (match != NO_MATCH) {
			break;
		}
		i++;
	}
	if (match == MATCH) {
		struct holder *holder;

		holders->all =
			xalloc_resize(holders->all, holders->count + 1, sizeof(*holders->all));
		holder = &holders->all[holders->count++];
		*holder = (struct holder){.page = page, .session = session, .backend = i};
		want_places(holder, symbols);
	} else if (match == MAYBE) {
		holders->doubtful++;
	} else {
		holders->elsewhere++;
	}
}

/* ---- telling ---- */

/* The line of source nearest to the call for which there is debug information. */
static bool print_source(const struct holder *holder)
{
	for (size_t i = 0; i < holder->frames.count; i++) {
		const struct sources *sources = &holder->spots[i]->sources;

		if (sources->count > 0 && sources->all[0].file != NULL) {
			if (sources->all[0].function != NULL) {
				terminal_text_put(stdout, sources->all[0].function);
				fputs(" at ", stdout);
			}
			terminal_text_put(stdout, sources->all[0].file);
			printf(":%lu", sources->all[0].line);
			return true;
		}
	}
	return false;
}

static void print_place(const struct holder *holder)
{
	const struct page_stack *stack = holder->session->stack;

	fputs(", taken at ", stdout);
	if (stack != NULL && stack->script[0] != '\0') {
		terminal_text_put(stdout, stack->script);
	} else if (!print_source(holder)) {
		if (holder->frames.count == 0) {
			fputs("an unknown place", stdout);
			return;
		}
		terminal_text_put(stdout, holder->frames.all[0].module);
		printf("+0x%llx", (unsigned long long)holder->frames.all[0].offset);
		if (holder->frames.all[0].symbol[0] != '\0') {
			fputs(" in ", stdout);
			terminal_text_put(stdout, holder->frames.all[0].symbol);
		}
	}
}

static void print_waiting(const struct page_rows *waits, int64_t backend)
{
	const char *before = "; blocks: backend ";

	for (int i = 0; i < rows_count(waits); i++) {
		if (rows_number(waits, i, 1) == backend) {
			printf("%s%s", before, rows_text(waits, i, 0));
			before = ", ";
		}
	}
}

static void print_holder(const struct holder *holder, const struct page_rows *backends,
                         const struct page_rows *waits)
{
	const struct page_session *session = holder->session;
	const char *state = rows_text(backends, holder->backend, STATE);

	printf("  backend %s", rows_text(backends, holder->backend, PID));
	if (state != NULL) {
		fputs(" (", stdout);
		terminal_text_put(stdout, state);
		fputs(" for ", stdout);
		terminal_text_put_span(stdout,
		                       rows_number(backends, holder->backend, STATE_MS));
		putchar(')');
	}
	fputs(": ", stdout);
	terminal_text_put(stdout, holder->page->program);
	printf("[%d], lease %llu, held for ", (int)holder->page->pid,
	       (unsigned long long)session->row.lease);
	terminal_text_put_span(stdout,
	                       (int64_t)(pages_held_ns(holder->page, session) / 1000000));
	print_place(holder);
	print_waiting(waits, session->row.backend);
	putchar('\n');
}

static void print_holders(const struct holders *holders, const struct page_rows *backends,
                          const struct page_rows *waits)
{
	if (holders->count > 0) {
		puts("Held through pqpool:");
	}
	for (size_t i = 0; i < holders->count; i++) {
		print_holder(&holders->all[i], backends, waits);
	}
	if (holders->doubtful > 0) {
		printf("Not verified without the rights of pg_monitor: %d leases of pqpool "
		       "that seem to be on this server\n",
		       holders->doubtful);
	}
	if (holders->elsewhere > 0) {
		printf("Held through pqpool, but not on this server: %d connections\n",
		       holders->elsewhere);
	}
}

static void free_holders(struct holders *holders)
{
	for (size_t i = 0; i < holders->count; i++) {
		frames_free(&holders->all[i].frames);
		free(holders->all[i].spots);
	}
	free(holders->all);
}

static void tell(const struct pages *pages, const struct page_rows *backends,
                 const struct page_rows *waits, const struct server_conn *conn)
{
	struct holders holders = {.all = NULL};
	static struct source_lookup symbols;

	for (size_t p = 0; p < pages->count; p++) {
		const struct page *page = &pages->all[p];

		for (size_t s = 0; page->live && s < page->session_count; s++) {
			const struct page_session *session = &page->sessions[s];

			/* Where one leads that is not pooled, its page does not say. */
			if (session->row.state == STATUS_SESSION_LEASED &&
			    session->pool != NULL) {
				look_up(page, session, backends, conn, &symbols, &holders);
			}
		}
	}
	source_lookup_resolve(&symbols);
	print_holders(&holders, backends, waits);
	free_holders(&holders);
}

bool lease_holders_print(struct server_conn *conn, const struct page_rows *waits)
{
	struct pages pages;
	struct page_rows *backends;
	bool good = true;

	/* The pages first: a backend then is older than the lease that was seen on it. */
	if (pages_read(&pages, 0, PAGES_OF_USER, NULL) && pages.count > 0) {
		backends = server_sessions_backends(conn);
		good = backends != NULL;
		if (good) {
			tell(&pages, backends, waits, conn);
		}
		rows_free(backends);
	}
	pages_free(&pages);
	return good;
}
