/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed PQ* functions that carry statements: everything by which a statement or a byte
 * of COPY gets to the server, and its answer to the program; and the two that set a notice
 * callback.
 *
 * Each calls libpq's own. Before that:
 *
 * - If the connection was finished, its session is in the pool or on another lease, and is not
 *   touched: the program gets what libpq returns for a dead connection, and both places are
 *   logged.
 * - A statement whose effects no reset undoes is noted, and may close the idle sessions first.
 * - While a connect of ours is in progress only the functions that set a callback are passed
 * on; the others answer as libpq does before a connection is up.
 *
 * lo_*, PQputline and the like are not interposed: libpq makes them of PQfn, PQexec and
 * PQputCopyData, and what they do ends with the transaction or the COPY around it.
 */
#include <stddef.h>
#include <string.h>

#include "acquire/async/async_answers.h"
#include "acquire/conn_use.h"
#include "acquire/deferred_finish.h"
#include "base/cold.h"
#include "base/libpq/caller.h"
#include "hooks/interposed.h"
#include "hooks/lifecycle.h"
#include "session/query_call.h"

static bool is_unnamed(const char *name)
{
	return name == NULL || *name == '\0';
}

/* Why PQerrorMessage says that `function` failed before the connection is up; NULL: nothing. */
static const char *unready_reason(const char *function)
{
	static const char silent[][20] = {"PQisBusy",   "PQconsumeInput",
	                                  "PQflush",    "PQgetResult",
	                                  "PQnotifies", "PQsetClientEncoding"};

	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		if (strcmp(function, silent[i]) == 0) {
			return NULL;
		}
	}
	if (strstr(function, "Copy") != NULL) {
		return "no COPY in progress\n";
	}
	if (strstr(function, "Sync") != NULL) {
		return "cannot send pipeline when not in pipeline mode\n";
	}
	return "no connection to the server\n";
}

/* What is rarely to be done before a call, which may then not go on. */
static COLD void prepare(const struct query_call *work, PGconn *conn, const void *caller,
                         const char *function)
{
	struct guard guard;

	if (!lifecycle_enter(&guard)) {
		return;
	}
	if (work->stale) {
		conn_use_is_misuse(conn, function, caller);
	} else if (!work->unready) {
		conn_use_effects(conn, work->effects);
	} else if (unready_reason(function) != NULL) {
		async_fail(conn, unready_reason(function));
	}
	lifecycle_leave(&guard);
}

/*
 * True: the call goes on, with work->libpq, and end() follows. `whole`: libpq also makes
 * functions of it that are not interposed, as lo_creat(3).
 */
static inline bool begin(struct query_call *work, PGconn *conn, const char *text, bool whole,
                         const void *caller, const char *function)
{
	bool go_on;

	if (whole ? query_call_is_whole_within(work, conn, caller)
	          : query_call_is_within(work, conn, caller)) {
		query_call_note_within(conn, text);
		return true;
	}
	go_on = query_call_begin(work, conn, text, caller);
	if (work->stale || work->unready || work->effects != 0) {
		prepare(work, conn, caller, function);
	}
	return go_on;
}

/* The same for what parses `text` as the prepared statement `name`. */
static bool begin_parsing(struct query_call *work, PGconn *conn, const char *name,
                          const char *text, const void *caller, const char *function)
{
	if (!begin(work, conn, text, false, caller, function)) {
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

/* The same for what uses a statement that was prepared before. */
static bool begin_prepared(struct query_call *work, PGconn *conn, const char *name,
                           const void *caller, const char *function)
{
	if (!begin(work, conn, NULL, false, caller, function)) {
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

/* The same for what sends no statement, but waits for the server. */
static bool begin_waiting(struct query_call *work, PGconn *conn, bool whole, const void *caller,
                          const char *function)
{
	if (!begin(work, conn, NULL, whole, caller, function)) {
		return false;
	}
	if (work->entered) {
		query_call_note_waiting(work);
	}
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

#define BEGIN(text)               begin(&work, conn, text, false, CALLER, __func__)
#define BEGIN_WHOLE(text)         begin(&work, conn, text, true, CALLER, __func__)
#define BEGIN_WAITING(whole)      begin_waiting(&work, conn, whole, CALLER, __func__)
#define BEGIN_PARSING(name, text) begin_parsing(&work, conn, name, text, CALLER, __func__)
#define BEGIN_PREPARED(name)      begin_prepared(&work, conn, name, CALLER, __func__)

/*
 * The body of a function that begins a call, passes it to libpq's `name`, and ends it; it
 * returns `failed` if the call must not go on.
 */
#define PASS(type, failed, begun, name, args)                                                  \
	struct query_call work;                                                                \
	type result;                                                                           \
                                                                                               \
	if (!(begun)) {                                                                        \
		return failed;                                                                 \
	}                                                                                      \
	result = work.libpq->name args;                                                        \
	end(&work);                                                                            \
	return result

/* The same for a function that older libpqs lack. */
#define PASS_OPTIONAL(type, failed, begun, name, args)                                         \
	struct query_call work;                                                                \
	type result = failed;                                                                  \
                                                                                               \
	if (begun) {                                                                           \
		if (work.libpq->name != NULL) {                                                \
			result = work.libpq->name args;                                        \
		}                                                                              \
		end(&work);                                                                    \
	}                                                                                      \
	return result

/* The same for one that waits for a result, which older libpqs may lack. */
#define PASS_RESULT(begun, name, args)                                                         \
	struct query_call work;                                                                \
	PGresult *result = NULL;                                                               \
                                                                                               \
	if (begun) {                                                                           \
		if (work.libpq->name != NULL) {                                                \
			result = work.libpq->name args;                                        \
			query_call_note_result(&work, result);                                 \
		}                                                                              \
		end(&work);                                                                    \
	}                                                                                      \
	return result

/* ---- sending, and waiting for the result ---------------------------------------------- */

ENTRY PGresult *PQexec(PGconn *conn, const char *query)
{
	PASS_RESULT(BEGIN_WHOLE(query), PQexec, (conn, query));
}

ENTRY PGresult *PQexecParams(PGconn *conn, const char *command, int nParams,
                             const Oid *paramTypes, const char *const *paramValues,
                             const int *paramLengths, const int *paramFormats, int resultFormat)
{
	PASS_RESULT(BEGIN_PARSING(NULL, command), PQexecParams,
	            (conn, command, nParams, paramTypes, paramValues, paramLengths,
	             paramFormats, resultFormat));
}

/* What it will do counts from now on: it may be executed by its name any time. */
ENTRY PGresult *PQprepare(PGconn *conn, const char *stmtName, const char *query, int nParams,
                          const Oid *paramTypes)
{
	PASS_RESULT(BEGIN_PARSING(stmtName, query), PQprepare,
	            (conn, stmtName, query, nParams, paramTypes));
}

ENTRY PGresult *PQexecPrepared(PGconn *conn, const char *stmtName, int nParams,
                               const char *const *paramValues, const int *paramLengths,
                               const int *paramFormats, int resultFormat)
{
	PASS_RESULT(BEGIN_PREPARED(stmtName), PQexecPrepared,
	            (conn, stmtName, nParams, paramValues, paramLengths, paramFormats,
	             resultFormat));
}

ENTRY PGresult *PQdescribePrepared(PGconn *conn, const char *stmt)
{
	PASS_RESULT(BEGIN_PREPARED(stmt), PQdescribePrepared, (conn, stmt));
}

ENTRY PGresult *PQdescribePortal(PGconn *conn, const char *portal)
{
	PASS_RESULT(BEGIN_WAITING(false), PQdescribePortal, (conn, portal));
}

ENTRY PGresult *PQfn(PGconn *conn, int fnid, int *result_buf, int *result_len,
                     int result_is_int, const PQArgBlock *args, int nargs)
{
	struct query_call work;
	PGresult *result = NULL;

	if (BEGIN_WAITING(true)) {
		if (work.entered) {
			query_call_note_doubted(&work);
		}
		result = work.libpq->PQfn(conn, fnid, result_buf, result_len, result_is_int,
		                          args, nargs);
		query_call_note_result(&work, result);
		end(&work);
	}
	return result;
}

/* libpq makes the statement, and may send it past the hooks. */
ENTRY int PQsetClientEncoding(PGconn *conn, const char *encoding)
{
	PASS(int, -1, BEGIN("SET client_encoding"), PQsetClientEncoding, (conn, encoding));
}

/* ---- sending without waiting for the result ---------------------------------------------- */

ENTRY int PQsendQuery(PGconn *conn, const char *query)
{
	PASS(int, 0, BEGIN(query), PQsendQuery, (conn, query));
}

ENTRY int PQsendQueryParams(PGconn *conn, const char *command, int nParams,
                            const Oid *paramTypes, const char *const *paramValues,
                            const int *paramLengths, const int *paramFormats, int resultFormat)
{
	PASS(int, 0, BEGIN_PARSING(NULL, command), PQsendQueryParams,
	     (conn, command, nParams, paramTypes, paramValues, paramLengths, paramFormats,
	      resultFormat));
}

/* As PQprepare. */
ENTRY int PQsendPrepare(PGconn *conn, const char *stmtName, const char *query, int nParams,
                        const Oid *paramTypes)
{
	PASS(int, 0, BEGIN_PARSING(stmtName, query), PQsendPrepare,
	     (conn, stmtName, query, nParams, paramTypes));
}

ENTRY int PQsendQueryPrepared(PGconn *conn, const char *stmtName, int nParams,
                              const char *const *paramValues, const int *paramLengths,
                              const int *paramFormats, int resultFormat)
{
	PASS(int, 0, BEGIN_PREPARED(stmtName), PQsendQueryPrepared,
	     (conn, stmtName, nParams, paramValues, paramLengths, paramFormats, resultFormat));
}

ENTRY int PQsendDescribePrepared(PGconn *conn, const char *stmt)
{
	PASS(int, 0, BEGIN_PREPARED(stmt), PQsendDescribePrepared, (conn, stmt));
}

ENTRY int PQsendDescribePortal(PGconn *conn, const char *portal)
{
	PASS(int, 0, BEGIN(NULL), PQsendDescribePortal, (conn, portal));
}

/* Older libpqs lack it. Within a pipeline we could not send the statement that forgets. */
ENTRY int PQenterPipelineMode(PGconn *conn)
{
	struct query_call work;
	int result = 0;

	if (async_set_pipeline(conn, true)) {
		result = 1;
	} else if (BEGIN(NULL)) {
		if (work.entered) {
			query_call_enter_pipeline(&work, conn);
		}
		if (work.libpq->PQenterPipelineMode != NULL) {
			result = work.libpq->PQenterPipelineMode(conn);
		}
		end(&work);
	}
	return result;
}

ENTRY int PQexitPipelineMode(PGconn *conn)
{
	struct query_call work;
	bool unsynced;
	int result = 0;

	if (async_set_pipeline(conn, false)) {
		result = 1;
	} else if (BEGIN(NULL)) {
		unsynced = work.entered && query_call_is_unsynced(&work, conn);
		if (work.libpq->PQexitPipelineMode != NULL) {
			result = work.libpq->PQexitPipelineMode(conn);
		}
		if (unsynced && result == 1) {
			query_call_note_unsynced_end(&work);
		}
		end(&work);
	}
	return result;
}

/* The body of a function that sends a Sync. */
#define PASS_SYNC(name)                                                                        \
	struct query_call work;                                                                \
	int result = 0;                                                                        \
                                                                                               \
	if (BEGIN(NULL)) {                                                                     \
		if (work.libpq->name != NULL) {                                                \
			result = work.libpq->name(conn);                                       \
		}                                                                              \
		if (result == 1) {                                                             \
			query_call_note_sync(&work);                                           \
		}                                                                              \
		end(&work);                                                                    \
	}                                                                                      \
	return result

ENTRY int PQpipelineSync(PGconn *conn)
{
	PASS_SYNC(PQpipelineSync);
}

ENTRY int PQsendFlushRequest(PGconn *conn)
{
	PASS_OPTIONAL(int, 0, BEGIN(NULL), PQsendFlushRequest, (conn));
}

ENTRY int PQflush(PGconn *conn)
{
	PASS(int, work.unready ? 0 : -1, BEGIN(NULL), PQflush, (conn));
}

/* ---- from libpq 17 on --------------------------------------------- */

ENTRY PGresult *PQclosePrepared(PGconn *conn, const char *stmt)
{
	PASS_RESULT(BEGIN_WAITING(false), PQclosePrepared, (conn, stmt));
}

ENTRY PGresult *PQclosePortal(PGconn *conn, const char *portal)
{
	PASS_RESULT(BEGIN_WAITING(false), PQclosePortal, (conn, portal));
}

ENTRY int PQsendClosePrepared(PGconn *conn, const char *stmt)
{
	PASS_OPTIONAL(int, 0, BEGIN(NULL), PQsendClosePrepared, (conn, stmt));
}

ENTRY int PQsendClosePortal(PGconn *conn, const char *portal)
{
	PASS_OPTIONAL(int, 0, BEGIN(NULL), PQsendClosePortal, (conn, portal));
}

ENTRY int PQsendPipelineSync(PGconn *conn)
{
	PASS_SYNC(PQsendPipelineSync);
}

/* libpq makes the statement, of which only the kind matters here. */
ENTRY PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd)
{
	PASS_RESULT(BEGIN("ALTER USER u PASSWORD p"), PQchangePassword, (conn, user, passwd));
}

/* ---- COPY -------------------------------------------------------------------------------- */

ENTRY int PQputCopyData(PGconn *conn, const char *buffer, int nbytes)
{
	PASS(int, -1, BEGIN(NULL), PQputCopyData, (conn, buffer, nbytes));
}

ENTRY int PQputCopyEnd(PGconn *conn, const char *errormsg)
{
	PASS(int, -1, BEGIN(NULL), PQputCopyEnd, (conn, errormsg));
}

ENTRY int PQgetCopyData(PGconn *conn, char **buffer, int async)
{
	PASS(int, -2, BEGIN(NULL), PQgetCopyData, (conn, buffer, async));
}

/* ---- results --------------------------------------------------------------------- */

ENTRY int PQconsumeInput(PGconn *conn)
{
	PASS(int, work.unready ? 1 : 0, BEGIN(NULL), PQconsumeInput, (conn));
}

ENTRY int PQisBusy(PGconn *conn)
{
	PASS(int, 0, BEGIN(NULL), PQisBusy, (conn));
}

ENTRY PGresult *PQgetResult(PGconn *conn)
{
	struct query_call work;
	PGresult *result = NULL;

	if (BEGIN(NULL)) {
		result = work.libpq->PQgetResult(conn);
		if (result != NULL) {
			query_call_note_result(&work, result);
		}
		end(&work);
		if (query_call_is_connecting(&work) && result != NULL) {
			async_got(conn, result);
		}
	}
	return result;
}

ENTRY PGnotify *PQnotifies(PGconn *conn)
{
	PASS(PGnotify *, NULL, BEGIN(NULL), PQnotifies, (conn));
}

/* ---- callbacks, which the next lease must not inherit --------------------- */

/* While a connect of ours is in progress our receiver stays in between. */
ENTRY PQnoticeReceiver PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver proc, void *arg)
{
	struct query_call work;
	PQnoticeReceiver result = NULL;

	if (!async_receiver(conn, proc, arg, &result) && BEGIN(NULL)) {
		result = work.libpq->PQsetNoticeReceiver(conn, proc, arg);
		end(&work);
	}
	return result;
}

ENTRY PQnoticeProcessor PQsetNoticeProcessor(PGconn *conn, PQnoticeProcessor proc, void *arg)
{
	struct query_call work;
	PQnoticeProcessor result = NULL;

	if (!async_processor(conn, proc, arg, &result) && BEGIN(NULL)) {
		result = work.libpq->PQsetNoticeProcessor(conn, proc, arg);
		end(&work);
	}
	return result;
}
