/* SPDX-License-Identifier: PostgreSQL */
/* One value of a variable: understood by a rule, stored, and shown again. */
#include "base/config/value.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <string.h>

#include "base/text/logfmt.h"

#define GLOB_MAX  255
#define ROUTE_MAX 255 /* longer than any host's name, and any socket's folder */

/* Reads digits and moves `*s` behind them; false if there are none or too many. */
static bool read_digits(const char **s, int64_t *value)
{
	const char *p = *s;
	int64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > (INT64_MAX - 9) / 10) {
			return false;
		}
		v = v * 10 + (*p - '0');
	}
	if (p == *s) {
		return false;
	}
	*s = p;
	*value = v;
	return true;
}

/* Reads ".5" as billionths, rounded up; no point is no billionths. */
static bool read_fraction(const char **s, int64_t *billionths)
{
	int64_t weight = 100000000;
	bool more = false;
	const char *p = *s;

	*billionths = 0;
	if (*p != '.') {
		return true;
	}
	for (p++; *p >= '0' && *p <= '9'; p++) {
		*billionths += weight * (*p - '0');
		more = more || (weight == 0 && *p != '0');
		weight /= 10;
	}
	*billionths += more;
	if (p == *s + 1) {
		return false;
	}
	*s = p;
	return true;
}

/* The words may end before the last one, by an empty name; that is none of them. */
static const struct value_word *find_word(const struct value_word *words, size_t count,
                                          const char *name)
{
	for (size_t i = 0; i < count && words[i].name[0] != '\0'; i++) {
		if (strcmp(words[i].name, name) == 0) {
			return &words[i];
		}
	}
	return NULL;
}

static int64_t unit_ms(const char *suffix)
{
	static const struct value_word units[] = {
		{"s", 1000}, {"ms", 1}, {"min", 60000}, {"h", 3600000}};
	const struct value_word *unit =
		find_word(units, sizeof(units) / sizeof(units[0]), suffix);

	if (suffix[0] == '\0') {
		return 1000;
	}
	return unit != NULL ? unit->value : 0;
}

/* Rounds up to whole milliseconds: a tiny value must not become 0, which means "off". */
static bool read_time_ms(const char *value, int64_t *ms)
{
	const char *p = value;
	int64_t whole;
	int64_t billionths;
	int64_t unit;

	if (!read_digits(&p, &whole) || !read_fraction(&p, &billionths)) {
		return false;
	}
	unit = unit_ms(p);
	if (unit == 0 || whole > TIME_LIMIT_MS / unit) {
		return false;
	}
	*ms = whole * unit + (billionths * unit + 999999999) / 1000000000;
	return true;
}

static int64_t unit_bytes(const char *suffix)
{
	static const char units[][3] = {"B", "kB", "MB", "GB"};
	int64_t bytes = 1;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++, bytes *= 1024) {
		if (strcmp(suffix, units[i]) == 0) {
			return bytes;
		}
	}
	return 0;
}

/*
 * Rounded up to whole bytes. A unit is asked for, because a plain number means something
 * else in each of PostgreSQL's variables; only 0 is the same in all of them.
 */
static bool read_bytes(const char *value, int64_t *bytes)
{
	const char *p = value;
	int64_t whole;
	int64_t billionths;
	int64_t unit;

	if (!read_digits(&p, &whole) || !read_fraction(&p, &billionths)) {
		return false;
	}
	unit = unit_bytes(p);
	if (unit == 0 && *p == '\0' && whole == 0 && billionths == 0) {
		unit = 1;
	}
	if (unit == 0 || whole > SIZE_LIMIT_BYTES / unit) {
		return false;
	}
	*bytes = whole * unit + (billionths * unit + 999999999) / 1000000000;
	return true;
}

static bool store_number(const struct value_rule *rule, int64_t v, void *member)
{
	if (v < rule->min || v > rule->max) {
		return false;
	}
	*(int64_t *)member = v;
	return true;
}

static bool is_no_limit(const struct value_rule *rule, const char *value)
{
	return rule->min == VALUE_NO_LIMIT && strcmp(value, "-1") == 0;
}

static bool parse_number(const struct value_rule *rule, const char *value, void *member)
{
	int64_t v;

	if (is_no_limit(rule, value)) {
		return store_number(rule, VALUE_NO_LIMIT, member);
	}
	return read_digits(&value, &v) && *value == '\0' && store_number(rule, v, member);
}

static bool parse_percent(const struct value_rule *rule, const char *value, void *member)
{
	int64_t v;

	if (!read_digits(&value, &v)) {
		return false;
	}
	value += *value == '%';
	return *value == '\0' && store_number(rule, v, member);
}

static bool parse_duration(const struct value_rule *rule, const char *value, void *member)
{
	int64_t ms;

	if (is_no_limit(rule, value)) {
		return store_number(rule, VALUE_NO_LIMIT, member);
	}
	return read_time_ms(value, &ms) && store_number(rule, ms, member);
}

static bool parse_size(const struct value_rule *rule, const char *value, void *member)
{
	int64_t bytes;

	return read_bytes(value, &bytes) && store_number(rule, bytes, member);
}

static bool parse_seconds(const struct value_rule *rule, const char *value, void *member)
{
	int64_t ms;

	return read_time_ms(value, &ms) && ms % 1000 == 0 &&
	       store_number(rule, ms / 1000, member);
}

static bool parse_word(const struct value_rule *rule, const char *value, void *member)
{
	const struct value_word *word = find_word(rule->words, VALUE_WORDS_MAX, value);

	if (word == NULL) {
		return false;
	}
	memcpy(member, &word->value, sizeof(word->value));
	return true;
}

static bool parse_flag(const char *value, void *member)
{
	static const struct value_word flags[] = {{"on", 1},    {"off", 0}, {"true", 1},
	                                          {"false", 0}, {"yes", 1}, {"no", 0},
	                                          {"1", 1},     {"0", 0}};
	const struct value_word *word =
		find_word(flags, sizeof(flags) / sizeof(flags[0]), value);

	if (word == NULL) {
		return false;
	}
	*(bool *)member = word->value != 0;
	return true;
}

/* The next glob of a comma-separated list, blanks around it left out; false at its end. */
static bool next_glob(const char **list, const char **glob, size_t *len)
{
	while (**list != '\0') {
		size_t item = strcspn(*list, ",");
		const char *s = *list;

		*list += item + (s[item] == ',');
		while (item > 0 && *s == ' ') {
			s++;
			item--;
		}
		while (item > 0 && s[item - 1] == ' ') {
			item--;
		}
		if (item > 0) {
			*glob = s;
			*len = item;
			return true;
		}
	}
	return false;
}

static bool are_globs(const char *value)
{
	const char *glob;
	size_t len;
	bool any = false;

	while (next_glob(&value, &glob, &len)) {
		if (len > GLOB_MAX) {
			return false;
		}
		any = true;
	}
	return any;
}

/* Either nothing or ":1" to ":65535". */
static bool is_port(const char *s)
{
	int64_t port;

	if (*s == '\0') {
		return true;
	}
	if (*s++ != ':') {
		return false;
	}
	return read_digits(&s, &port) && *s == '\0' && port >= 1 && port <= 65535;
}

/* "[::1]" or "[fe80::1%eth0]", then perhaps a port. */
static bool is_bracketed(const char *value)
{
	size_t len = strcspn(value, "]");
	size_t address = strcspn(value, "%]") - 1;
	char buf[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (value[len] == '\0' || address >= sizeof(buf)) {
		return false;
	}
	memcpy(buf, value + 1, address);
	buf[address] = '\0';
	return inet_pton(AF_INET6, buf, &in6) == 1 && is_port(value + len + 1);
}

static bool is_route(const char *value)
{
	size_t host = strcspn(value, ":");

	if (strlen(value) > ROUTE_MAX) {
		return false;
	}
	for (const char *p = value; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c <= ' ' || c == 0x7f || strchr("'\"`\\,", c) != NULL) {
			return false;
		}
	}
	if (value[0] == '[') {
		return is_bracketed(value);
	}
	return host > 0 && is_port(value + host);
}

static bool is_log(const char *value)
{
	for (const char *p = strchr(value, '%'); p != NULL; p = strchr(p + 2, '%')) {
		if (p[1] == '\0' || strchr("pnh%", p[1]) == NULL) {
			return false;
		}
	}
	return true;
}

static bool parse_text(const struct value_rule *rule, const char *value, const char **member)
{
	bool good = true;

	if (rule->kind == VALUE_GLOBS) {
		good = are_globs(value);
	} else if (rule->kind == VALUE_ROUTE) {
		good = is_route(value);
	} else if (rule->kind == VALUE_LOG) {
		good = is_log(value);
	}
	if (good) {
		*member = value;
	}
	return good;
}

bool value_is_text(enum value_kind kind)
{
	return kind >= VALUE_TEXT;
}

bool value_parse(const struct value_rule *rule, const char *value, void *member)
{
	switch (rule->kind) {
	case VALUE_NUMBER:
		return parse_number(rule, value, member);
	case VALUE_PERCENT:
		return parse_percent(rule, value, member);
	case VALUE_DURATION:
		return parse_duration(rule, value, member);
	case VALUE_SECONDS:
		return parse_seconds(rule, value, member);
	case VALUE_SIZE:
		return parse_size(rule, value, member);
	case VALUE_WORD:
		return parse_word(rule, value, member);
	case VALUE_FLAG:
		return parse_flag(value, member);
	case VALUE_TEXT:
	case VALUE_GLOBS:
	case VALUE_ROUTE:
	case VALUE_LOG:
		break;
	}
	return parse_text(rule, value, member);
}

static const char *word_for(const struct value_rule *rule, const void *member)
{
	int value;

	memcpy(&value, member, sizeof(value));
	for (size_t i = 0; i < VALUE_WORDS_MAX && rule->words[i].name[0] != '\0'; i++) {
		if (rule->words[i].value == value) {
			return rule->words[i].name;
		}
	}
	return "none";
}

void value_describe(const struct value_rule *rule, const void *member, struct strbuf *t)
{
	if (value_is_text(rule->kind)) {
		logfmt_value(t, *(const char *const *)member);
	} else if (rule->kind == VALUE_WORD) {
		strbuf_str(t, word_for(rule, member));
	} else if (rule->kind == VALUE_FLAG) {
		strbuf_str(t, *(const bool *)member ? "on" : "off");
	} else {
		strbuf_i64(t, *(const int64_t *)member);
	}
}

bool value_matches_globs(const char *globs, const char *name)
{
	const char *glob;
	size_t len;

	while (next_glob(&globs, &glob, &len)) {
		char pattern[GLOB_MAX + 1];

		memcpy(pattern, glob, len);
		pattern[len] = '\0';
		if (fnmatch(pattern, name, 0) == 0) {
			return true;
		}
	}
	return false;
}
