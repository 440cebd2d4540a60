/* SPDX-License-Identifier: PostgreSQL */
/* The statements that a thread has read last. */
#include "pool/reading.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "pool/harmless.h"
#include "pool/sqltext.h"
#include "pool/statement.h"

/* As many different ones as a transaction of most programs has; longer texts are not kept. */
#define KEPT      8
#define TEXT_SIZE 120

_Static_assert(STATEMENT_ALTERS <= UINT8_MAX / 2, "effects fit into a byte");

struct head {
	struct reading reading;
	bool judged;
	bool utf8;
	uint8_t len; /* 0: none is kept */
};

struct kept {
	struct head head;
	char text[TEXT_SIZE];
};

static _Thread_local struct {
	struct kept texts[KEPT];
	unsigned latest; /* the one that was found or kept last */
	bool busy;       /* what a signal handler reads now is not remembered */
} kept;

/* How many bytes are the same, of `most`. */
static size_t same_bytes(const char *a, const char *b, size_t most)
{
	size_t n = 0;
	uint64_t words[2];

	for (; n + sizeof(words[0]) <= most; n += sizeof(words[0])) {
		memcpy(&words[0], a + n, sizeof(words[0]));
		memcpy(&words[1], b + n, sizeof(words[1]));
		if (words[0] != words[1]) {
			break;
		}
	}
	while (n < most && a[n] == b[n]) {
		n++;
	}
	return n;
}

static size_t digits_at(const char *at)
{
	size_t n = 0;

	while (sql_is_digit(at[n])) {
		n++;
	}
	return n;
}

/* Numbers in which two texts differ are those of nothing else: no part of a word, no $1. */
static bool are_alike(const char *a, size_t a_len, const char *b, size_t b_len)
{
	const char *a_end = a + a_len;
	const char *b_end = b + b_len;
	const char *begin = a;

	for (;;) {
		size_t left = (size_t)(a_end - a < b_end - b ? a_end - a : b_end - b);
		size_t same = same_bytes(a, b, left);
		size_t digits;

		a += same;
		b += same;
		if (a == a_end && b == b_end) {
			return true;
		}
		/* What differs may be the rest of a number. */
		for (; same > 0 && sql_is_digit(a[-1]); same--) {
			a--;
			b--;
		}
		if (a == begin || sql_continues_word(a[-1])) {
			return false;
		}
		digits = digits_at(a);
		a += digits;
		if (digits == 0 || (digits = digits_at(b)) == 0) {
			return false;
		}
		b += digits;
	}
}

static bool is_of(const struct kept *one, const struct head *asked, const char *text)
{
	const struct head *head = &one->head;

	return head->len > 0 && head->judged == asked->judged && head->utf8 == asked->utf8 &&
	       one->text[0] == text[0] && are_alike(one->text, head->len, text, asked->len);
}

/* Most often it is the one before, or the one that came behind that the last time. */
static const struct reading *find(const struct head *asked, const char *text)
{
	for (unsigned i = 0; i < KEPT; i++) {
		unsigned place = (kept.latest + i) % KEPT;

		if (is_of(&kept.texts[place], asked, text)) {
			kept.latest = place;
			return &kept.texts[place].head.reading;
		}
	}
	return NULL;
}

static struct reading read_now(const char *text, bool judged, bool utf8)
{
	return (struct reading){.effects = (uint8_t)statement_effects(text),
	                        .harmless = judged && statement_is_harmless(text, utf8)};
}

/* The reading of a text that is short enough. */
static struct reading recall(struct head *asked, const char *text)
{
	const struct reading *found = find(asked, text);
	struct kept *place;

	if (found != NULL) {
		return *found;
	}
	asked->reading = read_now(text, asked->judged, asked->utf8);
	kept.latest = (kept.latest + 1) % KEPT;
	place = &kept.texts[kept.latest];
	place->head = *asked;
	memcpy(place->text, text, asked->len);
	place->text[asked->len] = '\0';
	return asked->reading;
}

struct reading reading_of(const char *text, bool judged, bool utf8)
{
	size_t len = strnlen(text, TEXT_SIZE);
	struct head asked = {.judged = judged, .utf8 = utf8, .len = (uint8_t)len};
	struct reading reading;

	if (len == TEXT_SIZE || kept.busy) {
		return read_now(text, judged, utf8);
	}
	kept.busy = true;
	atomic_signal_fence(memory_order_seq_cst);
	reading = recall(&asked, text);
	atomic_signal_fence(memory_order_seq_cst);
	kept.busy = false;
	return reading;
}
