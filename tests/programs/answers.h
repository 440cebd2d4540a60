/* SPDX-License-Identifier: PostgreSQL */
/*
 * What each of libpq's functions that take a connection answers now: a line each.
 *
 * Left out is what would send something, or change the connection for good (PQfn sends before
 * it looks, PQrequestCancel goes to the server by another way), and what is made of the
 * others (PQputline, lo_*, of which one stands for all).
 */
#ifndef PROGRAMS_ANSWERS_H
#define PROGRAMS_ANSWERS_H

#include <dlfcn.h>
#include <libpq-fe.h>
#include <libpq/libpq-fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void tell_number(const char *function, long long answer)
{
	printf("%s %lld\n", function, answer);
}

static inline void tell_text(const char *function, const char *answer)
{
	printf("%s %s\n", function, answer != NULL ? answer : "(null)");
}

/* The last line of the error message: libpq lets several of them come together. */
static inline const char *last_error(PGconn *conn)
{
	const char *message = PQerrorMessage(conn);
	const char *last = message;

	for (const char *at = message; *at != '\0'; at++) {
		last = *at == '\n' && at[1] != '\0' ? at + 1 : last;
	}
	/* Before the first failure it is the beginning of one. */
	return strstr(last, "failed: ") != NULL ? strstr(last, "failed: ") + 8 : last;
}

/* What fails says why. */
static inline void tell_failure(PGconn *conn, const char *function, long long answer)
{
	printf("%s %lld %s", function, answer, last_error(conn));
}

static inline void tell_result_of(PGconn *conn, const char *function, PGresult *result)
{
	printf("%s %s %s", function, result != NULL ? "a result" : "(null)", last_error(conn));
	PQclear(result);
}

/* What it says of itself. */
static inline void tell_itself(PGconn *conn)
{
	tell_number("PQtransactionStatus", PQtransactionStatus(conn));
	tell_number("PQserverVersion", PQserverVersion(conn));
	tell_number("PQprotocolVersion", PQprotocolVersion(conn));
	tell_number("PQbackendPID", PQbackendPID(conn) != 0);
	tell_text("PQparameterStatus", PQparameterStatus(conn, "server_version"));
	tell_number("PQclientEncoding", PQclientEncoding(conn));
	tell_number("PQconnectionUsedPassword", PQconnectionUsedPassword(conn));
	tell_number("PQconnectionNeedsPassword", PQconnectionNeedsPassword(conn));
	tell_number("PQsslInUse", PQsslInUse(conn));
	tell_text("PQsslAttribute", PQsslAttribute(conn, "protocol"));
	tell_number("PQsslStruct", PQsslStruct(conn, "OpenSSL") != NULL);
	tell_number("PQgetssl", PQgetssl(conn) != NULL);
	tell_number("PQgssEncInUse", PQgssEncInUse(conn));
	tell_number("PQgetgssctx", PQgetgssctx(conn) != NULL);
	tell_number("PQpipelineStatus", PQpipelineStatus(conn));
	tell_number("PQisnonblocking", PQisnonblocking(conn));
	tell_text("PQhost", PQhost(conn));
	tell_text("PQhostaddr", PQhostaddr(conn));
	tell_text("PQport", PQport(conn));
	tell_text("PQdb", PQdb(conn));
	tell_text("PQuser", PQuser(conn));
	tell_text("PQoptions", PQoptions(conn));
}

/* What came of work that was never sent. */
static inline void tell_outcome(PGconn *conn)
{
	char *copied = NULL;
	char line[16];

	tell_number("PQisBusy", PQisBusy(conn));
	tell_number("PQconsumeInput", PQconsumeInput(conn));
	tell_number("PQflush", PQflush(conn));
	tell_number("PQgetResult", PQgetResult(conn) != NULL);
	tell_number("PQnotifies", PQnotifies(conn) != NULL);
	tell_number("PQsetSingleRowMode", PQsetSingleRowMode(conn));
	tell_failure(conn, "PQputCopyData", PQputCopyData(conn, "x", 1));
	tell_failure(conn, "PQputCopyEnd", PQputCopyEnd(conn, NULL));
	tell_failure(conn, "PQgetCopyData", PQgetCopyData(conn, &copied, 1));
	tell_number("PQgetlineAsync", PQgetlineAsync(conn, line, sizeof(line)));
	tell_number("PQendcopy", PQendcopy(conn));
}

/* What would send work. */
static inline void tell_work(PGconn *conn)
{
	static const char text[] = "SELECT 1";

	tell_result_of(conn, "PQexec", PQexec(conn, text));
	tell_result_of(conn, "PQexecParams",
	               PQexecParams(conn, text, 0, NULL, NULL, NULL, NULL, 0));
	tell_result_of(conn, "PQprepare", PQprepare(conn, "p", text, 0, NULL));
	tell_result_of(conn, "PQexecPrepared",
	               PQexecPrepared(conn, "p", 0, NULL, NULL, NULL, 0));
	tell_result_of(conn, "PQdescribePrepared", PQdescribePrepared(conn, "p"));
	tell_result_of(conn, "PQdescribePortal", PQdescribePortal(conn, "p"));
	tell_failure(conn, "PQsendQuery", PQsendQuery(conn, text));
	tell_failure(conn, "PQsendQueryParams",
	             PQsendQueryParams(conn, text, 0, NULL, NULL, NULL, NULL, 0));
	tell_failure(conn, "PQsendPrepare", PQsendPrepare(conn, "p", text, 0, NULL));
	tell_failure(conn, "PQsendQueryPrepared",
	             PQsendQueryPrepared(conn, "p", 0, NULL, NULL, NULL, 0));
	tell_failure(conn, "PQsendDescribePrepared", PQsendDescribePrepared(conn, "p"));
	tell_failure(conn, "PQsendDescribePortal", PQsendDescribePortal(conn, "p"));
	tell_failure(conn, "PQsendFlushRequest", PQsendFlushRequest(conn));
	tell_failure(conn, "PQpipelineSync", PQpipelineSync(conn));
	tell_failure(conn, "PQsetClientEncoding", PQsetClientEncoding(conn, "LATIN1"));
	tell_text("PQencryptPasswordConn", PQencryptPasswordConn(conn, "p", "u", NULL));
	tell_failure(conn, "lo_open", lo_open(conn, 1, INV_READ));
}

/* What is made of the connection, and taken back. */
static inline void tell_settings(PGconn *conn)
{
	PGcancel *cancel = PQgetCancel(conn);

	tell_number("PQgetCancel", cancel != NULL);
	PQfreeCancel(cancel);
	tell_number("PQsetnonblocking", PQsetnonblocking(conn, 1));
	tell_number("then PQisnonblocking", PQisnonblocking(conn));
	tell_number("PQsetnonblocking", PQsetnonblocking(conn, 0));
	tell_number("PQexitPipelineMode", PQexitPipelineMode(conn));
	tell_number("PQenterPipelineMode", PQenterPipelineMode(conn));
	tell_number("then PQpipelineStatus", PQpipelineStatus(conn));
	tell_number("PQexitPipelineMode", PQexitPipelineMode(conn));
	tell_number("then PQpipelineStatus", PQpipelineStatus(conn));
	tell_number("PQsetErrorVerbosity", PQsetErrorVerbosity(conn, PQERRORS_DEFAULT));
	tell_number("PQsetErrorContextVisibility",
	            PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ERRORS));
}

/* What newer libpqs have, where they have it. */
static inline void tell_newer(PGconn *conn)
{
	PGresult *(*close_prepared)(PGconn *, const char *);
	int (*number)(PGconn *);
	int (*chunked)(PGconn *, int);

	if (PQlibVersion() < 170000) {
		return;
	}
	*(void **)&close_prepared = dlsym(RTLD_DEFAULT, "PQclosePrepared");
	tell_result_of(conn, "PQclosePrepared", close_prepared(conn, "p"));
	*(void **)&number = dlsym(RTLD_DEFAULT, "PQsendPipelineSync");
	tell_failure(conn, "PQsendPipelineSync", number(conn));
	*(void **)&chunked = dlsym(RTLD_DEFAULT, "PQsetChunkedRowsMode");
	tell_number("PQsetChunkedRowsMode", chunked(conn, 10));
}

static inline void tell_answers(PGconn *conn)
{
	tell_itself(conn);
	tell_outcome(conn);
	tell_work(conn);
	tell_settings(conn);
	tell_newer(conn);
}

#endif
