/* SPDX-License-Identifier: PostgreSQL */
/*
 * One value of a variable: understood by a rule, stored, and shown again.
 *
 * Numbers are read by hand: strtod(3) follows the program's locale, and strtol(3) accepts
 * blanks and signs nobody meant. No locks, no memory; errno is kept.
 */
#ifndef PQPOOL_BASE_VALUE_H
#define PQPOOL_BASE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* "-1": no limit, never. Understood where the rule's minimum is this. */
#define VALUE_NO_LIMIT (-1)

/* In nanoseconds this still fits an int64_t. */
#define TIME_LIMIT    "1000000h"
#define TIME_LIMIT_MS (INT64_C(1000000) * 3600 * 1000)

#define SIZE_LIMIT       "1024GB"
#define SIZE_LIMIT_BYTES (INT64_C(1024) << 30)

struct value_word {
	const char *name;
	int value;
};

struct value_rule {
	/* Understands `value` and stores it in `member`; false, and nothing stored, if bad. */
	bool (*parse)(const struct value_rule *rule, const char *value, void *member);
	void (*describe)(const struct value_rule *rule, const void *member, struct text *t);
	const struct value_word *words; /* of WORD, ended by a NULL name */
	int64_t min;
	int64_t max;
	bool text;     /* the member points to the value: it has to be copied */
	size_t offset; /* of the member in struct config */
	const char *key;
};

/*
 * The parsers: percentages ("80", "80%"), numbers, times in milliseconds ("1.5", "500ms",
 * "2min", plain seconds), times in whole seconds, sizes in bytes ("64kB", "1.5GB", plain 0
 * only), words, on or off, texts, comma-separated globs, host[:port], and file names with
 * %p, %n, %h.
 */
bool value_parse_percent(const struct value_rule *rule, const char *value, void *member);
bool value_parse_number(const struct value_rule *rule, const char *value, void *member);
bool value_parse_duration(const struct value_rule *rule, const char *value, void *member);
bool value_parse_size(const struct value_rule *rule, const char *value, void *member);
bool value_parse_seconds(const struct value_rule *rule, const char *value, void *member);
bool value_parse_word(const struct value_rule *rule, const char *value, void *member);
bool value_parse_flag(const struct value_rule *rule, const char *value, void *member);
bool value_parse_text(const struct value_rule *rule, const char *value, void *member);
bool value_parse_globs(const struct value_rule *rule, const char *value, void *member);
bool value_parse_route(const struct value_rule *rule, const char *value, void *member);
bool value_parse_log(const struct value_rule *rule, const char *value, void *member);

/* The describers, for logfmt. */
void value_describe_number(const struct value_rule *rule, const void *member, struct text *t);
void value_describe_word(const struct value_rule *rule, const void *member, struct text *t);
void value_describe_flag(const struct value_rule *rule, const void *member, struct text *t);
void value_describe_text(const struct value_rule *rule, const void *member, struct text *t);

/* True if one of the comma-separated globs matches. */
bool value_matches_globs(const char *globs, const char *name);

#endif
