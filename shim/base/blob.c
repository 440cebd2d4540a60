/* SPDX-License-Identifier: PostgreSQL */
/* Bytes of any length put together in memory that grows. */
#include "base/blob.h"

#include <stdlib.h>
#include <string.h>

void blob_init(struct blob *b, char *buf, size_t size)
{
	*b = (struct blob){.data = buf, .size = size};
}

/* Moves to memory of twice the size; the old place is wiped, not just freed. */
static bool grow(struct blob *b, size_t needed)
{
	size_t size = b->size * 2;
	struct blob old = *b;
	char *data;

	while (size < needed) {
		size *= 2;
	}
	data = malloc(size);
	if (data == NULL) {
		b->failed = true;
		return false;
	}
	memcpy(data, b->data, b->len);
	blob_wipe(&old);
	b->data = data;
	b->size = size;
	b->owned = true;
	return true;
}

void blob_bytes(struct blob *b, const void *bytes, size_t n)
{
	if (b->failed || n == 0 || (n > b->size - b->len && !grow(b, b->len + n))) {
		return;
	}
	memcpy(b->data + b->len, bytes, n);
	b->len += n;
}

void blob_field(struct blob *b, const char *text)
{
	size_t n;

	if (text == NULL) {
		blob_bytes(b, "\1", 1);
		return;
	}
	n = strlen(text) + 1;
	if (b->failed || (n + 1 > b->size - b->len && !grow(b, b->len + n + 1))) {
		return;
	}
	b->data[b->len] = '\2';
	memcpy(b->data + b->len + 1, text, n);
	b->len += n + 1;
}

void blob_text(struct blob *b, const char *text)
{
	blob_bytes(b, text, strlen(text));
}

void blob_wipe(struct blob *b)
{
	explicit_bzero(b->data, b->len);
	if (b->owned) {
		free(b->data);
	}
}
