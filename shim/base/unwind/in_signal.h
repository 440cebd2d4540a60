/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is this a signal handler? What it interrupted may be in the middle of malloc, and then
 * nothing that allocates may be called from here.
 */
#ifndef PQPOOL_BASE_UNWIND_IN_SIGNAL_H
#define PQPOOL_BASE_UNWIND_IN_SIGNAL_H

#include <stdbool.h>

/* True if a frame of this thread's stack was interrupted by a signal. No malloc, no locks. */
bool in_signal_handler(void);

#endif
