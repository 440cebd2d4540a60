/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the program sees and sets of a connection while its asynchronous connect is in progress.
 *
 * Each function is false, and does nothing, if none is in progress and libpq's own answer is
 * right.
 *
 * Locks: none is held by a caller of anything here.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_ANSWERS_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_ANSWERS_H

#include <stdbool.h>

#include "base/libpq/libpq.h"
#include "session/session.h"

/* One of ours on no lease: being connected, refused, or finished by the program before. */
struct session *async_unleased(const PGconn *conn);

/* Its connect is in progress; NULL: it is not. */
struct async_connect *async_in_progress(const PGconn *conn);

/* PQstatus and PQsocket, for refused connections, too. */
bool async_status(const PGconn *conn, ConnStatusType *status);
bool async_socket(const PGconn *conn, int *fd);

/* True while libpq must not be asked (session->unready): answer as it does for a connect. */
bool async_hides(const PGconn *conn);

/* A function failed for that: PQerrorMessage says `why`, a constant, up to the next step. */
void async_fail(const PGconn *conn, const char *why);
/* What it says for that; NULL: what libpq says. */
const char *async_error(const PGconn *conn);

/*
 * PQenterPipelineMode, PQexitPipelineMode and PQpipelineStatus: libpq allows pipeline mode, but
 * then no connect succeeds; ours continues without.
 */
bool async_set_pipeline(const PGconn *conn, bool on);
bool async_pipeline(const PGconn *conn, bool *on);

/* PQsetNoticeReceiver, where `*before` is never a receiver of ours; PQsetNoticeProcessor. */
bool async_receiver(PGconn *conn, PQnoticeReceiver receiver, void *arg,
                    PQnoticeReceiver *before);
bool async_processor(PGconn *conn, PQnoticeProcessor processor, void *arg,
                     PQnoticeProcessor *before);

/* A libpq got `result` from its own PQgetResult, which may tell why a connect fails. */
void async_got(const PGconn *conn, const PGresult *result);

#endif
