/* SPDX-License-Identifier: PostgreSQL */
/*
 * The state of an asynchronous connect: its record, from begin to end. async_connect.h has the
 * picture.
 *
 * Belongs to the thread that drives the connect, but what turns.h says.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_STATE_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_STATE_H

#include "acquire/async/async_conn.h"
#include "acquire/async/wakeup_socket.h"
#include "acquire/lend/acquisition.h"
#include "acquire/lend/borrow.h"
#include "acquire/upkeep/turns.h"
#include "session/session.h"

/*
 * RENEWED: begun again, and the program is being woken to learn that. ASKING: the keeper, or to
 * be its member, with a room in the pool.
 */
enum handshake_state { CHECKING, OPENING, WAITING, CLEARING, RENEWED, ASKING };

struct async_connect {
	enum handshake_state state;
	struct acquisition a; /* ended with the connect */
	struct async_conn connecting;
	struct borrow borrow; /* of a room that the keeper gave, or is asked for */
	struct ask ask;       /* its question; without a member there is none */
	struct pool_waiter waiter;
	struct turn turn;
	PostgresPollingStatusType wants; /* what the program waits for */
	struct session *other;     /* CLEARING: whose end is awaited; it still has the room */
	uint64_t deadline_ns;      /* of WAITING or ASKING, then of CLEARING */
	uint64_t cleared_ns;       /* when CLEARING began */
	struct shown_socket shown; /* a wakeup in WAITING, CLEARING, RENEWED and ASKING */
	bool polled;               /* the program has called PQconnectPoll */
	bool pipeline;             /* what PQpipelineStatus says meanwhile */
	const char *error; /* of a function that needs a connection which is up; else NULL */
	bool made_room;    /* our idle sessions were closed for it, once */
	bool outdated; /* its connection was begun before or during a pause: begin it again */
};

/* Changes the state, and whether libpq must not be asked (session->unready). */
void async_state_enter(struct session *session, enum handshake_state state);

/*
 * Begins the connect of an entered session; takes the acquisition over. False: out of memory.
 * The opening of its connection is left to the caller.
 */
bool async_state_begin(struct session *session, const struct acquisition *a,
                       enum handshake_state state);
/* Its end; session and room are left to the caller. */
void async_state_end(struct session *session);
/* The connection is the program's from now on, and unknown to us. */
void async_state_let_go(struct session *session);

/*
 * Ends it as refused, in no room: because the pool is full; or for want of descriptors to wait
 * with, as errno was then.
 */
void async_state_refuse(struct session *session);
void async_state_refuse_by(struct session *session, int error);
/* The same by the keeper, whose word for it is `holders`. */
void async_state_refuse_shared(struct session *session, const char *holders);

/*
 * Gives up what the connect has of the pool, but a session that is checked. `kept`, by turn_go:
 * it was not given to another connect already.
 */
void async_state_give_up(struct async_connect *h, bool kept);

/* A checked session is over, and its PGconn left for a new connection. */
void async_state_hand_out(struct session *session, enum drop_reason why);

/* Shows a wakeup in place of the connection's socket. False: no descriptors, see errno. */
bool async_state_show_wakeup(struct session *session);

/*
 * Ends a call that leaves it to the program to poll, when its descriptor is ready for what it
 * `wants`; returns that.
 */
PostgresPollingStatusType async_state_rest(struct session *session,
                                           PostgresPollingStatusType wants);

/*
 * The same, to wait for the answer to a check. It wakes the program, and so does a network that
 * lost the question (reset.c). If a server is there and does not answer, turns_wake does.
 */
PostgresPollingStatusType async_state_await_answer(struct session *session);

#endif
