/* SPDX-License-Identifier: PostgreSQL */
/*
 * Bytes of any length put together in memory that grows: keys and connection
 * strings. It starts in a buffer of the caller's, so that the common case allocates
 * nothing. Out of memory is remembered in `failed`; test it once at the end.
 *
 * Whoever wants to know only whether a key is one that was made before need not make it:
 * a blob that is held against that one compares what is added, and copies nothing.
 */
#ifndef PQPOOL_BASE_TEXT_KEYBUF_H
#define PQPOOL_BASE_TEXT_KEYBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/cold.h"

struct keybuf {
	char *data;
	size_t len;
	size_t size;
	bool failed;
	bool owned;       /* data was malloc'ed */
	const char *held; /* the bytes it is held against, `size` of them; NULL: none */
};

/* Starts empty in `buf` (`size` > 0), which stays the caller's. */
void keybuf_init(struct keybuf *b, char *buf, size_t size);

/* Room for `n` bytes more; false: there is none to be had. */
COLD bool keybuf_make_room(struct keybuf *b, size_t n);

/*
 * Starts at the beginning of `bytes`, which stay the caller's: what is added is compared with
 * them. Only keybuf_bytes, keybuf_field and keybuf_is_alike may follow, and as far as two keys
 * are alike they must be made of texts and of bytes, as many, in the same places.
 */
static inline void keybuf_hold_against(struct keybuf *b, const char *bytes, size_t size)
{
	*b = (struct keybuf){.held = bytes, .size = size};
}

/* Whether all that was added is all there is. */
static inline bool keybuf_is_alike(const struct keybuf *b)
{
	return !b->failed && b->len == b->size;
}

/* After a difference nothing fits any more, so that it need not be asked for each time. */
static inline void keybuf_differs(struct keybuf *b)
{
	b->failed = true;
	b->size = b->len;
}

static inline void keybuf_bytes(struct keybuf *b, const void *bytes, size_t n)
{
	if (b->held != NULL) {
		if (n > b->size - b->len || memcmp(b->held + b->len, bytes, n) != 0) {
			keybuf_differs(b);
		} else {
			b->len += n;
		}
	} else if (n <= b->size - b->len || keybuf_make_room(b, n)) {
		memcpy(b->data + b->len, bytes, n);
		b->len += n;
	}
}

/*
 * A text is kept behind its length, so that one pass over it finds a difference: a byte, 0 for
 * NULL, else with the NUL, which is behind the text. Of long texts it does not say how long.
 */
#define KEYBUF_LONG 255

/* Whether `text` is the next field that `b` is held against. */
static inline void keybuf_meet_field(struct keybuf *b, const char *text)
{
	const char *next = b->held + b->len;
	size_t left = b->size - b->len;
	size_t n = left > 0 ? (unsigned char)*next : 0;

	if (n == KEYBUF_LONG) {
		n = strnlen(next + 1, left - 1) + 1;
	}
	if (n >= left || (n == 0) != (text == NULL) ||
	    (text != NULL && (next[n] != '\0' || strcmp(next + 1, text) != 0))) {
		keybuf_differs(b);
		return;
	}
	b->len += 1 + n;
}

/* The text with its NUL; NULL is told apart from "". */
static inline void keybuf_field(struct keybuf *b, const char *text)
{
	size_t n;
	unsigned char length;

	if (b->held != NULL) {
		keybuf_meet_field(b, text);
		return;
	}
	n = text != NULL ? strlen(text) + 1 : 0;
	length = n < KEYBUF_LONG ? (unsigned char)n : KEYBUF_LONG;
	keybuf_bytes(b, &length, 1);
	if (text != NULL) {
		keybuf_bytes(b, text, n);
	}
}

void keybuf_text(struct keybuf *b, const char *text);

/* Overwrites everything, for there may have been a password in it, and frees. */
void keybuf_wipe(struct keybuf *b);

#endif
