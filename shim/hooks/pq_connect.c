/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed PQ* functions about connections: connect, finish, reset, and what PQstatus,
 * PQsocket and PQerrorMessage say. Statements are in pq_query.c, cancelling in pq_cancel.c.
 *
 * Each has libpq's signature and contract (libpq-fe.h, and PostgreSQL's documentation); what
 * differs is said at the function. None holds a policy: it finds the libpq that the caller is
 * linked to, enters the guard, and calls the floors below.
 *
 * A call from within a libpq passes through: libpq calls its own exported functions through the
 * dynamic linker, PQconnectdb its PQconnectStart, PQping its PQfinish. So does every call in a
 * process that is not ours. If no libpq is found the functions fail as libpq does without
 * memory.
 */
#include "hooks/interposed.h"

#include "acquire/acquire.h"
#include "acquire/async/async_answers.h"
#include "acquire/async/async_connect.h"
#include "acquire/conn_use.h"
#include "acquire/lend/lending.h"
#include "acquire/release.h"
#include "base/libpq/caller.h"
#include "hooks/exit.h"
#include "hooks/lifecycle.h"
#include "key/conninfo.h"
#include "session/opened/connect_notices.h"
#include "session/socket/kept_number.h"
#include "share/start_tape.h"

/* ---- connecting ------------------------------------------------------------------ */

/* How libpq makes a connection, and how the pool does. */
typedef PGconn *plain_connect(const struct libpq *libpq, const struct connect_call *call);
typedef PGconn *pooled_connect(const struct libpq *libpq, const struct connect_call *call,
                               const void *caller);

/* If libpq itself failed the connect, the program gets its errno. */
static void pass_errno(struct guard *guard, const struct libpq *libpq, const PGconn *conn)
{
	if (libpq->PQstatus(conn) == CONNECTION_BAD && conn_use_refusal(conn) == NULL) {
		lifecycle_pass_errno(guard);
	}
}

static PGconn *answer(const struct connect_call *call, const void *caller,
                      plain_connect *plainly, pooled_connect *from_pool)
{
	struct libpq_caller from = libpq_of_caller(caller);
	struct guard guard;
	PGconn *conn;

	if (from.libpq == NULL) {
		return NULL;
	}
	if (!from.inside) {
		start_tape_put_away();
		kept_number_put_away();
	}
	if (from.inside || !lifecycle_enter(&guard)) {
		conn = plainly(from.libpq, call);
		notices_begun(from.libpq, call->conninfo, conn);
		return conn;
	}
	conn = from_pool(from.libpq, call, caller);
	pass_errno(&guard, from.libpq, conn);
	exit_note_connect(from.libpq, conn);
	lifecycle_leave(&guard);
	return conn;
}

static PGconn *answer_connect(const struct connect_call *call, const void *caller)
{
	return answer(call, caller, conninfo_connect, acquire_connection);
}

static PGconn *answer_start(const struct connect_call *call, const void *caller)
{
	return answer(call, caller, conninfo_start, async_start);
}

/* From the pool: the session may be older than the call. */
ENTRY PGconn *PQconnectdb(const char *conninfo)
{
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = conninfo};

	return answer_connect(&call, CALLER);
}

/* As PQconnectdb. */
ENTRY PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values,
                                int expand_dbname)
{
	struct connect_call call = {.function = CONNECT_PARAMS,
	                            .keywords = keywords,
	                            .values = values,
	                            .expand_dbname = expand_dbname};

	return answer_connect(&call, CALLER);
}

/* As PQconnectdb. */
ENTRY PGconn *PQsetdbLogin(const char *pghost, const char *pgport, const char *pgoptions,
                           const char *pgtty, const char *dbName, const char *login,
                           const char *pwd)
{
	struct connect_call call = {.function = CONNECT_LOGIN,
	                            .login = {[LOGIN_HOST] = pghost,
	                                      [LOGIN_PORT] = pgport,
	                                      [LOGIN_OPTIONS] = pgoptions,
	                                      [LOGIN_TTY] = pgtty,
	                                      [LOGIN_DBNAME] = dbName,
	                                      [LOGIN_USER] = login,
	                                      [LOGIN_PASSWORD] = pwd}};

	return answer_connect(&call, CALLER);
}

/* From the pool, without waiting; the status is not CONNECTION_OK before it is leased. */
ENTRY PGconn *PQconnectStart(const char *conninfo)
{
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = conninfo};

	return answer_start(&call, CALLER);
}

/* As PQconnectStart. */
ENTRY PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values,
                                   int expand_dbname)
{
	struct connect_call call = {.function = CONNECT_PARAMS,
	                            .keywords = keywords,
	                            .values = values,
	                            .expand_dbname = expand_dbname};

	return answer_start(&call, CALLER);
}

/* libpq's own step. */
static PostgresPollingStatusType poll_within(const struct libpq *libpq, PGconn *conn)
{
	PostgresPollingStatusType wants;

	notices_pass(conn);
	wants = libpq->PQconnectPoll(conn);
	notices_passed(conn, wants);
	return wants;
}

/* A step of such a connect. PQsocket may be another descriptor after each. */
ENTRY PostgresPollingStatusType PQconnectPoll(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	PostgresPollingStatusType wants;
	struct guard guard;

	if (from.libpq == NULL) {
		return PGRES_POLLING_FAILED;
	}
	if (from.inside) {
		return poll_within(from.libpq, conn);
	}
	start_tape_put_away();
	kept_number_put_away();
	if (!lifecycle_enter(&guard)) {
		/* If we cannot take our step, libpq must not take one. */
		return lifecycle_is_barred() ? PGRES_POLLING_FAILED
		                             : from.libpq->PQconnectPoll(conn);
	}
	wants = async_poll(from.libpq, conn, CALLER);
	if (wants == PGRES_POLLING_OK) {
		exit_note_connect(from.libpq, conn);
	} else if (wants == PGRES_POLLING_FAILED) {
		pass_errno(&guard, from.libpq, conn);
	}
	lifecycle_leave(&guard);
	return wants;
}

/* ---- finishing ------------------------------------------------------------------- */

/* Gives the session back; it is really finished only if the pool does not want it. */
ENTRY void PQfinish(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	struct guard guard;

	if (conn == NULL) {
		return;
	}
	if (!from.inside && lifecycle_enter(&guard)) {
		release_connection(from.libpq, conn, CALLER);
		lifecycle_leave(&guard);
	} else if (!from.inside && lifecycle_is_barred() &&
	           release_postpone(from.libpq, conn, CALLER)) {
		return;
	} else if (from.libpq != NULL) {
		from.libpq->PQfinish(conn);
	}
}

/* ---- resetting ---------------------------------------- */

/* Reconnects for real; a connection that we refused asks for a session again. */
ENTRY void PQreset(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	struct guard guard;
	int started;

	if (from.libpq == NULL) {
		return;
	}
	start_tape_put_away();
	kept_number_put_away();
	if (!lifecycle_enter(&guard)) {
		from.libpq->PQreset(conn);
		return;
	}
	if (conn_use_is_misuse(conn, __func__, CALLER) ||
	    (async_retry(conn, CALLER, &started) && !started)) {
		lifecycle_leave(&guard);
		return;
	}
	if (async_reset(conn)) {
		exit_note_connect(from.libpq, conn);
	} else {
		conn_use_taint(conn, DROP_PROGRAM_RESET);
		lifecycle_leave(&guard);
		from.libpq->PQreset(conn);
		if (!lifecycle_enter(&guard)) {
			return;
		}
		conn_use_note_reset(conn);
	}
	lifecycle_leave(&guard);
}

/* As PQreset. */
ENTRY int PQresetStart(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	struct guard guard;
	int started = 0;

	if (from.libpq == NULL) {
		return 0;
	}
	start_tape_put_away();
	kept_number_put_away();
	if (!lifecycle_enter(&guard)) {
		return from.libpq->PQresetStart(conn);
	}
	if (!conn_use_is_misuse(conn, __func__, CALLER) &&
	    !async_retry(conn, CALLER, &started) && !async_reset_start(conn, &started)) {
		conn_use_taint(conn, DROP_PROGRAM_RESET);
		started = from.libpq->PQresetStart(conn);
		lifecycle_pass_errno(&guard);
	}
	lifecycle_leave(&guard);
	return started;
}

/* As PQreset. */
ENTRY PostgresPollingStatusType PQresetPoll(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	PostgresPollingStatusType wants = PGRES_POLLING_FAILED;
	struct guard guard;

	if (from.libpq == NULL) {
		return wants;
	}
	start_tape_put_away();
	kept_number_put_away();
	if (!lifecycle_enter(&guard)) {
		return lifecycle_is_barred() ? wants : from.libpq->PQresetPoll(conn);
	}
	if (async_in_progress(conn) != NULL) {
		wants = async_poll(from.libpq, conn, CALLER);
	} else if (!conn_use_is_misuse(conn, __func__, CALLER) &&
	           conn_use_refusal(conn) == NULL) {
		wants = from.libpq->PQresetPoll(conn);
		lifecycle_pass_errno(&guard);
		if (wants == PGRES_POLLING_OK || wants == PGRES_POLLING_FAILED) {
			conn_use_note_reset(conn);
		}
	}
	if (wants == PGRES_POLLING_OK) {
		exit_note_connect(from.libpq, conn);
	}
	lifecycle_leave(&guard);
	return wants;
}

/* ---- state --------------------------------------------- */

/* For a connection that was refused: why. */
ENTRY char *PQerrorMessage(const PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	const char *ours = NULL;

	if (!from.inside) {
		ours = conn_use_refusal(conn);
		ours = ours != NULL ? ours : async_error(conn);
	}
	if (ours == NULL && from.libpq != NULL) {
		return from.libpq->PQerrorMessage(conn);
	}
	return (char *)(ours != NULL ? ours : "");
}

/* Not CONNECTION_OK while a connect of ours is in progress. */
ENTRY ConnStatusType PQstatus(const PGconn *conn)
{
	const struct libpq *own = lending_libpq(conn);
	ConnStatusType status = CONNECTION_BAD;
	struct libpq_caller from;

	if (own != NULL) {
		return own->PQstatus(conn);
	}
	from = libpq_of_caller(CALLER);
	if (from.libpq != NULL && (from.inside || !async_status(conn, &status))) {
		status = from.libpq->PQstatus(conn);
	}
	return status;
}

/* None for a connection that was refused. */
ENTRY int PQsocket(const PGconn *conn)
{
	const struct libpq *own = lending_show_socket(conn);
	struct libpq_caller from;
	int fd = -1;

	if (own != NULL) {
		return own->PQsocket(conn);
	}
	from = libpq_of_caller(CALLER);
	if (from.libpq != NULL && (from.inside || !async_socket(conn, &fd))) {
		fd = from.libpq->PQsocket(conn);
	}
	return fd;
}

/* Without the connect_timeout that we added. */
ENTRY PQconninfoOption *PQconninfo(PGconn *conn)
{
	struct libpq_caller from = libpq_of_caller(CALLER);
	PQconninfoOption *options = NULL;

	if (from.libpq != NULL) {
		options = from.libpq->PQconninfo(conn);
		if (!from.inside) {
			conninfo_hide(from.libpq, options);
		}
	}
	return options;
}

/* ---- what cannot be undone --------------------------------------------------------- */

/* Before the call, for a connect in progress may have to be begun again. */
static void taint(PGconn *conn, enum drop_reason why)
{
	struct guard guard;

	if (lifecycle_enter(&guard)) {
		conn_use_taint(conn, why);
		lifecycle_leave(&guard);
	}
}

/* The session will not be lent again: there is no call that deregisters. */
ENTRY int PQregisterEventProc(PGconn *conn, PGEventProc proc, const char *name,
                              void *passThrough)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	if (from.libpq == NULL || conn_use_is_misuse(conn, __func__, CALLER)) {
		return 0;
	}
	taint(conn, DROP_EVENT_PROC);
	return from.libpq->PQregisterEventProc(conn, proc, name, passThrough);
}

/* The session will not be lent again: our own traffic must not be in the trace. */
ENTRY void PQtrace(PGconn *conn, FILE *debug_port)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	if (from.libpq != NULL && !conn_use_is_misuse(conn, __func__, CALLER)) {
		taint(conn, DROP_TRACED);
		from.libpq->PQtrace(conn, debug_port);
	}
}

/*
 * The body of a function that returns a handle of the session's, or none before the connect is
 * over. The session will not be lent again, as the program may change what the handle is of.
 */
#define TAKE_HANDLE(name, args)                                                                \
	struct libpq_caller from = libpq_of_caller(CALLER);                                    \
	void *handle = NULL;                                                                   \
                                                                                               \
	if (from.libpq != NULL && from.libpq->name != NULL &&                                  \
	    (from.inside || !async_hides(conn))) {                                             \
		handle = from.libpq->name args;                                                \
	}                                                                                      \
	if (handle != NULL && !from.inside) {                                                  \
		conn_use_taint(conn, DROP_HANDLE_TAKEN);                                       \
	}                                                                                      \
	return handle

ENTRY void *PQgetssl(PGconn *conn)
{
	TAKE_HANDLE(PQgetssl, (conn));
}

ENTRY void *PQsslStruct(PGconn *conn, const char *struct_name)
{
	TAKE_HANDLE(PQsslStruct, (conn, struct_name));
}

ENTRY void *PQgetgssctx(PGconn *conn)
{
	TAKE_HANDLE(PQgetgssctx, (conn));
}

/* With a hook other than libpq's own this libpq's connects are not pooled any more. */
ENTRY void PQsetSSLKeyPassHook_OpenSSL(PQsslKeyPassHook_OpenSSL_type hook)
{
	struct libpq_caller from = libpq_of_caller(CALLER);

	if (from.libpq == NULL || from.libpq->PQsetSSLKeyPassHook_OpenSSL == NULL) {
		return;
	}
	if (hook != NULL && hook != from.libpq->PQdefaultSSLKeyPassHook_OpenSSL) {
		libpq_note_key_hook(from.libpq);
	}
	from.libpq->PQsetSSLKeyPassHook_OpenSSL(hook);
}
