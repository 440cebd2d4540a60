/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a program may have done to a connection that it gives back.
 *
 * The descriptor is looked at before anything is done to it, and no more often: where a release
 * has nothing to do with it, that is left to the acquire, which has to look anyway.
 */
#ifndef PQPOOL_POOL_EXAMINE_H
#define PQPOOL_POOL_EXAMINE_H

#include <stdbool.h>

#include "pool/reason.h"
#include "pool/session.h"
#include "trace/lease.h"

/*
 * Given back, by the lease `ended`: DROP_NONE if its client side is in a state that can
 * be made as new, else why not. Sends nothing.
 */
enum drop_reason examine_returned(struct session *session, const struct lease *ended);

/*
 * True if it is the socket that libpq has opened, and behaves as libpq wants it to. May be
 * false from one call to the next while the program has the number in hand.
 */
bool examine_descriptor(struct session *session);

#endif
