/* SPDX-License-Identifier: PostgreSQL */
/*
 * The PQPOOL_* variables as anybody may set them, and the patterns in them. Input: a program's
 * name, then the variables, each by a number of its row (or with a name of its own) and a
 * value; each ends with a NUL.
 */
#include <errno.h>
#include <string.h>

#include "base/config/config.h"
#include "base/text/glob.h"
#include "bytes.h"

#define VARIABLES_MAX 16
#define OF_NO_ROW     0xff

/* The configuration's copies, which it never frees. */
static char *copies[VARIABLES_MAX];
static size_t copied;

/* Takes the place of the C library's in this program. */
char *strdup(const char *s)
{
	size_t size = strlen(s) + 1;

	require(copied < VARIABLES_MAX);
	copies[copied] = malloc(size);
	require(copies[copied] != NULL);
	return memcpy(copies[copied++], s, size);
}

static unsigned complaints;

static void hear(void *arg, const char *line)
{
	(void)arg;
	require(strncmp(line, "pqpool: ", 8) == 0 && strchr(line, '\n') == NULL);
	complaints++;
}

/* Up to a NUL, which is left out of it. */
static char *take_text(struct bytes *b)
{
	size_t n = strnlen((const char *)b->at, b->left);
	struct bytes taken = take_bytes(b, n);
	char *text = calloc(n + 1, 1);

	require(text != NULL);
	memcpy(text, taken.at, n);
	take_byte(b);
	return text;
}

static char *take_variable(struct bytes *b)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);
	uint8_t row = take_byte(b);
	char *value = take_text(b);
	char *variable;

	if (row == OF_NO_ROW) {
		return value;
	}
	variable = calloc(sizeof(rows->name) + strlen(value) + 2, 1);
	require(variable != NULL);
	strcpy(variable, rows[row % count].name);
	strcat(variable, "=");
	strcat(variable, value);
	free(value);
	return variable;
}

/* As it is defined, without a thought for speed. */
static bool fits(const char *pattern, const char *text, size_t len)
{
	if (*pattern == '*') {
		return fits(pattern + 1, text, len) ||
		       (len > 0 && fits(pattern, text + 1, len - 1));
	}
	if (len == 0) {
		return *pattern == '\0';
	}
	return (*pattern == '?' || *pattern == *text) && *pattern != '\0' &&
	       fits(pattern + 1, text + 1, len - 1);
}

static void compare_globs(const char *pattern, const char *text)
{
	char short_one[9] = "";
	size_t len = strnlen(text, 16);

	strncat(short_one, pattern, sizeof(short_one) - 1);
	require(glob_matches(short_one, text, len) == fits(short_one, text, len));
}

/* What is good is said again in other words, and then means the same. */
static void require_described(const struct config *config)
{
	char described[8192];
	struct strbuf t;

	strbuf_init(&t, described, sizeof(described));
	config_describe(config, &t);
	require(strlen(described) == t.len && strchr(described, '\n') == NULL);
	require(config->size >= 0 && config->max_overflow >= CONFIG_NO_LIMIT);
	require(config->ping_query != NULL && config->log != NULL && config->share != NULL);
	require(config->stack_depth >= 0 && config->stack_depth <= 64);
	require(config->profile != PROFILE_PROD || config->pre_ping != PRE_PING_OFF);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	char *program = take_text(&b);
	char *variables[VARIABLES_MAX + 1] = {NULL};
	size_t count = 0;
	struct config config;
	bool good;

	while (b.left > 0 && count < VARIABLES_MAX) {
		variables[count++] = take_variable(&b);
	}
	complaints = 0;
	errno = EXDEV;
	good = config_load(&config, variables, hear, NULL);
	require(errno == EXDEV && (good || complaints > 0));
	require_described(&config);
	config_wants_program(&config, program);
	for (size_t i = 0; i < count; i++) {
		compare_globs(variables[i], program);
		free(variables[i]);
	}
	while (copied > 0) {
		free(copies[--copied]);
	}
	free(program);
	return 0;
}
