/* SPDX-License-Identifier: PostgreSQL */
/* Thresholds and states of a monitoring plugin. */
#ifndef PQPOOL_TOOLS_CHECK_THRESHOLD_H
#define PQPOOL_TOOLS_CHECK_THRESHOLD_H

#include <stdbool.h>
#include <stdint.h>

/* The exit statuses of the Monitoring Plugins guidelines, in their order. */
enum state { STATE_OK, STATE_WARNING, STATE_CRITICAL, STATE_UNKNOWN };

const char *state_name(enum state state);

/* A number, or a share of a whole. */
struct threshold {
	int64_t number;
	bool percent;
};

/* "80%" or "80"; false, and nothing stored, if it is neither. */
bool threshold_parse(const char *s, struct threshold *threshold);

/* The largest number that is not above the threshold. */
int64_t threshold_of(const struct threshold *threshold, int64_t whole);

#endif
