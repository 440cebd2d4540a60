/* SPDX-License-Identifier: PostgreSQL */
/* The settings that connects and sessions obey. */
#ifndef PQPOOL_ACQUIRE_LEND_LEND_SETTINGS_H
#define PQPOOL_ACQUIRE_LEND_LEND_SETTINGS_H

#include <stdint.h>

#include "base/config/config.h"
#include "session/reset.h"

struct lend_settings {
	struct session_care care;
	uint64_t timeout_ns;
	uint64_t prewarm_ns; /* how long prewarming may take; 0 = no limit */
	uint32_t prewarm;
	unsigned stack_depth;
	int keepalive_s; /* 0 = off */
};

/* Constant once configured. */
extern struct lend_settings lend_settings;

/* Sets up all floors below by the configuration. Called once, before anything else of them. */
void lend_configure(const struct config *config);

#endif
