/* SPDX-License-Identifier: PostgreSQL */
/* Bytes of any length put together in memory that grows. */
#include "base/text/keybuf.h"

#include <stdlib.h>
#include <string.h>

void keybuf_init(struct keybuf *b, char *buf, size_t size)
{
	*b = (struct keybuf){.data = buf, .size = size};
}

/* Moves to memory of twice the size; the old place is wiped, not just freed. */
bool keybuf_make_room(struct keybuf *b, size_t n)
{
	size_t size = b->size * 2;
	struct keybuf old = *b;
	char *data;

	if (b->failed) {
		return false;
	}
	while (size < b->len + n) {
		size *= 2;
	}
	data = malloc(size);
	if (data == NULL) {
		b->failed = true;
		/* So that whoever adds something need not look at anything else. */
		b->size = b->len;
		return false;
	}
	memcpy(data, b->data, b->len);
	keybuf_wipe(&old);
	b->data = data;
	b->size = size;
	b->owned = true;
	return true;
}

void keybuf_text(struct keybuf *b, const char *text)
{
	keybuf_bytes(b, text, strlen(text));
}

void keybuf_wipe(struct keybuf *b)
{
	explicit_bzero(b->data, b->len);
	if (b->owned) {
		free(b->data);
	}
}
