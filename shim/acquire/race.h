/* SPDX-License-Identifier: PostgreSQL */
/*
 * An idle session that does not answer, and a new one that is opened beside it: the first to
 * be ready is lent.
 *
 * The network may have forgotten the session (a NAT, a firewall, a server that moved), and then
 * nobody ever says so; or the server is slow, and would be with a new connection, too. Only a
 * connection that is up while the session is still silent tells the two apart. If the server
 * has no place for one, the session is waited for as long as its check may take.
 *
 * The session keeps its room meanwhile, and the new one has none: for so long a pool that is at
 * its limit may have one more connection with the server. If the network has forgotten the
 * session, the server has it in any case.
 */
#ifndef PQPOOL_ACQUIRE_RACE_H
#define PQPOOL_ACQUIRE_RACE_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/lend/acquisition.h"
#include "session/session.h"

/* The new one. */
struct race {
	struct session *opened; /* NULL: it came second, or there is no memory */
	uint64_t took_ns;
};

/* How long the idle session may be silent before a new one is opened beside it. */
uint64_t race_begins_after_ns(const struct session *idle);

/*
 * To be called when its check has ended in silence after that time, with the check in the
 * acquisition's ticket. `*why`: DROP_NONE if it has answered, and may be lent; else drop it for
 * that and go on with what was opened, which may be a connection that failed. False: the
 * session was given back meanwhile, and its room is another's.
 */
bool race_run(struct acquisition *a, struct session *idle, struct race *race,
              enum drop_reason *why);

#endif
