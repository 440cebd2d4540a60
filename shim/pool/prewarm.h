/* SPDX-License-Identifier: PostgreSQL */
/*
 * Several sessions opened side by side, by one thread, at a pool's first connect.
 *
 * A session that fails, is slow, or says something while it connects is simply not kept:
 * the program did not ask for it.
 */
#ifndef PQPOOL_POOL_PREWARM_H
#define PQPOOL_POOL_PREWARM_H

#include <stdint.h>

#include "pool/session.h"

#define PREWARM_MAX 256

/*
 * Begins `count` connects, at most PREWARM_MAX, drives them all until each has succeeded
 * or failed or `deadline_ns` came, and stores the good sessions, in our care, in `out`.
 * Returns how many. Blocks, with no lock held.
 */
uint32_t prewarm(const struct libpq *libpq, const char *conninfo, uint32_t count,
                 uint64_t deadline_ns, struct session **out);

#endif
