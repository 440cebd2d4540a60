/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is done by the clock, without any program calling: waits that are over, answers that did
 * not come, and once a second the sessions that are too old, too long idle, too many, or were
 * closed by their server; and draining, and making room.
 */
#ifndef PQPOOL_TOOLS_KEEP_POOL_UPKEEP_H
#define PQPOOL_TOOLS_KEEP_POOL_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Does what is due, and asks the loop for the time of the next. */
void upkeep_due(uint64_t now_ns);

/*
 * Closes the idle sessions of the pool with this label (NULL: of all) that members with this
 * pid have (-1: whoever has them, the keeper, too); those in use are closed when they are given
 * back. Returns how many it found.
 */
unsigned upkeep_drain(const char *label, pid_t pid, uint64_t now_ns);

/* True if nothing is left of what was drained and, while paused, nothing is in use. */
bool upkeep_is_drained(void);

/*
 * Closes all idle sessions, so that the server has room for others. Returns how many; those in
 * use, and one that is being proven for who asked for it, stay as they are.
 */
unsigned upkeep_make_room(uint64_t now_ns);

/* True if the server has ended all that were closed, or was given up on. */
bool upkeep_has_ended(void);

/* Closes all idle sessions: the keeper ends. */
void upkeep_end(void);

#endif
