/* SPDX-License-Identifier: PostgreSQL */
/*
 * Parses and shows the value of a PQPOOL_ variable, by a rule.
 *
 * Not by strtod(3), which follows the program's locale, nor strtol(3), which accepts blanks
 * and signs. No locks, no memory; errno is kept.
 */
#ifndef PQPOOL_BASE_CONFIG_VALUE_H
#define PQPOOL_BASE_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text/strbuf.h"

/* "-1": no limit, never. Accepted if the rule's minimum is this. */
#define VALUE_NO_LIMIT (-1)

/* In nanoseconds this still fits an int64_t. */
#define TIME_LIMIT    "1000000h"
#define TIME_LIMIT_MS (INT64_C(1000000) * 3600 * 1000)

#define SIZE_LIMIT       "1024GB"
#define SIZE_LIMIT_BYTES (INT64_C(1024) << 30)

/* The type of a member: an int64_t up to VALUE_SIZE. */
enum value_kind {
	VALUE_NUMBER,
	VALUE_PERCENT,  /* "80", "80%" */
	VALUE_DURATION, /* in milliseconds: "1.5", "500ms", "2min", plain seconds */
	VALUE_SECONDS,  /* a time in whole seconds */
	VALUE_SIZE,     /* in bytes: "64kB", "1.5GB"; plain is 0 only */
	VALUE_WORD,     /* one of `words`: an int, or an enum */
	VALUE_FLAG,     /* on or off: a bool */
	VALUE_TEXT,     /* this and the ones below: a pointer to the value itself */
	VALUE_GLOBS,    /* separated by commas */
	VALUE_ROUTE,    /* host[:port] */
	VALUE_SHARE,    /* on, off or a path */
	VALUE_LOG,      /* a file name with %p, %n, %h */
};

#define VALUE_WORDS_MAX  9
#define VALUE_WORD_BYTES 12

struct value_word {
	char name[VALUE_WORD_BYTES];
	int value;
};

struct value_rule {
	enum value_kind kind;
	int64_t min;
	int64_t max;
	struct value_word words[VALUE_WORDS_MAX]; /* ended by an empty name if there is room */
};

/* True if a member of this kind points to the value, which may have to be copied. */
bool value_is_text(enum value_kind kind);

/* Stores `value` in `member`; false, and nothing is stored, if it is bad. */
bool value_parse(const struct value_rule *rule, const char *value, void *member);

/* Shows a member, for logfmt. */
void value_describe(const struct value_rule *rule, const void *member, struct strbuf *t);

/* True if one of the comma-separated globs matches. */
bool value_matches_globs(const char *globs, const char *name);

#endif
