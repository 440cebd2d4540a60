/* SPDX-License-Identifier: PostgreSQL */
/* A libpq call of the program's on a connection. */
#include "session/query_call.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/lock.h"
#include "base/text/hash.h"
#include "base/text/strbuf.h"
#include "base/thread/thread_block.h"
#include "sql/effects.h"
#include "sql/harmless.h"
#include "trace/lease/lease.h"
#include "trace/status/status.h"

/* Calls in signal handlers, where the connection could not be looked up. */
static atomic_uint unseen;

/* Constant once configured. */
static bool judging;

/*
 * How many statements are judged though their sessions are always reset: those of a program
 * that connects once, and ends soon.
 */
static atomic_int early = 16;

void query_call_configure(bool judge)
{
	judging = judge;
}

/* ---- what is sent ---- */

/* A name in 64 bits; never 0. */
static uint64_t fold(const char *name)
{
	return hash_bytes(0, name, strlen(name)) | 1;
}

_Static_assert((int)LEASE_TRANSACTION_UNKNOWN == STATUS_TRANSACTION_UNKNOWN &&
                       (int)LEASE_TRANSACTION_IDLE == STATUS_TRANSACTION_IDLE &&
                       (int)LEASE_TRANSACTION_ACTIVE == STATUS_TRANSACTION_ACTIVE &&
                       (int)LEASE_TRANSACTION_OPEN == STATUS_TRANSACTION_OPEN &&
                       (int)LEASE_TRANSACTION_FAILED == STATUS_TRANSACTION_FAILED,
               "the status page has the same numbers");

static void note_transaction(struct session *session, enum lease_transaction transaction,
                             uint64_t now_ns)
{
	lease_note_transaction(&session->activity, transaction, now_ns);
	status_transaction(session->lease.row, (enum status_transaction)transaction);
}

static void note_running(struct session *session)
{
	uint64_t now_ns = clock_monotonic_ns();

	session->unsynced = true;
	lease_note_use(&session->activity, now_ns);
	note_transaction(session, LEASE_TRANSACTION_ACTIVE, now_ns);
}

static void note_sent(struct session *session, const char *text)
{
	lease_note_statement(&session->activity, text);
	status_statement(session->lease.row, &session->said, text);
	note_running(session);
	session->noted_name = 0;
}

/* The text of a prepared statement stays in the activity while that one is executed. */
void query_call_by_name(struct query_call *work, const char *name, const char *text)
{
	struct session *session = work->entered ? work->session : NULL;
	char buf[LEASE_STATEMENT_MAX];
	struct strbuf t;
	uint64_t folded;

	if (session == NULL) {
		return;
	}
	session->unsynced = true;
	if (name == NULL) {
		return;
	}
	folded = fold(name);
	if (text == NULL && session->noted_name != folded) {
		strbuf_init(&t, buf, sizeof(buf));
		strbuf_str(&t, "EXECUTE ");
		strbuf_str(&t, name);
		note_sent(session, buf);
	} else if (text == NULL) {
		note_running(session);
	}
	work->sends = true;
	session->noted_name = folded;
}

/* False: all counts as harmful. */
static bool is_judged(void)
{
	return judging || (atomic_load_explicit(&early, memory_order_relaxed) > 0 &&
	                   atomic_fetch_sub_explicit(&early, 1, memory_order_relaxed) > 0);
}

/* What `text` does: to the next lease, for the reset, and beyond. */
static unsigned effects_of(struct session *session, const char *text)
{
	session->sent = true;
	if (!session->leaves && is_judged() &&
	    statement_is_harmless(text, session->libpq->PQclientEncoding(session->conn) ==
	                                        LIBPQ_UTF8)) {
		return 0;
	}
	session->leaves = true;
	return statement_effects(text);
}

static enum lease_transaction transaction_of(const struct session *session)
{
	switch (session->libpq->PQtransactionStatus(session->conn)) {
	case PQTRANS_IDLE:
		return LEASE_TRANSACTION_IDLE;
	case PQTRANS_ACTIVE:
		return LEASE_TRANSACTION_ACTIVE;
	case PQTRANS_INTRANS:
		return LEASE_TRANSACTION_OPEN;
	case PQTRANS_INERROR:
		return LEASE_TRANSACTION_FAILED;
	case PQTRANS_UNKNOWN:
		break;
	}
	return LEASE_TRANSACTION_UNKNOWN;
}

/* ---- begin and end ---- */

/* The connection is not on lease: `lease` is an idle session's, or NULL. */
static COLD const struct libpq *libpq_of_unleased(struct query_call *work, const PGconn *conn,
                                                  struct lease *lease, const void *caller)
{
	if (lease == NULL) {
		if (lock_barred()) {
			atomic_fetch_add(&unseen, 1);
		}
		return libpq_of_caller(caller).libpq;
	}
	/* Asked again under the lock: an idle session may be closed at any moment. */
	work->stale = lease_is_stale(conn);
	work->unready = !work->stale && session_of_lease(lease)->unready;
	return work->stale || work->unready ? NULL : session_of_lease(lease)->libpq;
}

/* Kept out of the path of calls without a text, which are most. */
static __attribute__((noinline)) void note_text(struct query_call *work, const char *text)
{
	thread_block_take();
	work->session->text = text;
	work->effects = effects_of(work->session, text);
	work->sends = true;
	note_sent(work->session, text);
}

/* By one thread at a time, as libpq demands. */
static void count_inside(struct session *session, int change)
{
	unsigned calls = atomic_load_explicit(&session->inside, memory_order_relaxed);

	atomic_store_explicit(&session->inside, calls + (unsigned)change, memory_order_relaxed);
}

bool query_call_is_within(struct query_call *work, const PGconn *conn, const void *caller)
{
	struct lease *lease;

	work->entered = false;
	work->session = NULL;
	work->libpq = libpq_containing(caller);
	if (work->libpq == NULL) {
		return false;
	}
	if (lease_find(conn, &lease) == LEASE_OPEN) {
		work->session = session_of_lease(lease);
	}
	/* Else libpq makes it for a function that is not interposed. */
	return work->session == NULL || query_call_is_inside(work->session);
}

bool query_call_is_whole_within(struct query_call *work, const PGconn *conn, const void *caller)
{
	struct lease *lease;

	if (!query_call_is_within(work, conn, caller)) {
		return false;
	}
	/* These functions, too, are refused for a connection that is finished or not up yet. */
	return lease_find(conn, &lease) != LEASE_IDLE ||
	       (!lease_is_stale(conn) && !session_of_lease(lease)->unready);
}

bool query_call_begin(struct query_call *work, PGconn *conn, const char *text,
                      const void *caller)
{
	struct lease *lease;

	work->session = NULL;
	work->effects = 0;
	work->stale = false;
	work->unready = false;
	work->sends = false;
	if (lease_find(conn, &lease) == LEASE_OPEN) {
		work->session = session_of_lease(lease);
		work->libpq = work->session->libpq;
		count_inside(work->session, 1);
		if (text != NULL) {
			note_text(work, text);
		}
	} else {
		work->libpq = libpq_of_unleased(work, conn, lease, caller);
	}
	work->entered = work->libpq != NULL;
	return work->entered;
}

void query_call_note_within(const PGconn *conn, const char *text)
{
	struct lease *lease;
	struct session *session;

	if (text == NULL || lease_find(conn, &lease) != LEASE_OPEN) {
		return;
	}
	session = session_of_lease(lease);
	if (session->text != text) {
		session->sent = true;
		session->leaves = true;
	}
}

void query_call_note_doubted(const struct query_call *work)
{
	if (work->session != NULL) {
		work->session->sent = true;
		work->session->leaves = true;
	}
}

void query_call_note_waiting(struct query_call *work)
{
	if (work->session != NULL) {
		note_running(work->session);
		work->sends = true;
	}
}

void query_call_note_unnamed(const struct query_call *work)
{
	if (work->session != NULL) {
		work->session->unnamed = UNNAMED_OWN;
	}
}

static bool is_in_pipeline(const struct libpq *pq, const PGconn *conn)
{
	return pq->can_pipeline && pq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF;
}

void query_call_enter_pipeline(const struct query_call *work, PGconn *conn)
{
	query_call_forget_unnamed(work, conn);
	if (work->session != NULL && !is_in_pipeline(work->libpq, conn)) {
		work->session->unsynced = false;
	}
}

void query_call_note_sync(const struct query_call *work)
{
	if (work->entered && work->session != NULL) {
		work->session->unsynced = false;
	}
}

bool query_call_is_unsynced(const struct query_call *work, const PGconn *conn)
{
	return work->session != NULL && work->session->unsynced &&
	       is_in_pipeline(work->libpq, conn);
}

void query_call_note_unsynced_end(const struct query_call *work)
{
	work->session->taint = DROP_PIPELINE;
}

void query_call_forget_unnamed(const struct query_call *work, PGconn *conn)
{
	const struct libpq *pq = work->libpq;
	PGresult *result;

	if (work->session == NULL || work->session->unnamed != UNNAMED_LEFT ||
	    pq->PQtransactionStatus(conn) == PQTRANS_ACTIVE || is_in_pipeline(pq, conn)) {
		return;
	}
	work->session->unnamed = UNNAMED_NONE;
	result = pq->PQexec(conn, "");
	if (pq->PQresultStatus(result) != PGRES_EMPTY_QUERY) {
		/* Its answer may still come, and be taken for that to the program's next
		 * statement. */
		work->session->taint = DROP_BROKEN;
		shutdown(pq->PQsocket(conn), SHUT_RDWR);
	}
	pq->PQclear(result);
}

void query_call_note_result(const struct query_call *work, const PGresult *result)
{
	const struct libpq *pq = work->libpq;

	if (work->session != NULL && pq->PQresultStatus(result) == PGRES_FATAL_ERROR &&
	    pq->PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL) {
		work->session->taint = DROP_BROKEN;
	}
}

void query_call_end(struct query_call *work)
{
	struct session *session = work->session;

	enum lease_transaction transaction;
	uint64_t now_ns;

	if (session == NULL) {
		return;
	}
	transaction = transaction_of(session);
	/* Most calls are by programs that look whether an answer has come, and change nothing.
	 */
	if (work->sends || transaction != lease_noted_transaction(&session->activity)) {
		now_ns = clock_monotonic_ns();
		note_transaction(session, transaction, now_ns);
		/* It may have taken long. */
		if (work->sends) {
			lease_note_use(&session->activity, now_ns);
		}
	}
	count_inside(session, -1);
}

unsigned query_call_unseen(void)
{
	return atomic_load_explicit(&unseen, memory_order_relaxed);
}
