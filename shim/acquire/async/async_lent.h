/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's line, and a session that it lent to an asynchronous connect which was in it. */
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

/* Waits for the keeper's first answer, for a moment; false: the connect is ASKING. */
COLD bool async_lent_wait(const struct ask *ask);

/* It is asked, and shown; `in_line`: it has said WAIT. From now on it has some time to answer.
 */
COLD void async_lent_asked(struct session *session, bool in_line);

/*
 * What the keeper has answered, or the next one, which is asked if it has ended. REFUSED,
 * UNANSWERED: also if its time is over.
 */
COLD enum ask_answer async_lent_read(struct session *session, struct ask_reply *reply);

/*
 * Asks the keeper to fill the room that a connect was granted which waited for it: it is
 * ASKING, and begun again. False: it is to be opened by the process itself.
 */
COLD bool async_lent_ask(struct session *session);

#endif
