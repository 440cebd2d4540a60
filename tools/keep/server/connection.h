/* SPDX-License-Identifier: PostgreSQL */
/*
 * The connections to the keeper. What the first message on one is says what it is for: a
 * member's, a question's, or a command's. Whoever breaks the rules of keeper_protocol.h, or has
 * another effective uid, is cut off.
 */
#ifndef PQPOOL_TOOLS_KEEP_SERVER_CONNECTION_H
#define PQPOOL_TOOLS_KEEP_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

/* Accepts from the listening socket from now on; takes over the pages that were left. */
bool connections_begin(int listener);

/*
 * Does what is due: accepts again if it could not for want of descriptors, answers commands
 * that wait, looks for members that have ended without a sign.
 */
void connections_due(uint64_t now_ns);

/* True if nobody is a member, asks or commands, nor came since the last call. */
bool connections_were_quiet(void);

/* Closes all. */
void connections_end(void);

#endif
