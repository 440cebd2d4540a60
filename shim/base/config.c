/* SPDX-License-Identifier: PostgreSQL */
/*
 * The PQPOOL_* variables, read once into one constant struct.
 *
 * config.def is included twice: for the table that everybody may read, and for the
 * rules by which values are understood, row by row the same. A rule is a parser, a
 * describer and the place of the member in struct config.
 *
 * strtod(3) follows the program's locale, so numbers with decimals are read by hand;
 * all others, too, because strtol(3) accepts blanks and signs nobody meant.
 *
 * Locks: none; called once, under the caller's. No stdio; errno is kept.
 */
#include "base/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#define PREFIX "PQPOOL_"

/* In nanoseconds this still fits an int64_t. */
#define TIME_LIMIT    "1000000h"
#define TIME_LIMIT_MS (INT64_C(1000000) * 3600 * 1000)

/* Until the log is known. */
#define LEVEL_UNSET (LEVEL_DEBUG + 1)

#define COMPLAINT_MAX 1024
#define SHOWN_BYTES   80 /* of a value or name in a complaint */
#define GLOB_MAX      255
#define NAME_MATRIX   32 /* names longer than this resemble none of ours */

struct word {
	const char *name;
	int value;
};

struct rule {
	/* Understands `value` and stores it in `member`; false, and nothing stored, if bad. */
	bool (*parse)(const struct rule *rule, const char *value, void *member);
	void (*describe)(const struct rule *rule, const void *member, struct text *t);
	const struct word *words; /* of WORD, ended by a NULL name */
	int64_t min;
	int64_t max;
	bool text;     /* the member points to the value: it has to be copied */
	size_t offset; /* of the member in struct config */
	const char *key;
};

/* Words are stored into enum members as int. */
_Static_assert(sizeof(enum config_profile) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_pre_ping) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_reset) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_order) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_level) == sizeof(int), "enum of another size");

#define VARIABLE(member, name, rule, fallback, dev, test, prod, allowed, meaning)              \
	{name, fallback, {NULL, dev, test, prod}, allowed, meaning},
static const struct config_variable variables[] = {
#include "base/config.def"
};
#undef VARIABLE

#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

const struct config_variable *config_variables(size_t *count)
{
	*count = VARIABLES;
	return variables;
}

/* ---- showing values ---- */

static void add_escaped(struct text *t, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\') {
			text_char(t, '\\');
			text_char(t, (char)c);
		} else if (c == '\n') {
			text_str(t, "\\n");
		} else if (c == '\t') {
			text_str(t, "\\t");
		} else if (c < 0x20 || c == 0x7f) {
			text_str(t, "\\x");
			text_char(t, hex[c >> 4]);
			text_char(t, hex[c & 0xf]);
		} else {
			text_char(t, (char)c);
		}
	}
}

/* Escaped, and cut where it would make a complaint unreadable. */
static void add_shown(struct text *t, const char *s, size_t n)
{
	size_t shown = n;

	if (n > SHOWN_BYTES) {
		shown = SHOWN_BYTES;
		while (shown > 0 && ((unsigned char)s[shown] & 0xc0) == 0x80) {
			shown--; /* not inside a UTF-8 character */
		}
	}
	add_escaped(t, s, shown);
	if (shown < n) {
		text_str(t, "...");
	}
}

static void add_logfmt(struct text *t, const char *value)
{
	bool quote = value[0] == '\0';

	for (const char *p = value; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		quote = quote || c <= ' ' || c == 0x7f || strchr("\"\\=", c) != NULL;
	}
	if (!quote) {
		text_str(t, value);
		return;
	}
	text_char(t, '"');
	add_escaped(t, value, strlen(value));
	text_char(t, '"');
}

/* ---- rules ---- */

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

static int64_t unit_ms(const char *suffix)
{
	static const struct word units[] = {
		{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(suffix, units[i].name) == 0) {
			return units[i].value;
		}
	}
	return 0;
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

static bool store_number(const struct rule *rule, int64_t v, void *member)
{
	if (v < rule->min || v > rule->max) {
		return false;
	}
	*(int64_t *)member = v;
	return true;
}

static bool is_no_limit(const struct rule *rule, const char *value)
{
	return rule->min == CONFIG_NO_LIMIT && strcmp(value, "-1") == 0;
}

static bool parse_number(const struct rule *rule, const char *value, void *member)
{
	int64_t v;

	if (is_no_limit(rule, value)) {
		return store_number(rule, CONFIG_NO_LIMIT, member);
	}
	return read_digits(&value, &v) && *value == '\0' && store_number(rule, v, member);
}

static bool parse_duration(const struct rule *rule, const char *value, void *member)
{
	int64_t ms;

	if (is_no_limit(rule, value)) {
		return store_number(rule, CONFIG_NO_LIMIT, member);
	}
	return read_time_ms(value, &ms) && store_number(rule, ms, member);
}

static bool parse_seconds(const struct rule *rule, const char *value, void *member)
{
	int64_t ms;

	return read_time_ms(value, &ms) && ms % 1000 == 0 &&
	       store_number(rule, ms / 1000, member);
}

static const struct word *find_word(const struct word *words, const char *name)
{
	while (words->name != NULL && strcmp(words->name, name) != 0) {
		words++;
	}
	return words->name != NULL ? words : NULL;
}

static bool parse_word(const struct rule *rule, const char *value, void *member)
{
	const struct word *word = find_word(rule->words, value);

	if (word == NULL) {
		return false;
	}
	memcpy(member, &word->value, sizeof(word->value));
	return true;
}

static bool parse_flag(const struct rule *rule, const char *value, void *member)
{
	const struct word *word = find_word(rule->words, value);

	if (word == NULL) {
		return false;
	}
	*(bool *)member = word->value != 0;
	return true;
}

static bool parse_text(const struct rule *rule, const char *value, void *member)
{
	(void)rule;
	*(const char **)member = value;
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

static bool parse_globs(const struct rule *rule, const char *value, void *member)
{
	const char *rest = value;
	const char *glob;
	size_t len;
	bool any = false;

	while (next_glob(&rest, &glob, &len)) {
		if (len > GLOB_MAX) {
			return false;
		}
		any = true;
	}
	return any && parse_text(rule, value, member);
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

static bool parse_route(const struct rule *rule, const char *value, void *member)
{
	size_t host = strcspn(value, ":");
	bool good;

	for (const char *p = value; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c <= ' ' || c == 0x7f || strchr("'\"`\\,", c) != NULL) {
			return false;
		}
	}
	if (value[0] == '[') {
		good = is_bracketed(value);
	} else {
		good = host > 0 && is_port(value + host);
	}
	return good && parse_text(rule, value, member);
}

static bool parse_log(const struct rule *rule, const char *value, void *member)
{
	for (const char *p = strchr(value, '%'); p != NULL; p = strchr(p + 2, '%')) {
		if (p[1] == '\0' || strchr("pnh%", p[1]) == NULL) {
			return false;
		}
	}
	return parse_text(rule, value, member);
}

static void describe_number(const struct rule *rule, const void *member, struct text *t)
{
	(void)rule;
	text_i64(t, *(const int64_t *)member);
}

static void describe_word(const struct rule *rule, const void *member, struct text *t)
{
	const struct word *word = rule->words;
	int value;

	memcpy(&value, member, sizeof(value));
	while (word->name != NULL && word->value != value) {
		word++;
	}
	text_str(t, word->name != NULL ? word->name : "none");
}

static void describe_flag(const struct rule *rule, const void *member, struct text *t)
{
	(void)rule;
	text_str(t, *(const bool *)member ? "on" : "off");
}

static void describe_text(const struct rule *rule, const void *member, struct text *t)
{
	(void)rule;
	add_logfmt(t, *(const char *const *)member);
}

static const struct word flag_words[] = {{"on", 1},    {"off", 0}, {"true", 1},
					 {"false", 0}, {"yes", 1}, {"no", 0},
					 {"1", 1},     {"0", 0},   {NULL, 0}};

#define NUMBER(lo, hi)                                                                         \
	.parse = parse_number, .describe = describe_number, .min = (lo), .max = (hi)
#define DURATION(lo)                                                                           \
	.parse = parse_duration, .describe = describe_number, .min = (lo), .max = TIME_LIMIT_MS
#define SECONDS(lo, hi)                                                                        \
	.parse = parse_seconds, .describe = describe_number, .min = (lo), .max = (hi)
#define WORD(...)                                                                              \
	.parse = parse_word, .describe = describe_word, .words = (const struct word[])         \
	{                                                                                      \
		__VA_ARGS__,                                                                   \
		{                                                                              \
			NULL, 0                                                                \
		}                                                                              \
	}
#define FLAG  .parse = parse_flag, .describe = describe_flag, .words = flag_words
#define TEXT  .parse = parse_text, .describe = describe_text, .text = true
#define GLOBS .parse = parse_globs, .describe = describe_text, .text = true
#define ROUTE .parse = parse_route, .describe = describe_text, .text = true
#define LOG   .parse = parse_log, .describe = describe_text, .text = true
#define VARIABLE(member, name, rule, fallback, dev, test, prod, allowed, meaning)              \
	{rule, .offset = offsetof(struct config, member), .key = #member},
static const struct rule rules[] = {
#include "base/config.def"
};
#undef VARIABLE

static void *member_of(struct config *config, const struct rule *rule)
{
	return (char *)config + rule->offset;
}

/* ---- complaints ---- */

struct complaints {
	config_complain *complain;
	void *arg;
	bool unpooled;
};

static void complain_bad(struct complaints *to, const char *name, const char *value,
			 const char *must)
{
	char buf[COMPLAINT_MAX];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_str(&t, "pqpool: ");
	text_str(&t, name);
	text_str(&t, "=\"");
	add_shown(&t, value, strlen(value));
	text_str(&t, "\": must be ");
	text_str(&t, must);
	text_str(&t, CONFIG_UNPOOLED);
	to->complain(to->arg, buf);
	to->unpooled = true;
}

static void complain_memory(struct complaints *to)
{
	to->complain(to->arg, "pqpool: out of memory" CONFIG_UNPOOLED);
	to->unpooled = true;
}

/* toupper(3) follows the program's locale. */
static int upper(int c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Changes, insertions, deletions and swaps of neighbours that turn `a` into `b`. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t d[NAME_MATRIX + 1][NAME_MATRIX + 1];

	for (size_t i = 0; i <= a_len; i++) {
		for (size_t j = 0; j <= b_len; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = d[i - 1][j - 1] + (upper(a[i - 1]) != b[j - 1]);
			d[i][j] = least(d[i][j], least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && upper(a[i - 1]) == b[j - 2] &&
			    upper(a[i - 2]) == b[j - 1]) {
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
			}
		}
	}
	return d[a_len][b_len];
}

/* NULL if every variable differs from `name` by more than a third. */
static const char *nearest_name(const char *name, size_t len)
{
	size_t skip = strlen(PREFIX);
	size_t limit = (len - skip) / 3 + 1;
	const char *nearest = NULL;

	if (len > NAME_MATRIX) {
		return NULL;
	}
	for (size_t i = 0; i < VARIABLES; i++) {
		const char *known = variables[i].name;
		size_t known_len = strlen(known);
		size_t distance;

		if (known_len > NAME_MATRIX) {
			continue;
		}
		distance =
			edit_distance(name + skip, len - skip, known + skip, known_len - skip);
		if (distance < limit) {
			nearest = known;
			limit = distance;
		}
	}
	return nearest;
}

static void complain_unknown(struct complaints *to, const char *name, size_t len)
{
	const char *nearest = nearest_name(name, len);
	char buf[COMPLAINT_MAX];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_str(&t, "pqpool: ");
	add_shown(&t, name, len);
	text_str(&t, " is not a variable of pqpool; ");
	if (nearest != NULL) {
		text_str(&t, "did you mean ");
		text_str(&t, nearest);
		text_char(&t, '?');
	} else {
		text_str(&t, "see pqpool run --help");
	}
	to->complain(to->arg, buf);
}

/* ---- loading ---- */

static size_t find_variable(const char *name, size_t len)
{
	size_t i = 0;

	while (i < VARIABLES &&
	       (strncmp(variables[i].name, name, len) != 0 || variables[i].name[len] != '\0')) {
		i++;
	}
	return i;
}

/* Notes what is set; of a name that stands there twice the first, as getenv(3). */
static void collect(char *const *environ_block, const char **values, struct complaints *to)
{
	for (; *environ_block != NULL; environ_block++) {
		const char *name = *environ_block;
		size_t len;
		size_t i;

		if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) {
			continue;
		}
		len = strcspn(name, "=");
		if (name[len] == '\0' || name[len + 1] == '\0') {
			continue; /* empty counts as unset */
		}
		i = find_variable(name, len);
		if (i == VARIABLES) {
			complain_unknown(to, name, len);
		} else if (values[i] == NULL) {
			values[i] = name + len + 1;
		}
	}
}

/* The value of a variable that is not set itself. */
static void set_default(struct config *config, size_t i)
{
	const char *value = variables[i].by_profile[config->profile];

	if (value == NULL) {
		value = variables[i].fallback;
	}
	if (value[0] != '\0') {
		rules[i].parse(&rules[i], value, member_of(config, &rules[i]));
	}
}

static void set_explicit(struct config *config, size_t i, const char *value,
			 struct complaints *to)
{
	void *member = member_of(config, &rules[i]);
	char *copy;

	if (!rules[i].parse(&rules[i], value, member)) {
		complain_bad(to, variables[i].name, value, variables[i].allowed);
		return;
	}
	if (!rules[i].text) {
		return;
	}
	/* The program may change its environment under our feet. */
	copy = strdup(value);
	*(const char **)member = copy;
	if (copy == NULL) {
		complain_memory(to);
		set_default(config, i);
	}
}

/* What no row can say, because it depends on more than one of them. */
static void settle(struct config *config, struct complaints *to)
{
	if (config->ping_query == NULL) {
		config->ping_query = "";
	}
	if (config->log_level == LEVEL_UNSET) {
		bool file = strcmp(config->log, "stderr") != 0 &&
			    strcmp(config->log, "syslog") != 0;

		config->log_level = file ? LEVEL_INFO : LEVEL_WARNING;
	}
	if (config->profile == PROFILE_PROD && config->pre_ping == PRE_PING_OFF) {
		complain_bad(to, "PQPOOL_PRE_PING", "off",
			     "on or auto with PQPOOL_PROFILE=prod, which lends no session "
			     "that may be dead");
		config->pre_ping = PRE_PING_ON;
	}
}

bool config_load(struct config *config, char *const *environ_block, config_complain *complain,
		 void *arg)
{
	struct complaints to = {.complain = complain, .arg = arg};
	const char *values[VARIABLES] = {NULL};
	int saved_errno = errno;

	*config = (struct config){.log_level = LEVEL_UNSET};
	collect(environ_block, values, &to);
	for (size_t i = 0; i < VARIABLES; i++) {
		set_default(config, i);
		if (values[i] != NULL) {
			set_explicit(config, i, values[i], &to);
		}
	}
	settle(config, &to);
	errno = saved_errno;
	return !to.unpooled;
}

/* ---- asking ---- */

static bool matches_any(const char *globs, const char *program)
{
	const char *glob;
	size_t len;

	while (next_glob(&globs, &glob, &len)) {
		char pattern[GLOB_MAX + 1];

		memcpy(pattern, glob, len);
		pattern[len] = '\0';
		if (fnmatch(pattern, program, 0) == 0) {
			return true;
		}
	}
	return false;
}

bool config_wants_program(const struct config *config, const char *program)
{
	const char *slash = strrchr(program, '/');
	int saved_errno = errno;
	bool wanted = !config->disable;

	if (slash != NULL) {
		program = slash + 1;
	}
	if (wanted && config->only != NULL) {
		wanted = matches_any(config->only, program);
	}
	if (wanted && config->skip != NULL) {
		wanted = !matches_any(config->skip, program);
	}
	errno = saved_errno;
	return wanted;
}

void config_describe(const struct config *config, struct text *t)
{
	bool first = true;

	for (size_t i = 0; i < VARIABLES; i++) {
		const char *member = (const char *)config + rules[i].offset;

		if (rules[i].text && *(const char *const *)member == NULL) {
			continue; /* unset */
		}
		if (!first) {
			text_char(t, ' ');
		}
		first = false;
		text_str(t, rules[i].key);
		text_char(t, '=');
		rules[i].describe(&rules[i], member, t);
	}
}
