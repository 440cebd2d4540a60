/* SPDX-License-Identifier: PostgreSQL */
/* A failed connection of our own making: the pool had no session in time. */
#include "acquire/full/refusal.h"

#include <stdlib.h>
#include <string.h>

#include "acquire/async/async_conn.h"
#include "base/clock.h"
#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "trace/report/report.h"

#define HOLDERS_SHOWN 3
#define MESSAGE_MAX   2048

static void put_limit(struct text *t, const struct pool_limits *limits)
{
	text_u64(t, limits->total);
	text_str(t, " (PQPOOL_SIZE ");
	text_u64(t, limits->size);
	text_str(t, " + PQPOOL_MAX_OVERFLOW ");
	text_u64(t, limits->total - limits->size);
	text_str(t, ")");
}

static void put_holders(struct text *t, const struct postmortem *p)
{
	for (size_t i = 0; i < p->count && i < HOLDERS_SHOWN; i++) {
		const struct lease *lease = &p->holders[i];

		text_str(t, i == 0 ? "; held longest: " : ", ");
		if (lease->open) {
			text_str(t, "lease ");
			text_u64(t, lease->id);
		} else {
			text_str(t, "a connect in steps, not finished");
		}
		text_str(t, " for ");
		text_span(t, p->known.now_ns - lease->began_ns);
		text_str(t, " by thread ");
		text_i64(t, lease->tid);
		text_str(t, ", taken at ");
		report_place(lease->stack, t);
	}
}

/* Nothing was waited for: all threads of the program wait, or its only one would. */
static void put_doom(struct text *t, const struct postmortem *p)
{
	text_str(t, "a session would never become free: self-deadlock, all of the limit of ");
	put_limit(t, &p->lender->pool.limits);
	text_str(t,
	         " are in use while every thread of the program that uses libpq waits for one");
}

static void put_verdict(struct text *t, const struct postmortem *p)
{
	text_str(t, "; verdict: ");
	switch (p->verdict) {
	case VERDICT_SELF_DEADLOCK:
		text_str(t,
		         "self-deadlock, all were taken by threads that wait here themselves");
		break;
	case VERDICT_LEAK:
		text_str(t, "leak, ");
		text_u64(t, p->known.forgotten);
		text_str(t, " of them lie idle for long or since their thread ended");
		break;
	case VERDICT_TOO_SMALL:
		text_str(t, "too small, ");
		text_u64(t, p->known.young);
		text_str(t, " of them were given back and taken by others meanwhile");
		break;
	case VERDICT_SLOW:
		text_str(t, "slow, ");
		text_u64(t, p->known.in_use - p->known.young);
		text_str(t, " of them are kept for longer than this wait");
		break;
	}
}

static void put_timeout(struct text *t, const struct postmortem *p)
{
	text_str(t, "no session became free within ");
	text_span(t, p->known.waited_ns);
	text_str(t, ", all of the limit of ");
	put_limit(t, &p->lender->pool.limits);
	text_str(t, " are in use");
	put_verdict(t, p);
}

char *refusal_message(const struct postmortem *p)
{
	char *buf = scratch_take();
	char *message;
	struct text t;

	if (buf == NULL) {
		return NULL;
	}
	text_init(&t, buf, MESSAGE_MAX);
	text_str(&t, "connection to \"");
	text_str(&t, p->lender->identity->label);
	text_str(&t, "\" failed: pqpool: ");
	if (p->known.proven) {
		put_doom(&t, p);
	} else {
		put_timeout(&t, p);
	}
	put_holders(&t, p);
	text_str(&t, "\n");
	message = strdup(buf);
	scratch_give(buf);
	return message;
}

char *refusal_by_error(const struct lender *lender, int error)
{
	char *buf = scratch_take();
	char *message;
	char words[128];
	struct text t;

	if (buf == NULL) {
		return NULL;
	}
	text_init(&t, buf, MESSAGE_MAX);
	text_str(&t, "connection to \"");
	text_str(&t, lender->identity->label);
	text_str(&t, "\" failed: pqpool: could not wait for a session: ");
	text_str(&t, strerror_r(error, words, sizeof(words)));
	text_str(&t, "\n");
	message = strdup(buf);
	scratch_give(buf);
	return message;
}

static PGconn *failed_connection(const struct spelling *spelling)
{
	const struct libpq *libpq = spelling->identity->libpq;
	PGconn *conn = libpq->PQconnectStart(spelling->conninfo);

	if (conn != NULL) {
		connecting_give_up(libpq, conn);
	}
	return conn;
}

static struct session *make(const struct spelling *spelling, const struct postmortem *p)
{
	const struct libpq *libpq = spelling->identity->libpq;
	char *text = refusal_message(p);
	PGconn *conn = text != NULL ? failed_connection(spelling) : NULL;
	struct session *session = conn != NULL ? session_adopt(libpq, conn) : NULL;

	if (session == NULL) {
		libpq->PQfinish(conn);
		free(text);
		return NULL;
	}
	session->refusal = text;
	session->lease.pool = p->lender->identity->label;
	return session;
}

PGconn *refusal_give(const struct acquisition *a, bool doomed)
{
	struct session *session;
	struct postmortem p;
	PGconn *conn;

	postmortem_make(&p, a->lender, clock_monotonic_ns() - a->began_ns,
	                doomed ? WAITER_DOOMED : WAITER_BLOCKED);
	session = make(a->spelling, &p);
	postmortem_log(&p);
	postmortem_end(&p);
	if (session == NULL) {
		return NULL;
	}
	conn = session->conn;
	if (!lending_enter(session, a->lender)) {
		session_free(session);
		return conn;
	}
	session->vanished = lending_forget_refused;
	return conn;
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
