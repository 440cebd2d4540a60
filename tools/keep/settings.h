/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's settings: the PQPOOL_ variables of its environment, over them those of a file
 * (NAME=value lines, # comments), which is read again on SIGHUP, over all what `pqpool keep
 * set` said since.
 */
#ifndef PQPOOL_TOOLS_KEEP_SETTINGS_H
#define PQPOOL_TOOLS_KEEP_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"

/* What the keeper goes by; times in nanoseconds. */
struct settings {
	unsigned size;            /* UINT_MAX: no limit */
	unsigned total;           /* with the overflow; UINT_MAX: no limit */
	uint64_t timeout_ns;      /* 0: nobody waits */
	uint64_t recycle_ns;      /* UINT64_MAX: never */
	uint64_t idle_timeout_ns; /* UINT64_MAX: off */
	uint64_t ping_timeout_ns;
	uint64_t keepalive_ns; /* 0: off */
	uint64_t linger_ns;    /* 0: what is given back goes to who waits */
	bool oldest_first;
	struct config config; /* all, for the log */
};

extern struct settings settings;

/*
 * Reads them all; `file` may be NULL. Bad values are complained of, one line each. False: some
 * were bad, and nothing has changed.
 */
bool settings_load(const char *file, config_complain *complain, void *arg);

/*
 * Changes one: "size=5", "idle_timeout=1min", by the names of the variables without PQPOOL_, in
 * small letters, which may be those of a limit or time of struct settings. False: complained
 * of.
 */
bool settings_change(const char *pair, config_complain *complain, void *arg);

#endif
