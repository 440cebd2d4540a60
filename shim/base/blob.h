/* SPDX-License-Identifier: PostgreSQL */
/*
 * Bytes of any length put together in memory that grows: keys and connection
 * strings. It starts in a buffer of the caller's, so that the common case allocates
 * nothing. Out of memory is remembered in `failed`; test it once at the end.
 */
#ifndef PQPOOL_BASE_BLOB_H
#define PQPOOL_BASE_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct blob {
	char *data;
	size_t len;
	size_t size;
	bool failed;
	bool owned; /* data was malloc'ed */
};

/* Starts empty in `buf` (`size` > 0), which stays the caller's. */
void blob_init(struct blob *b, char *buf, size_t size);

/* Room for `n` bytes more; false: there is none to be had. */
bool blob_make_room(struct blob *b, size_t n);

static inline void blob_bytes(struct blob *b, const void *bytes, size_t n)
{
	if (n <= b->size - b->len || blob_make_room(b, n)) {
		memcpy(b->data + b->len, bytes, n);
		b->len += n;
	}
}

/* The text with its NUL; NULL is told apart from "". */
static inline void blob_field(struct blob *b, const char *text)
{
	size_t n = text != NULL ? strlen(text) + 1 : 0;

	if (n >= b->size - b->len && !blob_make_room(b, n + 1)) {
		return;
	}
	b->data[b->len++] = text != NULL ? '\2' : '\1';
	if (text != NULL) {
		memcpy(b->data + b->len, text, n);
		b->len += n;
	}
}

void blob_text(struct blob *b, const char *text);

/* Overwrites everything, for there may have been a password in it, and frees. */
void blob_wipe(struct blob *b);

#endif
