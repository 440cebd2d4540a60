/* SPDX-License-Identifier: PostgreSQL */
/*
 * Several sessions opened side by side, by one thread, at a pool's first connect.
 *
 * A session that fails, is slow, or says something while it connects is simply not kept:
 * the program did not ask for it.
 */
#ifndef PQPOOL_ACQUIRE_PREWARM_H
#define PQPOOL_ACQUIRE_PREWARM_H

#include "acquire/lend/lending.h"
#include "base/cold.h"

#define PREWARM_MAX 256

/*
 * Opens as many sessions as are to be there at first, side by side, and leaves the good ones
 * idle. Blocks, with no lock held.
 */
COLD void prewarm_pool(struct acquisition *a);

#endif
