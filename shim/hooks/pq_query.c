/* SPDX-License-Identifier: PostgreSQL */
/*
 * The PQ* functions we answer for: work. Everything by which a statement, or a byte of COPY,
 * gets to the server and its answer to the program; and the two by which a callback would.
 *
 * None is changed. Two things are seen to before it is passed on to libpq:
 *
 * - the connection may have been finished. Its session is in the pool then, or somebody
 *   else's, and is not touched: the program gets what libpq gives for a connection that is
 *   dead, and the log tells both places;
 * - the statement may do what no reset undoes, or want the idle sessions out of the way.
 *
 * While a connect of ours is in progress none is passed on, but for what sets a receiver:
 * each answers as libpq does before a connection is up.
 *
 * lo_*, PQputline and their like are not here: libpq makes them of PQfn, PQexec and
 * PQputCopyData, which come by here if its own calls do so at all; and what they do leaves
 * nothing in the session but with the transaction or the COPY around it.
 */
#include "acquire/acquire.h"
#include "acquire/async/async_connect.h"
#include "acquire/deferred_finish.h"
#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "hooks/interposed.h"
#include "hooks/lifecycle.h"
#include "hooks/pq_unconnected.h"
#include "session/query_call.h"

#define CALLER __builtin_return_address(0)

static bool is_unnamed(const char *name)
{
	return name == NULL || *name == '\0';
}

/* What the call that was begun gives occasion to, before it goes on. */
static COLD void heed(const struct query_call *work, PGconn *conn, const void *caller,
                      const char *function)
{
	struct guard guard;

	if (!lifecycle_enter(&guard)) {
		return;
	}
	if (work->stale) {
		acquire_misuse(conn, function, caller);
	} else if (work->unready) {
		unconnected_refuse(conn, function);
	} else {
		acquire_heed(conn, work->effects);
	}
	lifecycle_leave(&guard);
}

static bool begin_own(struct query_call *work, PGconn *conn, const char *text,
                      const void *caller, const char *function)
{
	bool go_on = query_call_begin(work, conn, text, caller);

	if (work->stale || work->unready || work->effects != 0) {
		heed(work, conn, caller, function);
	}
	return go_on;
}

/* May the call go on, with work->libpq? Then it must end. */
static bool begin(struct query_call *work, PGconn *conn, const char *text, const void *caller,
                  const char *function)
{
	if (query_call_is_within(work, conn, caller)) {
		query_call_note_within(conn, text);
		return true;
	}
	return begin_own(work, conn, text, caller, function);
}

/* The same for what lo_creat(3) and the like are made of. */
static bool begin_whole(struct query_call *work, PGconn *conn, const char *text,
                        const void *caller, const char *function)
{
	if (query_call_is_whole_within(work, conn, caller)) {
		query_call_note_within(conn, text);
		return true;
	}
	return begin_own(work, conn, text, caller, function);
}

/* The same for what parses `text` as the prepared statement `name`. */
static bool begin_parsing(struct query_call *work, PGconn *conn, const char *name,
                          const char *text, const void *caller, const char *function)
{
	if (!begin(work, conn, text, caller, function)) {
		return false;
	}
	if (work->entered && is_unnamed(name)) {
		query_call_note_unnamed(work);
	} else if (work->entered) {
		/* Whatever its text does, the name is taken. */
		query_call_note_doubted(work);
	}
	query_call_by_name(work, name, text);
	return true;
}

/* The same for what uses one that was parsed before. */
static bool begin_prepared(struct query_call *work, PGconn *conn, const char *name,
                           const void *caller, const char *function)
{
	if (!begin(work, conn, NULL, caller, function)) {
		return false;
	}
	if (work->entered && is_unnamed(name)) {
		query_call_forget_unnamed(work, conn);
	} else if (work->entered) {
		query_call_note_doubted(work);
	}
	query_call_by_name(work, name, NULL);
	return true;
}

static void end(struct query_call *work)
{
	if (work->entered) {
		query_call_end(work);
	}
	if (deferred_finish_any()) {
		lifecycle_catch_up();
	}
}

/* ---- sending, and waiting for the result ---------------------------------------------- */

ENTRY PGresult *PQexec(PGconn *conn, const char *query)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin_whole(&work, conn, query, CALLER, __func__)) {
		result = work.libpq->PQexec(conn, query);
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQexecParams(PGconn *conn, const char *command, int nParams,
                             const Oid *paramTypes, const char *const *paramValues,
                             const int *paramLengths, const int *paramFormats, int resultFormat)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin_parsing(&work, conn, NULL, command, CALLER, __func__)) {
		result = work.libpq->PQexecParams(conn, command, nParams, paramTypes,
		                                  paramValues, paramLengths, paramFormats,
		                                  resultFormat);
		end(&work);
	}
	return result;
}

/* What it will do counts from now on: it may be executed by its name any time. */
ENTRY PGresult *PQprepare(PGconn *conn, const char *stmtName, const char *query, int nParams,
                          const Oid *paramTypes)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin_parsing(&work, conn, stmtName, query, CALLER, __func__)) {
		result = work.libpq->PQprepare(conn, stmtName, query, nParams, paramTypes);
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQexecPrepared(PGconn *conn, const char *stmtName, int nParams,
                               const char *const *paramValues, const int *paramLengths,
                               const int *paramFormats, int resultFormat)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin_prepared(&work, conn, stmtName, CALLER, __func__)) {
		result = work.libpq->PQexecPrepared(conn, stmtName, nParams, paramValues,
		                                    paramLengths, paramFormats, resultFormat);
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQdescribePrepared(PGconn *conn, const char *stmt)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin_prepared(&work, conn, stmt, CALLER, __func__)) {
		result = work.libpq->PQdescribePrepared(conn, stmt);
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQdescribePortal(PGconn *conn, const char *portal)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQdescribePortal(conn, portal);
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQfn(PGconn *conn, int fnid, int *result_buf, int *result_len,
                     int result_is_int, const PQArgBlock *args, int nargs)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin_whole(&work, conn, NULL, CALLER, __func__)) {
		if (work.entered) {
			query_call_note_doubted(&work);
		}
		result = work.libpq->PQfn(conn, fnid, result_buf, result_len, result_is_int,
		                          args, nargs);
		end(&work);
	}
	return result;
}

/* libpq makes the statement, and may not come by here with it. */
ENTRY int PQsetClientEncoding(PGconn *conn, const char *encoding)
{
	struct query_call work;
	int result = -1;

	if (begin(&work, conn, "SET client_encoding", CALLER, __func__)) {
		result = work.libpq->PQsetClientEncoding(conn, encoding);
		end(&work);
	}
	return result;
}

/* ---- sending without waiting for the result ---------------------------------------------- */

ENTRY int PQsendQuery(PGconn *conn, const char *query)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, query, CALLER, __func__)) {
		result = work.libpq->PQsendQuery(conn, query);
		end(&work);
	}
	return result;
}

ENTRY int PQsendQueryParams(PGconn *conn, const char *command, int nParams,
                            const Oid *paramTypes, const char *const *paramValues,
                            const int *paramLengths, const int *paramFormats, int resultFormat)
{
	struct query_call work;
	int result = 0;

	if (begin_parsing(&work, conn, NULL, command, CALLER, __func__)) {
		result = work.libpq->PQsendQueryParams(conn, command, nParams, paramTypes,
		                                       paramValues, paramLengths, paramFormats,
		                                       resultFormat);
		end(&work);
	}
	return result;
}

/* As PQprepare. */
ENTRY int PQsendPrepare(PGconn *conn, const char *stmtName, const char *query, int nParams,
                        const Oid *paramTypes)
{
	struct query_call work;
	int result = 0;

	if (begin_parsing(&work, conn, stmtName, query, CALLER, __func__)) {
		result = work.libpq->PQsendPrepare(conn, stmtName, query, nParams, paramTypes);
		end(&work);
	}
	return result;
}

ENTRY int PQsendQueryPrepared(PGconn *conn, const char *stmtName, int nParams,
                              const char *const *paramValues, const int *paramLengths,
                              const int *paramFormats, int resultFormat)
{
	struct query_call work;
	int result = 0;

	if (begin_prepared(&work, conn, stmtName, CALLER, __func__)) {
		result = work.libpq->PQsendQueryPrepared(conn, stmtName, nParams, paramValues,
		                                         paramLengths, paramFormats,
		                                         resultFormat);
		end(&work);
	}
	return result;
}

ENTRY int PQsendDescribePrepared(PGconn *conn, const char *stmt)
{
	struct query_call work;
	int result = 0;

	if (begin_prepared(&work, conn, stmt, CALLER, __func__)) {
		result = work.libpq->PQsendDescribePrepared(conn, stmt);
		end(&work);
	}
	return result;
}

ENTRY int PQsendDescribePortal(PGconn *conn, const char *portal)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQsendDescribePortal(conn, portal);
		end(&work);
	}
	return result;
}

/* Not in every libpq. Within a pipeline nothing could be sent on our own account. */
ENTRY int PQenterPipelineMode(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (async_set_pipeline(conn, true)) {
		result = 1;
	} else if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.entered) {
			query_call_forget_unnamed(&work, conn);
		}
		if (work.libpq->PQenterPipelineMode != NULL) {
			result = work.libpq->PQenterPipelineMode(conn);
		}
		end(&work);
	}
	return result;
}

/* Not in every libpq. */
ENTRY int PQpipelineSync(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQpipelineSync != NULL) {
			result = work.libpq->PQpipelineSync(conn);
		}
		end(&work);
	}
	return result;
}

/* Not in every libpq. */
ENTRY int PQsendFlushRequest(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQsendFlushRequest != NULL) {
			result = work.libpq->PQsendFlushRequest(conn);
		}
		end(&work);
	}
	return result;
}

ENTRY int PQflush(PGconn *conn)
{
	struct query_call work;
	int result = -1;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQflush(conn);
		end(&work);
	} else if (work.unready) {
		result = 0;
	}
	return result;
}

/* ---- not in every libpq: from version 17 on --------------------------------------------- */

ENTRY PGresult *PQclosePrepared(PGconn *conn, const char *stmt)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQclosePrepared != NULL) {
			result = work.libpq->PQclosePrepared(conn, stmt);
		}
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQclosePortal(PGconn *conn, const char *portal)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQclosePortal != NULL) {
			result = work.libpq->PQclosePortal(conn, portal);
		}
		end(&work);
	}
	return result;
}

ENTRY int PQsendClosePrepared(PGconn *conn, const char *stmt)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQsendClosePrepared != NULL) {
			result = work.libpq->PQsendClosePrepared(conn, stmt);
		}
		end(&work);
	}
	return result;
}

ENTRY int PQsendClosePortal(PGconn *conn, const char *portal)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQsendClosePortal != NULL) {
			result = work.libpq->PQsendClosePortal(conn, portal);
		}
		end(&work);
	}
	return result;
}

ENTRY int PQsendPipelineSync(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		if (work.libpq->PQsendPipelineSync != NULL) {
			result = work.libpq->PQsendPipelineSync(conn);
		}
		end(&work);
	}
	return result;
}

/* libpq makes the statement, of which only the kind matters here. */
ENTRY PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin(&work, conn, "ALTER USER u PASSWORD p", CALLER, __func__)) {
		if (work.libpq->PQchangePassword != NULL) {
			result = work.libpq->PQchangePassword(conn, user, passwd);
		}
		end(&work);
	}
	return result;
}

/* ---- COPY -------------------------------------------------------------------------------- */

ENTRY int PQputCopyData(PGconn *conn, const char *buffer, int nbytes)
{
	struct query_call work;
	int result = -1;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQputCopyData(conn, buffer, nbytes);
		end(&work);
	}
	return result;
}

ENTRY int PQputCopyEnd(PGconn *conn, const char *errormsg)
{
	struct query_call work;
	int result = -1;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQputCopyEnd(conn, errormsg);
		end(&work);
	}
	return result;
}

ENTRY int PQgetCopyData(PGconn *conn, char **buffer, int async)
{
	struct query_call work;
	int result = -2;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQgetCopyData(conn, buffer, async);
		end(&work);
	}
	return result;
}

/* ---- what came of it --------------------------------------------------------------------- */

ENTRY int PQconsumeInput(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQconsumeInput(conn);
		end(&work);
	} else if (work.unready) {
		result = 1;
	}
	return result;
}

ENTRY int PQisBusy(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQisBusy(conn);
		end(&work);
	}
	return result;
}

ENTRY PGresult *PQgetResult(PGconn *conn)
{
	struct query_call work;
	PGresult *result = NULL;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQgetResult(conn);
		end(&work);
		if (query_call_is_connecting(&work) && result != NULL) {
			async_got(conn, result);
		}
	}
	return result;
}

ENTRY PGnotify *PQnotifies(PGconn *conn)
{
	struct query_call work;
	PGnotify *result = NULL;

	if (begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQnotifies(conn);
		end(&work);
	}
	return result;
}

/* ---- what would call the program back, in the name of the next lease --------------------- */

/* While a connect of ours is in progress ours stays in between. */
ENTRY PQnoticeReceiver PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver proc, void *arg)
{
	struct query_call work;
	PQnoticeReceiver result = NULL;

	if (!async_receiver(conn, proc, arg, &result) &&
	    begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQsetNoticeReceiver(conn, proc, arg);
		end(&work);
	}
	return result;
}

ENTRY PQnoticeProcessor PQsetNoticeProcessor(PGconn *conn, PQnoticeProcessor proc, void *arg)
{
	struct query_call work;
	PQnoticeProcessor result = NULL;

	if (!async_processor(conn, proc, arg, &result) &&
	    begin(&work, conn, NULL, CALLER, __func__)) {
		result = work.libpq->PQsetNoticeProcessor(conn, proc, arg);
		end(&work);
	}
	return result;
}
