/* SPDX-License-Identifier: PostgreSQL */
/* One line of the log, taken apart: key=value pairs as shim/trace/log/record.h has them. */
#include "common/log/log_line.h"

#include <string.h>
#include <time.h>

static bool is_key_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

/* The value of a hexadecimal digit; -1 if it is none. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Undoes the escape behind the backslash at `from`, one of those that logfmt_byte()
 * writes. Returns what follows it, NULL if it is none.
 */
static char *unescape(char *from, char *to)
{
	switch (from[1]) {
	case '"':
	case '\\':
		*to = from[1];
		return from + 2;
	case 'n':
		*to = '\n';
		return from + 2;
	case 't':
		*to = '\t';
		return from + 2;
	case 'x':
		if (hex_digit(from[2]) < 0 || hex_digit(from[3]) < 0) {
			return NULL;
		}
		*to = (char)(hex_digit(from[2]) * 16 + hex_digit(from[3]));
		return from + 4;
	default:
		return NULL;
	}
}

/* Shortens the quoted value at `at` in place; returns what follows its closing quote. */
static char *quoted_value(char *at)
{
	char *to = at;

	while (*at != '"') {
		if (is_control(*at)) {
			return NULL; /* the NUL at the end of the line, too */
		}
		if (*at == '\\') {
			at = unescape(at, to++);
			if (at == NULL) {
				return NULL;
			}
		} else {
			*to++ = *at++;
		}
	}
	*to = '\0';
	return at + 1;
}

static char *bare_value(char *at)
{
	char *start = at;

	while (*at != ' ' && *at != '\0') {
		if (is_control(*at) || *at == '"' || *at == '=') {
			return NULL;
		}
		at++;
	}
	return at > start ? at : NULL;
}

/* Takes one pair; returns what follows it, NULL if it is none. */
static char *take_pair(struct log_line *line, char *at)
{
	bool quoted;
	char *key = at;
	char *end;

	while (is_key_byte(*at)) {
		at++;
	}
	if (at == key || *at != '=' || line->count == LOG_LINE_PAIRS) {
		return NULL;
	}
	*at++ = '\0';
	quoted = *at == '"';
	line->keys[line->count] = key;
	line->values[line->count] = quoted ? at + 1 : at;
	end = quoted ? quoted_value(at + 1) : bare_value(at);
	if (end == NULL || log_line_get(line, key) != NULL) {
		return NULL;
	}
	line->count++;
	return end;
}

bool log_line_parse(struct log_line *line, char *text)
{
	line->count = 0;
	for (;;) {
		char *end = take_pair(line, text);

		if (end == NULL) {
			return false;
		}
		if (*end == '\0') {
			return true;
		}
		if (*end != ' ') {
			return false;
		}
		*end = '\0';
		text = end + 1;
	}
}

const char *log_line_get(const struct log_line *line, const char *key)
{
	for (size_t i = 0; i < line->count; i++) {
		if (strcmp(line->keys[i], key) == 0) {
			return line->values[i];
		}
	}
	return NULL;
}

/* `*digits` decimal digits at most, at least one; returns what follows them, or NULL. */
static const char *take_number(const char *s, size_t digits, uint64_t *value)
{
	size_t n = 0;

	*value = 0;
	while (n < digits && s[n] >= '0' && s[n] <= '9') {
		uint64_t digit = (uint64_t)(s[n] - '0');

		if (*value > (UINT64_MAX - digit) / 10) {
			return NULL;
		}
		*value = *value * 10 + digit;
		n++;
	}
	return n > 0 ? s + n : NULL;
}

bool log_line_u64(const struct log_line *line, const char *key, uint64_t *value)
{
	const char *s = log_line_get(line, key);
	uint64_t number;

	s = s != NULL ? take_number(s, SIZE_MAX, &number) : NULL;
	if (s == NULL || *s != '\0') {
		return false;
	}
	*value = number;
	return true;
}

bool log_line_i64(const struct log_line *line, const char *key, int64_t *value)
{
	const char *s = log_line_get(line, key);
	bool negative = s != NULL && *s == '-';
	uint64_t size;

	s = s != NULL ? take_number(s + negative, SIZE_MAX, &size) : NULL;
	if (s == NULL || *s != '\0' || size > INT64_MAX) {
		return false;
	}
	*value = negative ? -(int64_t)size : (int64_t)size;
	return true;
}

/* Takes `digits` digits and the byte `end` behind them; NULL is handed on. */
static const char *take_part(const char *s, size_t digits, char end, uint64_t *value)
{
	const char *after = s != NULL ? take_number(s, digits, value) : NULL;

	return after != NULL && after == s + digits && *after == end ? after + 1 : NULL;
}

bool log_line_time_us(const struct log_line *line, uint64_t *us)
{
	const char *s = log_line_get(line, "time");
	uint64_t parts[6];
	uint64_t fraction;
	struct tm tm;
	time_t seconds;

	s = take_part(s, 4, '-', &parts[0]);
	s = take_part(s, 2, '-', &parts[1]);
	s = take_part(s, 2, 'T', &parts[2]);
	s = take_part(s, 2, ':', &parts[3]);
	s = take_part(s, 2, ':', &parts[4]);
	s = take_part(s, 2, '.', &parts[5]);
	s = take_part(s, 6, 'Z', &fraction);
	if (s == NULL || *s != '\0' || parts[0] < 1970) {
		return false;
	}
	tm = (struct tm){.tm_year = (int)parts[0] - 1900,
	                 .tm_mon = (int)parts[1] - 1,
	                 .tm_mday = (int)parts[2],
	                 .tm_hour = (int)parts[3],
	                 .tm_min = (int)parts[4],
	                 .tm_sec = (int)parts[5]};
	seconds = timegm(&tm);
	if (seconds < 0) {
		return false;
	}
	*us = (uint64_t)seconds * 1000000 + fraction;
	return true;
}
