/* SPDX-License-Identifier: PostgreSQL */
/*
 * The steps of an asynchronous connect, each taken by the thread that drives it.
 * async_connect.h has the picture; this is for async_connect.c and async_answers.c alone.
 *
 * A step that ends the connect frees its state: OK and FAILED are final.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_STEPS_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_STEPS_H

#include "acquire/async/async_state.h"

/* Gets in line, at the front if `again`, without waiting. A wakeup must be shown. */
void steps_queue(struct session *session, bool again);
/* Closes the session in `slot`, whose room is ours, and begins to await its end. */
void steps_clear(struct session *session, struct pool_slot *slot, enum drop_reason why);

/*
 * Before a step: whether it still has what it had. If that was given to the next in line it is
 * in line again, or refused, which is final.
 */
enum steps_held { STEPS_HELD, STEPS_IN_LINE, STEPS_REFUSED };
enum steps_held steps_hold(struct session *session);

/* PQconnectPoll. */
PostgresPollingStatusType steps_poll(struct session *session);

/*
 * Begins the connection again, or leaves it withheld: for PQresetStart (`told`: the program
 * knows that the descriptor may be another), or because the program must get an unused session.
 * False: that failed at once, and the connect is over.
 */
bool steps_restart(struct session *session, bool told);

/* PQreset, in a room that is ours: ends the connect. */
void steps_reset(struct session *session);

#endif
