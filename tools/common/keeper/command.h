/* SPDX-License-Identifier: PostgreSQL */
/* Gives the keeper a command. */
#ifndef PQPOOL_TOOLS_COMMON_KEEPER_COMMAND_H
#define PQPOOL_TOOLS_COMMON_KEEPER_COMMAND_H

#include <stdbool.h>

#include "common/keeper/place.h"

/*
 * Has the keeper execute `text` (keep/server/command.h) and waits for its answer, of `seconds`
 * at most (-1: without end). Owner of the answer: the caller. `*failed`: it is an error
 * message. NULL: there is no answer, see errno; ENOENT and ECONNREFUSED: no keeper runs.
 */
char *keeper_execute(const struct keeper_place *place, const char *text, int seconds,
                     bool *failed);

/* The answer to `show` of the usual keeper; NULL: no keeper runs, or it gives no answer. */
char *keeper_show(void);

#endif
