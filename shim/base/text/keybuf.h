/* SPDX-License-Identifier: PostgreSQL */
/*
 * Bytes of any length put together in memory that grows: keys and connection
 * strings. It starts in a buffer of the caller's, so that the common case allocates
 * nothing. Out of memory is remembered in `failed`; test it once at the end.
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
	bool owned; /* data was malloc'ed */
};

/* Starts empty in `buf` (`size` > 0), which stays the caller's. */
void keybuf_init(struct keybuf *b, char *buf, size_t size);

/* Room for `n` bytes more; false: there is none to be had. */
COLD bool keybuf_make_room(struct keybuf *b, size_t n);

static inline void keybuf_bytes(struct keybuf *b, const void *bytes, size_t n)
{
	if (n <= b->size - b->len || keybuf_make_room(b, n)) {
		memcpy(b->data + b->len, bytes, n);
		b->len += n;
	}
}

/* The text with its NUL; NULL is told apart from "". */
static inline void keybuf_field(struct keybuf *b, const char *text)
{
	keybuf_bytes(b, text != NULL ? "=" : "", 1);
	if (text != NULL) {
		keybuf_bytes(b, text, strlen(text) + 1);
	}
}

void keybuf_text(struct keybuf *b, const char *text);

/* Overwrites everything, for there may have been a password in it, and frees. */
void keybuf_wipe(struct keybuf *b);

#endif
