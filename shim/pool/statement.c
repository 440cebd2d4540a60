/* SPDX-License-Identifier: PostgreSQL */
/*
 * What SQL text does that outlasts DISCARD ALL, or reaches beyond its own session.
 *
 * A scanner as PostgreSQL's own (scan.l), reduced to what tells words from everything in
 * which words do not count.
 */
#include "pool/statement.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The words of a statement that its kind is told by. */
#define HEAD_WORDS 3

struct word {
	const char *text;
	size_t len;
	bool quoted; /* "name": never a key word, and not folded to lower case */
};

struct scan {
	const char *at;
	unsigned effects;
	struct word head[HEAD_WORDS]; /* of the statement being read */
	unsigned words;               /* of it, so far */
	bool after_on;                /* the word before was ON */
	bool names_set_config;
	bool names_seed; /* in a string, as set_config() wants it */
};

/* ---- what separates words ---- */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Of an identifier; every byte above ASCII counts as a letter. */
static bool begins_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static bool continues_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static const char *skip_spaces(const char *at)
{
	while (is_space(*at)) {
		at++;
	}
	return at;
}

/* Behind a comment that begins at `at`; comments nest. */
static const char *skip_block_comment(const char *at)
{
	size_t depth = 0;

	while (*at != '\0') {
		if (at[0] == '/' && at[1] == '*') {
			depth++;
			at += 2;
		} else if (at[0] == '*' && at[1] == '/') {
			at += 2;
			if (--depth == 0) {
				break;
			}
		} else {
			at++;
		}
	}
	return at;
}

static const char *skip_line(const char *at)
{
	return at + strcspn(at, "\r\n");
}

/* ---- what is quoted ---- */

/*
 * Behind the closing quote of what opened just before `at`. A doubled quote is part of the
 * text, and with `escapes` so is one behind a backslash.
 */
static const char *skip_quoted(const char *at, char quote, bool escapes)
{
	for (; *at != '\0'; at++) {
		if (escapes && at[0] == '\\' && at[1] != '\0') {
			at++;
		} else if (at[0] == quote && at[1] == quote) {
			at++;
		} else if (at[0] == quote) {
			return at + 1;
		}
	}
	return at;
}

/* E'...', which goes on with the next string if only a line end is between the two. */
static const char *skip_escape_string(const char *at)
{
	for (;;) {
		const char *next;

		at = skip_quoted(at, '\'', true);
		next = skip_spaces(at);
		if (*next != '\'' || memchr(at, '\n', (size_t)(next - at)) == NULL) {
			return at;
		}
		at = next + 1;
	}
}

/* Behind the $tag$ that closes what the one at `at` opens; or behind the dollar alone. */
static const char *skip_dollar_quoted(const char *at)
{
	const char *tag = at++;
	size_t len;

	if (begins_word(*at)) {
		while (continues_word(*at) && *at != '$') {
			at++;
		}
	}
	if (*at != '$') {
		return tag + 1;
	}
	len = (size_t)(++at - tag);
	while ((at = strchr(at, '$')) != NULL) {
		if (strncmp(at, tag, len) == 0) {
			return at + len;
		}
		at++;
	}
	return tag + strlen(tag);
}

/* ---- words ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool equal(const char *text, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '\0' || lower(text[i]) != name[i]) {
			return false;
		}
	}
	return name[len] == '\0';
}

static bool is(const struct word *word, const char *keyword)
{
	return !word->quoted && equal(word->text, word->len, keyword);
}

static bool is_one_of(const struct word *word, const char *const *keywords)
{
	while (*keywords != NULL && !is(word, *keywords)) {
		keywords++;
	}
	return *keywords != NULL;
}

static const struct {
	const char *name;
	enum statement_effect effect;
} functions[] = {
	{"setseed", STATEMENT_SEEDS},
	{"pg_reload_conf", STATEMENT_ALTERS},
	{"pg_create_physical_replication_slot", STATEMENT_MAKES_SLOT},
	{"pg_create_logical_replication_slot", STATEMENT_MAKES_SLOT},
	{"pg_copy_physical_replication_slot", STATEMENT_MAKES_SLOT},
	{"pg_copy_logical_replication_slot", STATEMENT_MAKES_SLOT},
};

static unsigned effect_of_function(const struct word *word)
{
	if (word->len < strlen("setseed") || strchr("sSpP", word->text[0]) == NULL) {
		return 0;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (equal(word->text, word->len, functions[i].name)) {
			return functions[i].effect;
		}
	}
	return 0;
}

/* ---- statements ---- */

static bool alters(const struct word *verb, const struct word *object)
{
	static const char *const dropped[] = {"database", "role",  "user",
	                                      "group",    "owned", NULL};
	static const char *const altered[] = {"database", "role",   "user",
	                                      "group",    "system", NULL};

	if (is(verb, "drop")) {
		return is_one_of(object, dropped);
	}
	if (is(verb, "alter")) {
		return is_one_of(object, altered);
	}
	/* Its template must have no session; a new role is no matter to anybody. */
	return (is(verb, "create") && is(object, "database")) ||
	       (is(verb, "reassign") && is(object, "owned"));
}

/* The setting whose assignment is setseed(). */
static bool names_seed(const struct word *word)
{
	return equal(word->text, word->len, "seed");
}

/* By its first words, of which the last has just been read. */
static unsigned effect_of_head(const struct word *head, unsigned words)
{
	static const char *const scopes[] = {"session", "local", NULL};

	if (words == 1) {
		return is(&head[0], "load") ? STATEMENT_LOADS : 0;
	}
	if (words == 2) {
		if (is(&head[0], "set") && names_seed(&head[1])) {
			return STATEMENT_SEEDS;
		}
		/* DROP USER may yet become DROP USER MAPPING, which is about foreign servers.
		 */
		return alters(&head[0], &head[1]) && !is(&head[1], "user") ? STATEMENT_ALTERS
		                                                           : 0;
	}
	if (is(&head[0], "set") && is_one_of(&head[1], scopes) && names_seed(&head[2])) {
		return STATEMENT_SEEDS;
	}
	return alters(&head[0], &head[1]) && is(&head[1], "user") && !is(&head[2], "mapping")
	               ? STATEMENT_ALTERS
	               : 0;
}

/* GRANT or REVOKE ... ON DATABASE: who may connect. */
static bool grants(const struct scan *scan, const struct word *word)
{
	return scan->after_on && is(word, "database") &&
	       (is(&scan->head[0], "grant") || is(&scan->head[0], "revoke"));
}

static void note_word(struct scan *scan, const struct word *word)
{
	if (scan->words < HEAD_WORDS) {
		scan->head[scan->words++] = *word;
		scan->effects |= effect_of_head(scan->head, scan->words);
	} else if (grants(scan, word)) {
		scan->effects |= STATEMENT_ALTERS;
	}
	scan->after_on = is(word, "on");
	scan->effects |= effect_of_function(word);
	if (equal(word->text, word->len, "set_config")) {
		scan->names_set_config = true;
	}
}

/* '...', whose opening quote is at scan->at. */
static void read_string(struct scan *scan)
{
	const char *text = scan->at + 1;

	scan->at = skip_quoted(text, '\'', false);
	if (scan->at - text == sizeof("seed'") - 1 && equal(text, 4, "seed")) {
		scan->names_seed = true;
	}
}

static void read_quoted_word(struct scan *scan)
{
	struct word word = {.text = scan->at + 1, .quoted = true};

	scan->at = skip_quoted(word.text, '"', false);
	word.len = (size_t)(scan->at - word.text);
	if (word.len > 0 && scan->at[-1] == '"') {
		word.len--;
	}
	if (word.len > 0) {
		note_word(scan, &word);
	}
}

static void read_word(struct scan *scan)
{
	struct word word = {.text = scan->at};

	while (continues_word(*scan->at)) {
		scan->at++;
	}
	word.len = (size_t)(scan->at - word.text);
	if (*scan->at == '\'' && is(&word, "e")) {
		scan->at = skip_escape_string(scan->at + 1);
	} else {
		note_word(scan, &word);
	}
}

static void read_number(struct scan *scan)
{
	while (continues_word(*scan->at)) {
		scan->at++;
	}
}

static void end_statement(struct scan *scan)
{
	scan->words = 0;
	scan->after_on = false;
	scan->at++;
}

static void read_next(struct scan *scan)
{
	const char *at = scan->at;

	if (begins_word(*at)) {
		read_word(scan);
	} else if (is_digit(*at)) {
		read_number(scan);
	} else if (*at == '\'') {
		read_string(scan);
	} else if (*at == '"') {
		read_quoted_word(scan);
	} else if (*at == '$') {
		scan->at = skip_dollar_quoted(at);
	} else if (*at == ';') {
		end_statement(scan);
	} else if (at[0] == '-' && at[1] == '-') {
		scan->at = skip_line(at);
	} else if (at[0] == '/' && at[1] == '*') {
		scan->at = skip_block_comment(at);
	} else {
		scan->at++;
	}
}

unsigned statement_effects(const char *text)
{
	struct scan scan = {.at = text};

	if (text == NULL) {
		return 0;
	}
	while (*scan.at != '\0') {
		read_next(&scan);
	}
	if (scan.names_set_config && scan.names_seed) {
		scan.effects |= STATEMENT_SEEDS;
	}
	return scan.effects;
}
