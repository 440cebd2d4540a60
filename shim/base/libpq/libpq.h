/* SPDX-License-Identifier: PostgreSQL */
/*
 * The real libpqs: a table of functions for each one in the process.
 *
 * The shim is not linked with libpq, so that a program which never uses it does not get it
 * mapped. The real functions are looked up when they are first needed. A process can hold
 * several libpqs (an interpreter's extension may bring its own): a session belongs to the one
 * that made it and is only ever used through that one. Which one a call means: caller.h.
 *
 * Locks: the dynamic linker's own, for a libpq that is new.
 */
#ifndef PQPOOL_BASE_LIBPQ_LIBPQ_H
#define PQPOOL_BASE_LIBPQ_LIBPQ_H

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libpq-events.h>
#include <libpq-fe.h>

/* What libpq 14 has, for headers that are older. */
#ifndef LIBPQ_HAS_PIPELINING
typedef enum { PQ_PIPELINE_OFF, PQ_PIPELINE_ON, PQ_PIPELINE_ABORTED } PGpipelineStatus;
PGpipelineStatus PQpipelineStatus(const PGconn *conn);
int PQenterPipelineMode(PGconn *conn);
int PQexitPipelineMode(PGconn *conn);
int PQpipelineSync(PGconn *conn);
int PQsendFlushRequest(PGconn *conn);
#define PGRES_PIPELINE_SYNC ((ExecStatusType)(PGRES_SINGLE_TUPLE + 1))
#endif

/* What libpq 17 has. */
#ifndef LIBPQ_HAS_CLOSE_PREPARED
PGresult *PQclosePrepared(PGconn *conn, const char *stmt);
PGresult *PQclosePortal(PGconn *conn, const char *portal);
int PQsendClosePrepared(PGconn *conn, const char *stmt);
int PQsendClosePortal(PGconn *conn, const char *portal);
#endif
#ifndef LIBPQ_HAS_CHUNK_MODE
int PQsetChunkedRowsMode(PGconn *conn, int chunkSize);
#endif
#ifndef LIBPQ_HAS_SEND_PIPELINE_SYNC
int PQsendPipelineSync(PGconn *conn);
#endif
#ifndef LIBPQ_HAS_CHANGE_PASSWORD
PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd);
#endif
#ifndef LIBPQ_HAS_ASYNC_CANCEL
typedef struct pg_cancel_conn PGcancelConn;
PGcancelConn *PQcancelCreate(PGconn *conn);
int PQcancelStart(PGcancelConn *cancelConn);
int PQcancelBlocking(PGcancelConn *cancelConn);
PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancelConn);
ConnStatusType PQcancelStatus(const PGcancelConn *cancelConn);
int PQcancelSocket(const PGcancelConn *cancelConn);
char *PQcancelErrorMessage(const PGcancelConn *cancelConn);
void PQcancelReset(PGcancelConn *cancelConn);
void PQcancelFinish(PGcancelConn *cancelConn);
#endif

/* PQclientEncoding's number for it: part of the protocol of servers and clients, and fixed. */
#define LIBPQ_UTF8 6

/*
 * One real libpq: its functions by their own names. Immortal once found, and the
 * library stays loaded: we hold a reference.
 */
struct libpq {
#define HOOK(name)          __typeof__(name) *name;
#define CALL(name)          __typeof__(name) *name;
#define HOOK_OPTIONAL(name) __typeof__(name) *name;
#define CALL_OPTIONAL(name) __typeof__(name) *name;
#include "base/libpq/functions.def"
#undef HOOK
#undef CALL
#undef HOOK_OPTIONAL
#undef CALL_OPTIONAL
	/* What a fresh connection of this libpq has. */
	PQnoticeReceiver default_receiver;
	PQnoticeProcessor default_processor;

	/* Where the OpenSSL behind it looks for roots; NULL: it does not tell. */
	const char *(*default_cert_file)(void);
	const char *(*default_cert_dir)(void);

	uintptr_t base; /* the load address of its object, which names it */
	uintptr_t end;  /* where that object ends; 0 = not known */
	bool can_pipeline;
	atomic_bool key_hook; /* the program has set one of its own, now or before */
	atomic_bool symbolic; /* it was seen to call its own functions past us */
	struct libpq *next;
};

/* The libpq that lives in this object; NULL: there is none, or no memory. */
const struct libpq *libpq_at(const struct link_map *map);

/* The one found last, a guess for a call that could mean any; NULL: none has been found. */
const struct libpq *libpq_newest(void);

/* The libpq whose own code `address` lies in, if it was found before; else NULL. No lock. */
const struct libpq *libpq_containing(const void *address);

/* The program has set a hook of its own that answers for the key's password. */
void libpq_note_key_hook(const struct libpq *libpq);

/* Was it linked with -Bsymbolic, and calls its own functions past us? As far as noted. */
bool libpq_calls_itself(const struct libpq *libpq);
void libpq_note_calls_itself(const struct libpq *libpq);

#endif
