/* SPDX-License-Identifier: PostgreSQL */
/* Matches patterns of * and ?. */
#include "base/text/glob.h"

/*
 * After a star the rest may begin anywhere. If it does not match, the last star takes one
 * byte more; earlier ones need not.
 */
bool glob_matches(const char *pattern, const char *text, size_t len)
{
	const char *end = text + len;
	const char *star = NULL;
	const char *taken = text;

	while (text < end) {
		if (*pattern == '*') {
			star = pattern++;
			taken = text;
		} else if (*pattern != '\0' && (*pattern == '?' || *pattern == *text)) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++taken;
		} else {
			return false;
		}
	}
	while (*pattern == '*') {
		pattern++;
	}
	return *pattern == '\0';
}
