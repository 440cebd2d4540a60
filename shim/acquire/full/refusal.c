/* SPDX-License-Identifier: PostgreSQL */
/* A failed connection of our own making: the pool had no session in time. */
#include "acquire/full/refusal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "acquire/lend/lending.h"
#include "acquire/upkeep/log_events.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "share/keeper_protocol.h"
#include "trace/report/report.h"

#define PAUSED "connects are paused (pqpool pause) until `pqpool resume`"

#define HOLDERS_SHOWN 3
#define MESSAGE_MAX   2048

/* Hosts, and addresses of each, that are given up one by one. */
#define ATTEMPTS_MAX 100

static void put_limit(struct strbuf *t, const struct pool_limits *limits)
{
	strbuf_str(t, "the limit of ");
	strbuf_count(t, limits->total, "session");
	strbuf_str(t, " is reached (PQPOOL_SIZE ");
	strbuf_u64(t, limits->size);
	strbuf_str(t, " + PQPOOL_MAX_OVERFLOW ");
	strbuf_u64(t, limits->total - limits->size);
	strbuf_str(t, ")");
}

static void put_holders(struct strbuf *t, const struct exhaustion_report *p)
{
	for (size_t i = 0; i < p->count && i < HOLDERS_SHOWN; i++) {
		const struct lease *lease = &p->holders[i];

		strbuf_str(t, i == 0 ? "; held longest: " : ", ");
		if (lease->open) {
			strbuf_str(t, "lease ");
			strbuf_u64(t, lease->id);
		} else {
			strbuf_str(t, "an asynchronous connect, not finished");
		}
		strbuf_str(t, " for ");
		strbuf_span(t, p->known.now_ns - lease->began_ns);
		strbuf_str(t, " by thread ");
		strbuf_i64(t, lease->tid);
		strbuf_str(t, ", taken at ");
		report_place(lease->stack, t);
	}
}

/* There was no wait: every thread of the program waits, or its only one would. */
static void put_doom(struct strbuf *t, const struct exhaustion_report *p)
{
	strbuf_str(t, "no session can become free: self-deadlock; ");
	put_limit(t, &p->lender->pool.limits);
	strbuf_str(t, ", and every thread of the program that uses libpq waits for one");
}

static void put_cause(struct strbuf *t, const struct exhaustion_report *p)
{
	static const struct {
		char name[16];
		char finding[64]; /* after the number of sessions for which it is true */
	} causes[] = {
		[CAUSE_SELF_DEADLOCK] = {"self-deadlock",
	                                 " taken by threads that wait for one themselves)"},
		[CAUSE_LEAK] = {"leak", " idle for long, or taken by a thread that has ended)"},
		[CAUSE_TOO_SMALL] = {"pool too small",
	                             " returned and taken by others during this wait)"},
		[CAUSE_SLOW] = {"slow work", " held longer than this wait)"},
	};
	const uint64_t found[] = {
		[CAUSE_SELF_DEADLOCK] = p->known.in_use,
		[CAUSE_LEAK] = p->known.forgotten,
		[CAUSE_TOO_SMALL] = p->known.young,
		[CAUSE_SLOW] = p->known.in_use - p->known.young,
	};

	strbuf_str(t, "; likely cause: ");
	strbuf_str(t, causes[p->verdict].name);
	strbuf_str(t, " (");
	strbuf_u64(t, found[p->verdict]);
	strbuf_str(t, " of ");
	strbuf_count(t, p->known.in_use, "session");
	strbuf_str(t, causes[p->verdict].finding);
}

static void put_timeout(struct strbuf *t, const struct exhaustion_report *p)
{
	strbuf_str(t, "no session became free within ");
	strbuf_span(t, p->known.waited_ns);
	strbuf_str(t, "; ");
	if (p->verdict == CAUSE_PAUSED) {
		strbuf_str(t, PAUSED);
		return;
	}
	put_limit(t, &p->lender->pool.limits);
	put_cause(t, p);
}

/* What a refused connect says, malloc'ed: as the report tells, or, without one, the `error`. */
static char *message_of(const struct lender *lender, const struct exhaustion_report *p,
                        int error)
{
	char *buf = scratch_take();
	char *message;
	char words[128];
	struct strbuf t;

	if (buf == NULL) {
		return NULL;
	}
	strbuf_init(&t, buf, MESSAGE_MAX);
	strbuf_str(&t, "connection to \"");
	strbuf_str(&t, lender->identity->label);
	strbuf_str(&t, "\" failed: pqpool: ");
	if (p == NULL) {
		strbuf_str(&t, "could not wait for a session: ");
		strbuf_str(&t, strerror_r(error, words, sizeof(words)));
	} else {
		if (p->known.proven) {
			put_doom(&t, p);
		} else {
			put_timeout(&t, p);
		}
		put_holders(&t, p);
	}
	strbuf_str(&t, "\n");
	message = strdup(buf);
	scratch_give(buf);
	return message;
}

char *refusal_report(struct lender *lender, uint64_t waited_ns, enum exhaustion_waiter waiter)
{
	struct exhaustion_report p;
	char *message;

	exhaustion_report_make(&p, lender, waited_ns, waiter);
	message = message_of(lender, &p, 0);
	exhaustion_report_log(&p);
	exhaustion_report_end(&p);
	return message;
}

char *refusal_by_error(const struct lender *lender, int error)
{
	return message_of(lender, NULL, error);
}

void refusal_fail(const struct libpq *libpq, PGconn *conn)
{
	lock_assert_none();
	for (unsigned i = 0; i < ATTEMPTS_MAX && libpq->PQstatus(conn) != CONNECTION_BAD; i++) {
		shutdown(libpq->PQsocket(conn), SHUT_RDWR);
		libpq->PQconnectPoll(conn);
	}
}

/* A failed connection with this message; NULL: out of memory. */
static struct session *make(const struct acquisition *a, char *message)
{
	PGconn *conn = message != NULL ? a->libpq->PQconnectStart(a->spelling->conninfo) : NULL;
	struct session *session = NULL;

	if (conn != NULL) {
		refusal_fail(a->libpq, conn);
		session = session_adopt(a->libpq, conn);
	}
	if (session == NULL) {
		a->libpq->PQfinish(conn);
		free(message);
		return NULL;
	}
	session->refusal = message;
	return session;
}

static PGconn *give(const struct acquisition *a, char *message)
{
	struct session *session = make(a, message);
	PGconn *conn = session != NULL ? session->conn : NULL;

	if (session != NULL && !lending_enter(session, a->lender)) {
		session_free(session);
	}
	return conn;
}

PGconn *refusal_give(const struct acquisition *a, bool doomed)
{
	uint64_t waited_ns = clock_monotonic_ns() - a->began_ns;

	return give(a, refusal_report(a->lender, waited_ns,
	                              doomed ? WAITER_DOOMED : WAITER_BLOCKED));
}

/* The keeper's lines, put into a sentence. */
static void put_lines(struct strbuf *t, const char *lines)
{
	for (; *lines != '\0'; lines++) {
		if (*lines != '\n') {
			strbuf_char(t, *lines);
		} else if (lines[1] != '\0') {
			strbuf_str(t, ", ");
		}
	}
}

char *refusal_report_shared(const struct acquisition *a, const char *holders)
{
	uint64_t waited_ns = clock_monotonic_ns() - a->began_ns;
	char *buf = scratch_take();
	char *message = NULL;
	struct strbuf t;

	log_event_timeout(a->lender, pool_count(&a->lender->pool), waited_ns, "shared", false);
	if (buf != NULL) {
		strbuf_init(&t, buf, MESSAGE_MAX);
		strbuf_str(&t, "connection to \"");
		strbuf_str(&t, a->lender->identity->label);
		strbuf_str(&t, "\" failed: pqpool: no session became free within ");
		strbuf_span(&t, waited_ns);
		strbuf_str(&t, "; ");
		if (holders != NULL &&
		    strncmp(holders, KEEPER_PAUSED, strlen(KEEPER_PAUSED)) == 0) {
			holders += strlen(KEEPER_PAUSED);
			strbuf_str(&t, PAUSED);
		} else {
			strbuf_str(&t, "the limit of all processes that share is reached");
		}
		if (holders != NULL && holders[0] != '\0') {
			strbuf_str(&t, "; ");
			put_lines(&t, holders);
		}
		strbuf_str(&t, "\n");
		message = strdup(buf);
		scratch_give(buf);
	}
	return message;
}

PGconn *refusal_by_keeper(const struct acquisition *a, const char *holders)
{
	return give(a, refusal_report_shared(a, holders));
}

bool refusal_fork_child(struct lease *lease)
{
	struct session *session = session_of_lease(lease);

	if (session->refusal == NULL) {
		return false;
	}
	session->lender = NULL;
	return true;
}
