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

struct blob {
	char *data;
	size_t len;
	size_t size;
	bool failed;
	bool owned; /* data was malloc'ed */
};

/* Starts empty in `buf` (`size` > 0), which stays the caller's. */
void blob_init(struct blob *b, char *buf, size_t size);

void blob_bytes(struct blob *b, const void *bytes, size_t n);
/* The text with its NUL; NULL is told apart from "". */
void blob_field(struct blob *b, const char *text);
void blob_text(struct blob *b, const char *text);

/* Overwrites everything, for there may have been a password in it, and frees. */
void blob_wipe(struct blob *b);

#endif
