/* SPDX-License-Identifier: PostgreSQL */
/* The state of the keeper as text: a line for each thing, pairs as in the log. */
#ifndef PQPOOL_TOOLS_KEEP_POOL_SHOW_H
#define PQPOOL_TOOLS_KEEP_POOL_SHOW_H

#include <stdint.h>

#include "keep/pool/pool.h"

/* Who has the sessions of a pool, and since when; malloc'ed. */
char *show_holders(const struct pool *pool, uint64_t now_ns);

/* Everything: the keeper, its pools, their sessions and who waits; malloc'ed. */
char *show_all(uint64_t now_ns);

#endif
