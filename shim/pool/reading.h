/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a statement does, as its text says, read once for all that differ in numbers only.
 *
 * Programs say the same few things again and again, with other keys in them. So a thread
 * remembers the texts it read last: one that is alike but for its numbers does the same,
 * because neither statement.c nor harmless.c goes by what a number is.
 */
#ifndef PQPOOL_POOL_READING_H
#define PQPOOL_POOL_READING_H

#include <stdbool.h>
#include <stdint.h>

struct reading {
	uint8_t effects; /* statement.h */
	bool harmless;   /* harmless.h; false where that was not asked for */
};

/*
 * Reads `text`. `judged`: whether it is harmless, too, is asked for; `utf8` is as there, and
 * may be anything else. Allocates nothing; may be called in a signal handler.
 */
struct reading reading_of(const char *text, bool judged, bool utf8);

#endif
