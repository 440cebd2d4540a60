/* SPDX-License-Identifier: PostgreSQL */
/* Starts the keeper for a program that is to share, if none runs. */
#ifndef PQPOOL_TOOLS_RUN_START_KEEPER_H
#define PQPOOL_TOOLS_RUN_START_KEEPER_H

/*
 * The keeper that PQPOOL_SHARE means runs afterwards, in the background, with this
 * environment's limits; it ends when nobody has shared for a minute. Where it cannot be started
 * its messages say why, and the program runs without it.
 */
void start_keeper(void);

#endif
