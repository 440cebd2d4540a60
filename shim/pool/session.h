/* SPDX-License-Identifier: PostgreSQL */
/*
 * One session: a PGconn with its backend. Opening it, proving that it lives, making it
 * as new, closing it; everything through libpq's public functions and always through
 * the libpq that made it.
 *
 * A session belongs to one thread at a time: to the caller of its lease, or, between
 * leases, to whoever the pool gave its slot to. So there is no lock here, and every
 * function that talks to libpq asserts that none is held.
 *
 * Reset in flight: at release `DISCARD ALL`, behind `ROLLBACK` if a transaction is open,
 * is sent and not waited for (session_reset); the next acquire collects the answer
 * (session_check). DISCARD ALL cannot run inside a transaction block, so the two travel
 * in a pipeline, each with its own Sync; without pipelines (libpq before 14) a session
 * with an open transaction is dropped.
 *
 * While a session is ours it is non-blocking and has a silent receiver that counts
 * notices: libpq would hand a FATAL that comes in idle state to the notice processor,
 * by default the program's stderr.
 *
 * Before any I/O between leases the socket is compared by device and inode with what it
 * was: programs close descriptors they do not know, and the number is given out again.
 */
#ifndef PQPOOL_POOL_SESSION_H
#define PQPOOL_POOL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/config.h"
#include "base/libpq.h"
#include "pool/escaping.h"
#include "pool/pool.h"
#include "pool/reason.h"
#include "pool/standing.h"
#include "trace/lease.h"

struct lender;
struct cancel_scope;

/* What is on its way to the server while a session is idle. */
enum session_flight {
	FLIGHT_NONE,
	FLIGHT_STATEMENT, /* one simple query */
	FLIGHT_PIPELINE   /* ROLLBACK and DISCARD ALL with a Sync each */
};

struct session {
	struct lease lease;
	struct pool_slot slot;
	struct lender *lender; /* broker's; NULL = passed through, only tracked */

	const struct libpq *libpq;
	PGconn *conn; /* NULL once finished */
	uint64_t id;
	int backend_pid;
	pid_t owner; /* the process that connected */
	dev_t socket_dev;
	ino_t socket_ino;
	bool local; /* a Unix socket: the kernel itself tells of the peer's end */

	enum session_flight flight;
	enum drop_reason taint; /* must not be kept, found before the release */
	unsigned notices;       /* that came while it was ours */
	bool ended;             /* one of them said that the server ends the session */
	uint64_t proven_ns;

	struct standing standing;
	struct escaping opened;   /* how it escaped when it was opened; no print */
	struct escaping escaping; /* and when it was asked last */

	struct cancel_scope *cancels; /* cancel objects taken during this lease; NULL = none */
	int end_fd; /* after the close: shows when the backend is gone; -1 = nothing to see */
	char *refusal; /* a connect that we failed: its message, else NULL */
};

/* How sessions are looked after; constant. */
struct session_care {
	enum config_reset reset;
	enum config_pre_ping pre_ping;
	const char *ping_query;
	uint64_t ping_timeout_ns;
};

/*
 * Connects with `conninfo`, as PQconnectdb does and with all its waits. Returns a session
 * whose connection may be bad: then its PGconn, libpq's own, is for the program and the
 * rest for session_free. NULL: out of memory, nothing was opened.
 */
struct session *session_open(const struct libpq *libpq, const char *conninfo);

/*
 * Makes a session of a connection that somebody else opened, so that it can be tracked.
 * NULL: out of memory.
 */
struct session *session_adopt(const struct libpq *libpq, PGconn *conn);

/* The session that a lease is embedded in. */
static inline struct session *session_of_lease(struct lease *lease)
{
	return (struct session *)((char *)lease - offsetof(struct session, lease));
}

static inline struct session *session_of_slot(struct pool_slot *slot)
{
	return (struct session *)((char *)slot - offsetof(struct session, slot));
}

/*
 * Given back, by the lease `ended`: DROP_NONE if its client side is in a state that can
 * be made as new, else why not. Sends nothing.
 */
enum drop_reason session_examine(struct session *session, const struct lease *ended);

/*
 * Takes it into our care: client state as on a fresh connection but for the hooks and the
 * blocking mode, reset on its way. Never waits for the server.
 */
enum drop_reason session_reset(struct session *session, const struct session_care *care);

/*
 * To be lent: collects a reset in flight, proves that the server is there as `care`
 * wants, puts hooks and mode back. DROP_NONE: fit. DROP_PING_FAILED: the server, or the
 * way to it, is gone; other sessions are suspect, too, as with DROP_ATTRIBUTES: the server
 * has another role now than its program asked for. Waits ping_timeout_ns at most.
 */
enum drop_reason session_check(struct session *session, const struct session_care *care,
                               uint64_t now_ns);

/* The same socket as when it was opened, and opened by this process. */
bool session_is_ours(const struct session *session);

/*
 * Takes a session that was just opened, and that nobody used, into our care.
 */
void session_park(struct session *session);

/* Notes socket and backend anew: the program reset the connection under its lease. */
void session_note_connection(struct session *session);

/*
 * Really finishes it for the program, whatever state it is in, sending Terminate; without
 * waiting. A descriptor that shows the backend's end is kept until session_gone or
 * session_await_end saw it.
 */
void session_finish(struct session *session);

/*
 * The same of our own accord: if its descriptor is not ours any more nothing is sent and
 * its memory is given up. With a deadline a reset in flight is collected first, so that
 * the server does not find its answer unread; 0 = do not.
 */
void session_close(struct session *session, uint64_t deadline_ns);

/* Child of a fork: closes its copy of an idle session's socket, without a word. */
void session_close_copy(const struct session *session);

/* True if the backend of a closed session has ended, or cannot be seen. Never blocks. */
bool session_gone(struct session *session);

/* Waits for that until `deadline_ns`. */
void session_await_end(struct session *session, uint64_t deadline_ns);

/* Releases the memory of a session whose PGconn is finished or handed over. */
void session_free(struct session *session);

/*
 * Child of a fork: the inherited PGconn is freed without a word to the server, whose
 * session is the parent's. Its socket is exchanged for a dead one first.
 */
void session_finish_inherited(struct session *session);

#endif
