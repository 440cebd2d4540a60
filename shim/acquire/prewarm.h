/* SPDX-License-Identifier: PostgreSQL */
/*
 * Opens several sessions at a pool's first connect, concurrently, in one thread.
 *
 * A session that fails, is slow, or sends a notice while it connects is not kept: the program
 * did not ask for it.
 */
#ifndef PQPOOL_ACQUIRE_PREWARM_H
#define PQPOOL_ACQUIRE_PREWARM_H

#include "acquire/lend/acquisition.h"
#include "base/cold.h"

#define PREWARM_MAX 256

/* Opens PQPOOL_PREWARM sessions, and leaves the good ones idle. Blocks, with no lock held. */
COLD void prewarm_pool(struct acquisition *a);

#endif
