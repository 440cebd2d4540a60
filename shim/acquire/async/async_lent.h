/* SPDX-License-Identifier: PostgreSQL */
/* A session that the keeper lent to an asynchronous connect which was in its line. */
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

#endif
