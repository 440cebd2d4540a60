/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's process: SIGTERM and SIGINT end it after closing all idle sessions, SIGHUP reads
 * its settings again.
 */
#ifndef PQPOOL_TOOLS_KEEP_SERVER_KEEPER_H
#define PQPOOL_TOOLS_KEEP_SERVER_KEEPER_H

#include <stdint.h>

#include "common/keeper/place.h"

struct keeper_options {
	const char *settings_file; /* NULL: only the environment */
	uint64_t quiet_exit_ns;    /* ends if nobody shares for this long; UINT64_MAX: never */
};

/* Serves until it is told to end, or its socket is removed; the exit status. */
int keeper_serve(const struct keeper_place *place, int listener,
                 const struct keeper_options *options);

#endif
