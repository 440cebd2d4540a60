/* SPDX-License-Identifier: PostgreSQL */
/*
 * The real libpqs, by caller.
 *
 * The shim is not linked with libpq: a program that never uses it must not get it
 * mapped by us. The real functions are found on first use, and for each place that
 * calls us anew, because a process can hold several libpqs (an interpreter's
 * extension may bring its own). A session belongs to the libpq that made it and is
 * only ever touched through that one.
 *
 * Which libpq a caller means is what the dynamic linker would have bound it to
 * without us: the first definition in the global scope after ours, else the one
 * that the calling object's own dependencies hold (an extension loaded with
 * RTLD_LOCAL). An object goes on meaning what it meant first.
 *
 * A caller that has neither, such as generated code or a foreign function interface,
 * got its functions by dlsym. Nothing in its call says of which libpq, so there is one
 * for all such callers, the common one: that of the first such answer, or the only one
 * of the process. hooks/loader.c asks libpq_judge() before it answers.
 *
 * Locks: LOCK_LIBPQ, for a look-up only; the dynamic linker is never asked while it
 * is held, for its own lock is held by whoever runs constructors, and those may
 * connect. Fork: nothing to do but the lock.
 */
#ifndef PQPOOL_BASE_LIBPQ_LIBPQ_H
#define PQPOOL_BASE_LIBPQ_LIBPQ_H

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

	/* Where the OpenSSL behind it looks for roots; NULL: it does not say, or there is none.
	 */
	const char *(*default_cert_file)(void);
	const char *(*default_cert_dir)(void);

	uintptr_t base; /* the load address of its object, which names it */
	uintptr_t end;  /* where that object ends; 0 = not known */
	bool can_pipeline;
	atomic_bool key_hook; /* the program has set one of its own, now or before */
	atomic_bool symbolic; /* it was seen to call its own functions past us */
	struct libpq *next;
};

struct libpq_caller {
	const struct libpq *libpq; /* NULL: no libpq to be found */
	bool inside;               /* the caller is a libpq itself: pass through */
};

/*
 * Whose call returns to `return_address`. Some 100 ns when the place called before.
 * Never blocks but for the dynamic linker's own lock; errno is kept. Of the functions
 * here this one alone leaves no dlerror(3) behind.
 */
struct libpq_caller libpq_of_caller(const void *return_address);

/*
 * The libpq whose own code `address` lies in; NULL: none that has been called so far. A look
 * at a list of mostly one, without a lock.
 */
const struct libpq *libpq_containing(const void *address);

/* What a function is that a caller looked up itself. */
enum libpq_finding {
	LIBPQ_NOT,    /* it lies in no libpq */
	LIBPQ_AGREED, /* in one that the calls to come will be understood to mean */
	LIBPQ_OTHER,  /* in one that they would not: the caller needs `function` itself */
};

/*
 * Judges `function`, found by a look-up of `caller`'s, before the shim's own is given in
 * its place. Once agreed upon the library stays loaded.
 */
enum libpq_finding libpq_judge(const void *caller, const void *function);

/* The shim's own definition of `name`, whoever else defines it; NULL if there is none. */
void *libpq_own(const char *name);

/*
 * What `caller` would find as `name` by RTLD_DEFAULT if the shim did not define it. NULL
 * for `caller` asks only for the global scope.
 */
void *libpq_visible(const char *name, const void *caller);

/* True unless the global scope has a libpq, and not the one that dlopen(name) means. */
bool libpq_global_is(const char *name);

/* The program set a hook of its own that answers for the key's password. */
void libpq_note_key_hook(const struct libpq *libpq);

/* Was it linked with -Bsymbolic, so that it calls its own functions past us? As far as noted.
 */
bool libpq_calls_itself(const struct libpq *libpq);
void libpq_note_calls_itself(const struct libpq *libpq);

void libpq_fork_prepare(void);
void libpq_fork_parent(void);
void libpq_fork_child(void);

#endif
