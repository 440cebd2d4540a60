/* SPDX-License-Identifier: PostgreSQL */
/*
 * Text put together in a buffer of fixed size, without stdio and without malloc.
 *
 * stdio is not ours to use inside somebody else's process: it may allocate, take
 * the program's stream locks, follow its locale. What does not fit is cut off and
 * remembered in `cut`; the buffer always ends with a NUL.
 */
#ifndef PQPOOL_BASE_TEXT_STRBUF_H
#define PQPOOL_BASE_TEXT_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *buf;
	size_t size; /* of buf, at least 1 */
	size_t len;  /* without the NUL */
	bool cut;    /* something did not fit */
};

/* Starts an empty text in `buf`, which stays the caller's. */
void text_init(struct text *t, char *buf, size_t size);

void text_char(struct text *t, char c);
void text_bytes(struct text *t, const char *s, size_t n);
/* NULL adds nothing. */
void text_str(struct text *t, const char *s);
void text_u64(struct text *t, uint64_t v);
void text_i64(struct text *t, int64_t v);
/* Lower-case hexadecimal after "0x". */
void text_hex(struct text *t, uint64_t v);
/* "1 place", "2 places". */
void text_count(struct text *t, uint64_t n, const char *noun);
/* A span of time for people: "850 us", "12.3 ms", "4.0 s". */
void text_span(struct text *t, uint64_t ns);

/*
 * Where up to `n` bytes may be put by hand, which text_until then makes part of the text;
 * NULL if they do not fit, or something before them did not.
 */
static inline char *text_room(const struct text *t, size_t n)
{
	return !t->cut && n < t->size - t->len ? t->buf + t->len : NULL;
}

static inline void text_until(struct text *t, char *end)
{
	t->len = (size_t)(end - t->buf);
	*end = '\0';
}

/*
 * Writes the whole text to `fd`, going on after EINTR and short writes; false if the
 * rest could not be written. `fd` may be a pipe that is full: that is waited for no longer than
 * `patience_ns` in all, and not at all where the text before this one was given up. Only a
 * regular file's file system may block it. `fd` may be a pipe nobody reads any more: the
 * program must not die of a SIGPIPE that it did not cause. If it had one pending already, that
 * one stays pending. errno is kept.
 */
bool text_print(const struct text *t, int fd, uint64_t patience_ns);

/* How long who reads our stderr is waited for. */
#define TEXT_PATIENCE_NS UINT64_C(250000000)

#endif
