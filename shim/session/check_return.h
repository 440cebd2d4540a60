/* SPDX-License-Identifier: PostgreSQL */
/*
 * May a session that the program gives back be kept, and why not: all reasons that lie in the
 * session, in the order in which they are asked for. What the pool says of it (age, size,
 * invalidation) is pool.h's, and what comes out before it is lent again reset_check's.
 */
#ifndef PQPOOL_SESSION_CHECK_RETURN_H
#define PQPOOL_SESSION_CHECK_RETURN_H

#include "base/cold.h"
#include "pool/drop_reason.h"
#include "session/reset.h"
#include "session/session.h"
#include "trace/lease/lease.h"

/*
 * Given back, by the lease `ended`: DROP_NONE if it can be made as new. Sends nothing, and
 * takes the program's settings off the socket.
 */
enum drop_reason check_returned(struct session *session, const struct lease *ended,
                                const struct session_care *care);

/*
 * Why a session must not be kept on which a statement with these effects (sql/effects.h) was
 * sent: what it leaves behind outlasts the reset. DROP_NONE: it may.
 */
COLD enum drop_reason check_effects(unsigned effects, const struct session_care *care);

#endif
