/* SPDX-License-Identifier: PostgreSQL */
/* Thresholds and states of a monitoring plugin. */
#include "check/threshold.h"

#include <stddef.h>
#include <string.h>

/* No server has as many connections. */
#define LARGEST 1000000

const char *state_name(enum state state)
{
	static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

	return names[state];
}

bool threshold_parse(const char *s, struct threshold *threshold)
{
	size_t digits = strspn(s, "0123456789");
	bool percent = s[digits] == '%';
	int64_t number = 0;

	if (digits == 0 || digits > 7 || s[digits + percent] != '\0') {
		return false;
	}
	for (size_t i = 0; i < digits; i++) {
		number = number * 10 + (s[i] - '0');
	}
	if (number > (percent ? 100 : LARGEST)) {
		return false;
	}
	*threshold = (struct threshold){number, percent};
	return true;
}

int64_t threshold_of(const struct threshold *threshold, int64_t whole)
{
	return threshold->percent ? whole * threshold->number / 100 : threshold->number;
}
