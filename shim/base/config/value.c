/* SPDX-License-Identifier: PostgreSQL */
/* Parses and shows the value of a PQPOOL_ variable, by a rule. */
#include "base/config/value.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <string.h>

#include "base/text/logfmt.h"

/* What fits into the address of a Unix socket. */
#define SHARE_PATH_MAX 107

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

struct unit {
	char name[4];
	int64_t factor; /* 0: only for the number 0 */
};

static const struct unit time_units[] = {{"", 1000},     {"s", 1000},    {"ms", 1},
                                         {"min", 60000}, {"h", 3600000}, {.factor = -1}};

/* A unit is asked for, because a plain number means another one in each of PostgreSQL's
 * variables. */
static const struct unit size_units[] = {{"", 0},         {"B", 1},        {"kB", 1 << 10},
                                         {"MB", 1 << 20}, {"GB", 1 << 30}, {.factor = -1}};

/* Reads "1.5GB". Rounds up, as a tiny value must not become 0, which means "off". */
static bool read_measure(const char *value, const struct unit *units, int64_t limit,
                         int64_t *result)
{
	int64_t whole;
	int64_t billionths;

	if (!read_digits(&value, &whole) || !read_fraction(&value, &billionths)) {
		return false;
	}
	while (units->factor >= 0 && strcmp(units->name, value) != 0) {
		units++;
	}
	if (units->factor < 0 || (units->factor == 0 && (whole != 0 || billionths != 0)) ||
	    (units->factor > 0 && whole > limit / units->factor)) {
		return false;
	}
	*result = whole * units->factor + (billionths * units->factor + 999999999) / 1000000000;
	return true;
}

static bool read_number(const struct value_rule *rule, const char *value, int64_t *number)
{
	if (rule->min == VALUE_NO_LIMIT && strcmp(value, "-1") == 0) {
		*number = VALUE_NO_LIMIT;
		return true;
	}
	switch (rule->kind) {
	case VALUE_DURATION:
		return read_measure(value, time_units, TIME_LIMIT_MS, number);
	case VALUE_SECONDS:
		if (!read_measure(value, time_units, TIME_LIMIT_MS, number) ||
		    *number % 1000 != 0) {
			return false;
		}
		*number /= 1000;
		return true;
	case VALUE_SIZE:
		return read_measure(value, size_units, SIZE_LIMIT_BYTES, number);
	default:
		if (!read_digits(&value, number)) {
			return false;
		}
		value += rule->kind == VALUE_PERCENT && *value == '%';
		return *value == '\0';
	}
}

static bool parse_number(const struct value_rule *rule, const char *value, int64_t *member)
{
	int64_t number;

	if (!read_number(rule, value, &number) || number < rule->min || number > rule->max) {
		return false;
	}
	*member = number;
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

static bool parse_word(const struct value_rule *rule, const char *value, int *member)
{
	const struct value_word *word = find_word(rule->words, VALUE_WORDS_MAX, value);

	if (word != NULL) {
		*member = word->value;
	}
	return word != NULL;
}

static bool parse_flag(const char *value, bool *member)
{
	static const struct value_word flags[] = {{"on", 1},    {"off", 0}, {"true", 1},
	                                          {"false", 0}, {"yes", 1}, {"no", 0},
	                                          {"1", 1},     {"0", 0}};
	const struct value_word *word =
		find_word(flags, sizeof(flags) / sizeof(flags[0]), value);

	if (word != NULL) {
		*member = word->value != 0;
	}
	return word != NULL;
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

static bool is_share(const char *value)
{
	return strcmp(value, "on") == 0 || strcmp(value, "off") == 0 ||
	       (value[0] == '/' && strlen(value) <= SHARE_PATH_MAX);
}

static bool parse_text(const struct value_rule *rule, const char *value, const char **member)
{
	if ((rule->kind == VALUE_GLOBS && !are_globs(value)) ||
	    (rule->kind == VALUE_ROUTE && !is_route(value)) ||
	    (rule->kind == VALUE_SHARE && !is_share(value)) ||
	    (rule->kind == VALUE_LOG && !is_log(value))) {
		return false;
	}
	*member = value;
	return true;
}

bool value_is_text(enum value_kind kind)
{
	return kind >= VALUE_TEXT;
}

bool value_parse(const struct value_rule *rule, const char *value, void *member)
{
	if (value_is_text(rule->kind)) {
		return parse_text(rule, value, member);
	}
	if (rule->kind == VALUE_WORD) {
		return parse_word(rule, value, member);
	}
	return rule->kind == VALUE_FLAG ? parse_flag(value, member)
	                                : parse_number(rule, value, member);
}

static const char *word_for(const struct value_rule *rule, int value)
{
	const struct value_word *words = rule->words;

	for (size_t i = 0; i < VALUE_WORDS_MAX && words[i].name[0] != '\0'; i++) {
		if (words[i].value == value) {
			return words[i].name;
		}
	}
	return "none";
}

void value_describe(const struct value_rule *rule, const void *member, struct strbuf *t)
{
	if (value_is_text(rule->kind)) {
		logfmt_value(t, *(const char *const *)member);
	} else if (rule->kind == VALUE_WORD) {
		strbuf_str(t, word_for(rule, *(const int *)member));
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
