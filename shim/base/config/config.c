/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the PQPOOL_* variables into one constant struct.
 *
 * config.def is included for two tables, row by row the same: the public one, and the one of
 * the members of struct config with the rules for their values.
 */
#include "base/config/config.h"

#include <errno.h>
#include <string.h>

#include "base/config/value.h"
#include "base/text/logfmt.h"

#define PREFIX "PQPOOL_"

/* Until the log is known. */
#define LEVEL_UNSET (LEVEL_DEBUG + 1)

#define COMPLAINT_MAX 1024
#define SHOWN_BYTES   80 /* of a value or name in a complaint */
#define NAME_MATRIX   32 /* no name of ours is longer, and none resembles a longer one */

/* Words are stored into enum members as int. */
_Static_assert(sizeof(enum config_profile) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_pre_ping) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_reset) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_order) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_report) == sizeof(int), "enum of another size");
_Static_assert(sizeof(enum config_level) == sizeof(int), "enum of another size");

/* A text that fills its array has no NUL, and the compiler accepts that. */
#define FITS(text, member) (sizeof(text) <= sizeof(((struct config_variable *)0)->member))

#define VARIABLE(key, its_name, rule, usual, dev, test, prod, must_be, help)                   \
	_Static_assert(FITS(its_name, name) && FITS(usual, fallback) &&                        \
	                       FITS(dev, by_profile[0]) && FITS(test, by_profile[0]) &&        \
	                       FITS(prod, by_profile[0]) && FITS(must_be, allowed) &&          \
	                       FITS(help, meaning),                                            \
	               "no room in struct config_variable for " its_name);
#include "base/config/config.def"
#undef VARIABLE

#define VARIABLE(member, name, rule, fallback, dev, test, prod, allowed, meaning)              \
	{name, fallback, {"", dev, test, prod}, allowed, meaning},
static const struct config_variable variables[] = {
#include "base/config/config.def"
};
#undef VARIABLE

#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

const struct config_variable *config_variables(size_t *count)
{
	*count = VARIABLES;
	return variables;
}

/* ---- showing values ---- */

/* Escaped, and cut where it would make a complaint unreadable. */
static void add_shown(struct strbuf *t, const char *s, size_t n)
{
	size_t shown = n;

	if (n > SHOWN_BYTES) {
		shown = SHOWN_BYTES;
		while (shown > 0 && ((unsigned char)s[shown] & 0xc0) == 0x80) {
			shown--; /* not inside a UTF-8 character */
		}
	}
	logfmt_bytes(t, s, shown);
	if (shown < n) {
		strbuf_str(t, "...");
	}
}

/* ---- understanding values ---- */

#define NUMBER(lo, hi)  .kind = VALUE_NUMBER, .min = (lo), .max = (hi)
#define PERCENT         .kind = VALUE_PERCENT, .min = 0, .max = 100
#define DURATION(lo)    .kind = VALUE_DURATION, .min = (lo), .max = TIME_LIMIT_MS
#define SECONDS(lo, hi) .kind = VALUE_SECONDS, .min = (lo), .max = (hi)
#define SIZE            .kind = VALUE_SIZE, .min = 0, .max = SIZE_LIMIT_BYTES
#define WORD(...)       .kind = VALUE_WORD, .words = {__VA_ARGS__}
#define FLAG            .kind = VALUE_FLAG
#define TEXT            .kind = VALUE_TEXT
#define GLOBS           .kind = VALUE_GLOBS
#define ROUTE           .kind = VALUE_ROUTE
#define SHARE           .kind = VALUE_SHARE
#define LOG             .kind = VALUE_LOG

#define VARIABLE(member, name, rule, fallback, dev, test, prod, allowed, meaning)              \
	{{rule}, offsetof(struct config, member), #member},
static const struct {
	struct value_rule rule;
	size_t offset; /* of the member in struct config */
	char key[24];  /* its name */
} members[] = {
#include "base/config/config.def"
};
#undef VARIABLE

static void *member_of(struct config *config, size_t i)
{
	return (char *)config + members[i].offset;
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
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	strbuf_str(&t, "pqpool: ");
	strbuf_str(&t, name);
	strbuf_str(&t, "=\"");
	add_shown(&t, value, strlen(value));
	strbuf_str(&t, "\": must be ");
	strbuf_str(&t, must);
	strbuf_str(&t, CONFIG_UNPOOLED);
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

static unsigned char least(unsigned a, unsigned b)
{
	return (unsigned char)(a < b ? a : b);
}

/* Changes, insertions, deletions and swaps of neighbours that turn `a` into `b`. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned char d[NAME_MATRIX + 1][NAME_MATRIX + 1];

	for (size_t i = 0; i <= a_len; i++) {
		for (size_t j = 0; j <= b_len; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = (unsigned char)(i + j);
				continue;
			}
			d[i][j] = (unsigned char)(d[i - 1][j - 1] +
			                          (upper(a[i - 1]) != b[j - 1]));
			d[i][j] = least(d[i][j], least(d[i - 1][j], d[i][j - 1]) + 1U);
			if (i > 1 && j > 1 && upper(a[i - 1]) == b[j - 2] &&
			    upper(a[i - 2]) == b[j - 1]) {
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1U);
			}
		}
	}
	return d[a_len][b_len];
}

/*
 * NULL if every variable differs from `name` by more than a third.
 * With a frame of its own: where stacks are protected (-fstack-protector), what is inlined does
 * not share the room of its arrays with its caller's.
 */
static __attribute__((noinline)) const char *nearest_name(const char *name, size_t len)
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
		size_t distance =
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
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	strbuf_str(&t, "pqpool: ");
	add_shown(&t, name, len);
	strbuf_str(&t, " is not a variable of pqpool; ");
	if (nearest != NULL) {
		strbuf_str(&t, "did you mean ");
		strbuf_str(&t, nearest);
		strbuf_char(&t, '?');
	} else {
		strbuf_str(&t, "see pqpool run --help");
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

/* Collects the variables that are set; of a duplicate the first, as getenv(3). */
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
		if (i < VARIABLES && values[i] == NULL) {
			values[i] = name + len + 1;
		} else if (i == VARIABLES && strncmp(name, CONFIG_WITNESS "=", len + 1) != 0) {
			complain_unknown(to, name, len);
		}
	}
}

/* The value of a variable that is not set itself. */
static void set_default(struct config *config, size_t i)
{
	const char *value = variables[i].by_profile[config->profile];

	if (value[0] == '\0') {
		value = variables[i].fallback;
	}
	if (value[0] != '\0') {
		value_parse(&members[i].rule, value, member_of(config, i));
	}
}

static void set_explicit(struct config *config, size_t i, const char *value,
                         struct complaints *to)
{
	void *member = member_of(config, i);
	char *copy;

	if (!value_parse(&members[i].rule, value, member)) {
		complain_bad(to, variables[i].name, value, variables[i].allowed);
		return;
	}
	if (!value_is_text(members[i].rule.kind)) {
		return;
	}
	/* The program may change its environment. */
	copy = strdup(value);
	*(const char **)member = copy;
	if (copy == NULL) {
		complain_memory(to);
		set_default(config, i);
	}
}

/* Rules that concern more than one variable. */
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

bool config_wants_program(const struct config *config, const char *program)
{
	const char *slash = strrchr(program, '/');
	int saved_errno = errno;
	bool wanted = !config->disable;

	if (slash != NULL) {
		program = slash + 1;
	}
	if (wanted && config->only != NULL) {
		wanted = value_matches_globs(config->only, program);
	}
	if (wanted && config->skip != NULL) {
		wanted = !value_matches_globs(config->skip, program);
	}
	errno = saved_errno;
	return wanted;
}

void config_describe(const struct config *config, struct strbuf *t)
{
	bool first = true;

	for (size_t i = 0; i < VARIABLES; i++) {
		const struct value_rule *rule = &members[i].rule;
		const char *member = (const char *)config + members[i].offset;

		if (value_is_text(rule->kind) && *(const char *const *)member == NULL) {
			continue; /* unset */
		}
		if (!first) {
			strbuf_char(t, ' ');
		}
		first = false;
		strbuf_str(t, members[i].key);
		strbuf_char(t, '=');
		value_describe(rule, member, t);
	}
}
