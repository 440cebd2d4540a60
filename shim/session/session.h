/* SPDX-License-Identifier: PostgreSQL */
/*
 * One session: a PGconn with its backend; how it is opened and closed. Everything goes through
 * libpq's public functions, of the libpq that made it.
 *
 * A session belongs to one thread at a time: to the user of its lease, or, between leases, to
 * the holder of its slot. So there is no lock here, and every function that waits for libpq
 * asserts that none is held.
 *
 * Before any I/O between leases the socket is compared by device and inode with what it was:
 * programs close descriptors they do not know, and the number is given out again.
 */
#ifndef PQPOOL_SESSION_SESSION_H
#define PQPOOL_SESSION_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cold.h"
#include "base/config/config.h"
#include "base/libpq/libpq.h"
#include "pool/drop_reason.h"
#include "pool/pool.h"
#include "session/idle_limit.h"
#include "session/opened/connect_notices.h"
#include "session/opened/escaping.h"
#include "session/opened/login_state.h"
#include "session/opened/start_settings.h"
#include "session/opened/target_attrs.h"
#include "session/socket/keepalive.h"
#include "session/socket/socket_options.h"
#include "trace/lease/lease.h"
#include "trace/status/status.h"

struct lender;
struct cancel_scope;
struct async_connect;
struct shared;

/* The query of ours that is in flight while a session is idle, see own_query.h. */
enum session_flight {
	FLIGHT_NONE,
	FLIGHT_STATEMENT, /* one simple query */
	FLIGHT_PIPELINE   /* statements with a Sync each */
};

/* The lease that parsed the unnamed prepared statement, which outlives it. */
enum session_unnamed {
	UNNAMED_NONE,
	UNNAMED_OWN, /* this one */
	UNNAMED_LEFT /* one before */
};

/* How far a check has come; reset.c's. */
struct session_check {
	uint64_t began_ns;
	uint64_t deadline_ns;
	unsigned syncs_due; /* answers that end a pipeline, still to come */
	bool failed;        /* the server refused a statement of ours since the lease's end */
	bool arrived;       /* something is to be read: there is nothing to wait for */
	bool proven;        /* an answer came that was sent after the check began */
	bool silent;        /* none had come by the deadline */
	bool pinging;
	bool asking;          /* login_state.h's question is in flight */
	bool asked;           /* it has been sent, or there was none */
	bool restored;        /* likewise what start_settings.h wants to be sent */
	bool silence_limited; /* TCP_USER_TIMEOUT is ours while it lasts, and was: */
	unsigned silence_before_ms;
	bool rolls_back;   /* the reset to come sends ROLLBACK */
	bool discards;     /* it sends DISCARD ALL */
	bool limits;       /* it sets the server's limit on idle sessions */
	bool mode_is_ours; /* non-blocking for us, not for the program */
};

struct session {
	struct lease lease;
	struct lease_activity activity; /* noted by query_call.c */
	uint64_t noted_name; /* query_call.c's: hash of the prepared statement's name in it */
	struct pool_slot slot;
	struct lender *lender; /* its pool; NULL = passed through, only tracked */

	const struct libpq *libpq;
	PGconn *conn; /* NULL once finished */
	int error;    /* errno after a failed connect of libpq's */
	uint64_t id;
	int backend_pid;
	pid_t owner; /* the process that connected */
	dev_t socket_dev;
	ino_t socket_ino;
	bool local;          /* a Unix socket: the kernel itself tells of the peer's end */
	bool socket_shown;   /* to this lease, by PQsocket */
	unsigned calls_seen; /* socket_options_calls when its options were looked at */
	int keepalive_s;     /* of its pool, while it lies idle; 0 = as libpq has set it */
	struct keepalive keepalive;
	struct socket_options *options; /* of the socket with this inode, as libpq set it up */
	ino_t options_ino;

	/* What the lease has sent so far; query_call.c sets it, and reset.c clears it. */
	bool sent;     /* anything at all */
	bool leaves;   /* what may leave something behind */
	bool unsynced; /* a statement, and no Sync of a pipeline's since: its end is not certain
	                */
	bool reset_due; /* idle: its reset is not sent yet */
	bool ping_sent; /* the flight is a ping, which the connect sent that is to have it */
	enum session_unnamed unnamed;

	enum session_flight flight;
	uint64_t check_limit_ns; /* of its pool, for a check; 0 = none */
	struct session_check check;
	enum drop_reason taint; /* why it must not be kept, as found before the release */
	unsigned notices;       /* that came between leases */
	bool ended;             /* one of them said that the server ends the session */
	bool altered;           /* its lease changed what new sessions start with */
	atomic_uint inside;     /* query_call.c's: calls on it that have begun and not ended */
	unsigned unseen;        /* query_call_unseen() when its lease began */
	const char *text;       /* query_call.c's: what the last of them sends; only compared */
	struct status_said said; /* what its row on the status page shows */
	uint64_t proven_ns;

	struct target_attrs attrs;
	struct login_state login;
	struct idle_limit limit;
	struct start_settings settings;
	struct notices_seen seen; /* while it was opened, or failed to be */
	struct escaping opened;   /* how it escaped when it was opened; no print */
	struct escaping escaping; /* and when it was learnt last */

	struct cancel_scope *cancels; /* cancel objects taken during this lease; NULL = none */
	int end_fd; /* after the finish: shows when the backend is gone; -1 = nothing to see */
	/*
	 * Its connect in steps is not over, and libpq must not be asked: it has a session that
	 * is up already, with statements of ours on it, or one that waits for its turn.
	 */
	bool unready;
	bool passing; /* a connect in steps that is libpq's alone, see async_unpooled.h */
	struct async_connect *handshake; /* a connect in steps, not yet a lease; else NULL */
	struct async_connect *spare;     /* memory of the one before, for the next; or NULL */
	struct shared
		*shared; /* what the keeper knows it by, share/shared_session.h; or NULL */
	char *refusal;   /* a connect that we failed: its message, else NULL */
	/* Its PGconn was freed past us: gives up what it holds; NULL = the slot's room. */
	void (*vanished)(struct session *session);
};

/*
 * Connects with `conninfo`, as PQconnectdb does and with all its waits. The connection may be
 * bad: then its PGconn is for the program and the rest for session_free. NULL: out of memory,
 * nothing was opened. `error` is the errno that libpq begins with, and session->error the one
 * that it leaves; `noted` and `meanwhile` are notices_connect's.
 */
struct session *session_open(const struct libpq *libpq, const char *conninfo, int error,
                             PGconn **noted, const struct notices_meanwhile *meanwhile);

/* A session for a connection that is open already, to be tracked. NULL: out of memory. */
COLD struct session *session_adopt(const struct libpq *libpq, PGconn *conn);

/* The session that a lease is embedded in. */
static inline struct session *session_of_lease(struct lease *lease)
{
	return (struct session *)((char *)lease - offsetof(struct session, lease));
}

static inline struct session *session_of_slot(struct pool_slot *slot)
{
	return (struct session *)((char *)slot - offsetof(struct session, slot));
}

/* The same socket as when it was opened, and opened by this process. */
bool session_is_ours(const struct session *session);

/* Notes socket and backend of a connection that was made, or reset under its lease. */
void session_note_connection(struct session *session);

/*
 * During a check, once for each reset of its own: the statement that brings back the settings
 * that the reset lost (opened/start_settings.h), or NULL. False: no statement can.
 */
bool session_lost_settings(struct session *session, const char **question);

/* Notes the options of its socket, if there is memory. */
COLD void session_note_options(struct session *session);

/* It is about to lie idle: see keepalive.h. Of a shared one the keeper takes care. */
void session_lower_keepalive(struct session *session);
COLD void session_put_keepalive_back(struct session *session);

/* The program is about to learn the descriptor, and may set options on it. */
static inline void session_show_socket(struct session *session)
{
	session->socket_shown = true;
	if (session->keepalive.lowered) {
		session_put_keepalive_back(session);
	}
	if (session->options_ino != session->socket_ino) {
		session_note_options(session);
	}
}

/*
 * Really finishes it for the program, whatever state it is in, sending Terminate; without
 * waiting.
 *
 * A copy of the descriptor is kept to see the backend's end by, until session_gone,
 * session_await_end or session_free closes it; one of these must follow at once, for the
 * connection does not end while there is a copy. The keeper has one of each shared session, so
 * these are shut down where the server may not be listening. Where the server may be blocked in
 * sending (a result left unread, COPY) there is none: it would not see the end, and keep its
 * locks (seen with servers 13 to 18).
 */
void session_finish(struct session *session);

/* The same on our own account. If its descriptor is not ours any more it is left as it is. */
void session_close(struct session *session);

/* Child of a fork: closes its copy of an idle session's socket; sends nothing. */
void session_close_copy(const struct session *session);

/* True if the backend of a closed session has ended, or cannot be seen. Never blocks. */
bool session_gone(struct session *session);

/* Waits for that until `deadline_ns`. */
void session_await_end(struct session *session, uint64_t deadline_ns);

/*
 * For a cancel object of `conn`: what the cancel objects of its lease share, joined; `*scope`
 * is NULL if `conn` is on no lease, and the object may be sent at any time. False if memory is
 * short, or the connection was finished: an object for it would cancel the next lease's query.
 */
bool session_cancel_scope(const PGconn *conn, struct cancel_scope **scope);

/* Releases the memory of a session whose PGconn is finished or handed over. */
void session_free(struct session *session);

/*
 * Child of a fork: replaces its copy of the socket by a dead one, so that nothing done to the
 * PGconn reaches the server. False: it could not. Does not allocate.
 */
bool session_deaden(struct session *session);

/* Child of a fork: the same, and the PGconn is freed; the server's session is the parent's. */
void session_finish_inherited(struct session *session);

#endif
