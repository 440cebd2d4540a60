/* SPDX-License-Identifier: PostgreSQL */
/*
 * The steps of a handshake, each taken by the thread that drives it. async_connect.h has the
 * picture; this is for async_connect.c alone.
 *
 * A step that ends the handshake frees it: OK and FAILED are the last word.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_STEPS_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_STEPS_H

#include "acquire/async/async_conn.h"
#include "acquire/async/shown_socket.h"
#include "acquire/lend/lending.h"

enum handshake_state { CHECKING, OPENING, WAITING, CLEARING, RENEWED };

struct async_connect {
	enum handshake_state state;
	struct acquisition a; /* ended with the handshake */
	struct async_conn connecting;
	struct pool_waiter waiter;
	struct pool_turn turn; /* and what async_turns.h needs for it: */
	struct lease *lease;
	PostgresPollingStatusType wants; /* what the program was told to wait for, at */
	int rest_fd;
	struct fd_id rest_id;
	struct session *other;     /* CLEARING: whose end is awaited; it still has the room */
	uint64_t deadline_ns;      /* of WAITING, then of CLEARING */
	uint64_t cleared_ns;       /* when CLEARING began */
	struct shown_socket shown; /* a wakeup in WAITING, CLEARING and RENEWED */
	bool polled;               /* the program has called PQconnectPoll */
	bool pipeline;             /* what PQpipelineStatus says meanwhile */
	const char *error; /* of a function that needs a connection which is up; else NULL */
	bool made_room;    /* our idle sessions were closed for it, once */
};

/*
 * A handshake for an entered session; takes the acquisition over. False: out of memory.
 * The opening of its connection is left to the caller.
 */
bool steps_begin(struct session *session, const struct acquisition *a,
                 enum handshake_state state);
/* Its end; the session is left to the caller, and so is the room. */
void steps_end(struct session *session);
/* The connection is the program's from now on, and a stranger to us. */
void steps_let_go(struct session *session);

/*
 * It ends as refused with this message, malloc'ed, in no room. NULL, for want of memory: as
 * steps_let_go.
 */
void steps_refuse(struct session *session, char *message);

/* Ends it so for want of descriptors to wait with, as errno was then. */
void steps_refuse_by(struct session *session, int error);

/*
 * Gets in line, at the front if `again`. In an event loop's thread, so without waiting. A
 * wakeup has to be shown.
 */
void steps_queue(struct session *session, bool again);
/* Closes the session in `slot`, whose room is ours, and begins to await its end. */
void steps_clear(struct session *session, struct pool_slot *slot, enum drop_reason why);

/*
 * The end of a call that leaves it to the program to go on, when its descriptor is ready for
 * what it `wants`; returns that.
 */
PostgresPollingStatusType steps_rest(struct session *session, PostgresPollingStatusType wants);

/*
 * Before a call that goes on: whether it has what it had. If that was given to the next in line
 * meanwhile it is in line again, or refused, and then the last word was spoken.
 */
enum steps_held { STEPS_HELD, STEPS_IN_LINE, STEPS_REFUSED };
enum steps_held steps_hold(struct session *session);

/* PQconnectPoll. */
PostgresPollingStatusType steps_poll(struct session *session);

/*
 * Begins the connection anew, or leaves it withheld: PQresetStart (`told`: the program
 * knows that the descriptor may be another), or because the program is to have one that
 * nobody used. False: that failed at once, and the handshake is over.
 */
bool steps_restart(struct session *session, bool told);

/* PQreset, in a room that is ours: ends the handshake. */
void steps_reset(struct session *session);

#endif
