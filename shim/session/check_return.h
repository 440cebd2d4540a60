/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a program may have done to a connection that it gives back.
 *
 * That the descriptor still is the same socket is asked before anything is done to it, and no
 * more often: where a release has nothing to do with it, that is left to the acquire, which has
 * to ask anyway. How it behaves is asked at once, because an idle session may be inherited by a
 * program that is executed, and raise signals.
 */
#ifndef PQPOOL_SESSION_CHECK_RETURN_H
#define PQPOOL_SESSION_CHECK_RETURN_H

#include "pool/drop_reason.h"
#include "session/session.h"
#include "trace/lease/lease.h"

/*
 * Given back, by the lease `ended`: DROP_NONE if its client side is in a state that can
 * be made as new, else why not. Sends nothing.
 */
enum drop_reason check_returned(struct session *session, const struct lease *ended);

#endif
