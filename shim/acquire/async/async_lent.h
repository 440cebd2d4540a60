/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connect that asks the keeper, and a session that it lent to it.
 *
 * While the keeper is asked the connect is ASKING: libpq is held, that is, a socket of ours is
 * where it believes to be connecting, and the server knows nothing of it. From the program's
 * first poll on a wakeup is shown there, which the keeper rings when it answers, and which is
 * due again each second, as nobody rings if the keeper ends, and at the end of its time.
 */
#ifndef PQPOOL_ACQUIRE_ASYNC_ASYNC_LENT_H
#define PQPOOL_ACQUIRE_ASYNC_ASYNC_LENT_H

#include "acquire/async/async_state.h"
#include "base/cold.h"

/*
 * Puts it under the PGconn that the program holds, at the same number, and begins its check:
 * the connect is CHECKING. Not DROP_NONE: it is not fit; what is left of it is under the
 * PGconn if session->shared is there. Consumes the reply. Does not wait for the server, but
 * may for a name service.
 */
COLD enum drop_reason async_lent_begin(struct session *session, struct ask_reply *reply);

/*
 * What the keeper has answered. NOTHING_YET: what the program watches tells it when to poll.
 * REFUSED, UNANSWERED: also if its time is over. Nothing waits.
 */
COLD enum ask_answer async_lent_read(struct session *session, struct ask_reply *reply);

#endif
