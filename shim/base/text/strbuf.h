/* SPDX-License-Identifier: PostgreSQL */
/*
 * Builds text in a buffer of fixed size, without stdio and without malloc.
 *
 * stdio may allocate, take the program's stream locks and follow its locale. What does not fit
 * is cut off and noted in `cut`; the buffer always ends with a NUL.
 */
#ifndef PQPOOL_BASE_TEXT_STRBUF_H
#define PQPOOL_BASE_TEXT_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
	char *buf;
	size_t size; /* of buf, at least 1 */
	size_t len;  /* without the NUL */
	bool cut;    /* something did not fit */
};

/* Starts an empty text in `buf`, which stays the caller's. */
void strbuf_init(struct strbuf *t, char *buf, size_t size);

void strbuf_char(struct strbuf *t, char c);
void strbuf_bytes(struct strbuf *t, const char *s, size_t n);
/* NULL adds nothing. */
void strbuf_str(struct strbuf *t, const char *s);
void strbuf_u64(struct strbuf *t, uint64_t v);
void strbuf_i64(struct strbuf *t, int64_t v);
/* Lower-case hexadecimal after "0x". */
void strbuf_hex(struct strbuf *t, uint64_t v);
/* "1 place", "2 places". */
void strbuf_count(struct strbuf *t, uint64_t n, const char *noun);
/* A span of time for people: "850 us", "12.3 ms", "4.0 s". */
void strbuf_span(struct strbuf *t, uint64_t ns);

/*
 * Room for the caller to write up to `n` bytes, which strbuf_until then makes part of the
 * text; NULL if they do not fit, or something before them did not.
 */
static inline char *strbuf_room(const struct strbuf *t, size_t n)
{
	return !t->cut && n < t->size - t->len ? t->buf + t->len : NULL;
}

static inline void strbuf_until(struct strbuf *t, char *end)
{
	t->len = (size_t)(end - t->buf);
	*end = '\0';
}

/*
 * Writes the whole text to `fd`, continuing after EINTR and short writes; false if the rest
 * could not be written. A full pipe, socket or terminal is waited for at most `patience_ns` in
 * all, and not at all if the text before this one was given up; only a regular file's file
 * system may block it. A pipe without a reader does not kill the program: the SIGPIPE is taken
 * back, unless one was pending before. errno is kept.
 */
bool strbuf_print(const struct strbuf *t, int fd, uint64_t patience_ns);

/* The usual patience for stderr. */
#define STRBUF_PATIENCE_NS UINT64_C(250000000)

#endif
