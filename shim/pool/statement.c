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

#include "pool/sqltext.h"

enum verb {
	VERB_OTHER, /* no effect but by functions */
	VERB_ALTER,
	VERB_CREATE,
	VERB_DROP,
	VERB_GRANT,
	VERB_LOAD,
	VERB_REASSIGN,
	VERB_SET
};

struct word {
	const char *text;
	size_t len;
	bool quoted; /* "name": never a key word */
};

struct scan {
	const char *at;
	unsigned effects;

	/* of the statement being read */
	enum verb verb;
	unsigned words; /* so far; counted no further than they matter */
	bool of_user;   /* DROP USER, ALTER USER */
	bool of_scope;  /* SET SESSION, SET LOCAL */
	bool after_on;  /* the word before was ON */

	/* of the whole text */
	bool names_set_config;
	bool names_seed; /* in a string, as set_config() wants it */
};

/* ---- what is quoted ---- */

/* Behind a '...' that opened just before `at`, with a backslash taking the next byte along. */
static const char *skip_escaped(const char *at)
{
	for (; *at != '\0'; at++) {
		if (at[0] == '\\' && at[1] != '\0') {
			at++;
		} else if (at[0] == '\'' && at[1] == '\'') {
			at++;
		} else if (at[0] == '\'') {
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

		at = skip_escaped(at);
		next = sql_skip_spaces(at);
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

	if (sql_begins_word(*at)) {
		while (sql_continues_word(*at) && *at != '$') {
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

/* `name` in lower case; `text` in any. */
static bool equal(const char *text, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '\0' || sql_lower(text[i]) != name[i]) {
			return false;
		}
	}
	return name[len] == '\0';
}

static bool is(const struct word *word, const char *keyword)
{
	return !word->quoted && equal(word->text, word->len, keyword);
}

#define KEYWORD_BYTES 12

/* The list ends with an empty one. */
static bool is_one_of(const struct word *word, const char keywords[][KEYWORD_BYTES])
{
	while (keywords[0][0] != '\0' && !is(word, keywords[0])) {
		keywords++;
	}
	return keywords[0][0] != '\0';
}

static const struct {
	char name[40];
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
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (equal(word->text, word->len, functions[i].name)) {
			return functions[i].effect;
		}
	}
	return 0;
}

/* ---- statements ---- */

/* The kind of a statement that may yet turn out to have an effect. */
static enum verb verb_of(const struct word *word)
{
	static const struct {
		char keyword[KEYWORD_BYTES];
		enum verb verb;
	} verbs[] = {
		{"alter", VERB_ALTER},  {"create", VERB_CREATE}, {"drop", VERB_DROP},
		{"grant", VERB_GRANT},  {"load", VERB_LOAD},     {"reassign", VERB_REASSIGN},
		{"revoke", VERB_GRANT}, {"set", VERB_SET},
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (is(word, verbs[i].keyword)) {
			return verbs[i].verb;
		}
	}
	return VERB_OTHER;
}

/* What it is done to, where that is all one has to know. */
static bool alters(enum verb verb, const struct word *object)
{
	static const char dropped[][KEYWORD_BYTES] = {"database", "role", "group", "owned", ""};
	static const char altered[][KEYWORD_BYTES] = {"database", "role", "group", "system",
	                                              ""};

	switch (verb) {
	case VERB_DROP:
		return is_one_of(object, dropped);
	case VERB_ALTER:
		return is_one_of(object, altered);
	case VERB_CREATE:
		/* Its template must have no session; a new role is no matter to anybody. */
		return is(object, "database");
	case VERB_REASSIGN:
		return is(object, "owned");
	default:
		return false;
	}
}

/* The setting whose assignment is setseed(). */
static bool names_seed(const struct word *word)
{
	return equal(word->text, word->len, "seed");
}

static void note_second_word(struct scan *scan, const struct word *word)
{
	bool drops_or_alters = scan->verb == VERB_DROP || scan->verb == VERB_ALTER;

	if (alters(scan->verb, word)) {
		scan->effects |= STATEMENT_ALTERS;
	}
	scan->of_user = drops_or_alters && is(word, "user");
	if (scan->verb == VERB_SET && names_seed(word)) {
		scan->effects |= STATEMENT_SEEDS;
	}
	scan->of_scope = scan->verb == VERB_SET && (is(word, "session") || is(word, "local"));
}

static void note_third_word(struct scan *scan, const struct word *word)
{
	/* DROP USER MAPPING is about foreign servers. */
	if (scan->of_user && !is(word, "mapping")) {
		scan->effects |= STATEMENT_ALTERS;
	}
	if (scan->of_scope && names_seed(word)) {
		scan->effects |= STATEMENT_SEEDS;
	}
}

/* GRANT or REVOKE ... ON DATABASE: who may connect. */
static void note_granted(struct scan *scan, const struct word *word)
{
	if (scan->after_on && is(word, "database")) {
		scan->effects |= STATEMENT_ALTERS;
	}
	scan->after_on = is(word, "on");
}

static void note_function(struct scan *scan, const struct word *word)
{
	scan->effects |= effect_of_function(word);
	if (equal(word->text, word->len, "set_config")) {
		scan->names_set_config = true;
	}
}

static void note_head(struct scan *scan, const struct word *word)
{
	scan->words++;
	if (scan->words == 1) {
		scan->verb = verb_of(word);
		scan->effects |= scan->verb == VERB_LOAD ? STATEMENT_LOADS : 0;
	} else if (scan->verb == VERB_GRANT) {
		note_granted(scan, word);
	} else if (scan->words == 2) {
		note_second_word(scan, word);
	} else if (scan->words == 3) {
		note_third_word(scan, word);
	}
}

static void note_word(struct scan *scan, const struct word *word)
{
	char initial = sql_lower(word->text[0]);

	if (scan->words == 0 || scan->verb != VERB_OTHER) {
		note_head(scan, word);
	}
	/* The shortest of them, and how each of them begins. */
	if (word->len >= strlen("setseed") && (initial == 's' || initial == 'p')) {
		note_function(scan, word);
	}
}

/* '...', whose opening quote is at scan->at. */
static void read_string(struct scan *scan)
{
	const char *text = scan->at + 1;

	scan->at = sql_skip_quoted(text, '\'');
	if (scan->at - text == sizeof("seed'") - 1 && equal(text, 4, "seed")) {
		scan->names_seed = true;
	}
}

static void read_quoted_word(struct scan *scan)
{
	struct word word = {.text = scan->at + 1, .quoted = true};

	scan->at = sql_skip_quoted(word.text, '"');
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

	while (sql_continues_word(*scan->at)) {
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
	while (sql_continues_word(*scan->at)) {
		scan->at++;
	}
}

static void end_statement(struct scan *scan)
{
	scan->words = 0;
	scan->of_user = false;
	scan->of_scope = false;
	scan->after_on = false;
	scan->at++;
}

static void read_next(struct scan *scan)
{
	const char *at = scan->at;

	if (sql_begins_word(*at)) {
		read_word(scan);
	} else if (sql_is_digit(*at)) {
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
		scan->at = sql_skip_line(at);
	} else if (at[0] == '/' && at[1] == '*') {
		scan->at = sql_skip_block_comment(at);
	} else {
		scan->at = sql_skip_spaces(at + 1);
	}
}

unsigned statement_effects(const char *text)
{
	struct scan scan;

	if (text == NULL) {
		return 0;
	}
	scan = (struct scan){.at = text};
	while (*scan.at != '\0') {
		read_next(&scan);
	}
	if (scan.names_set_config && scan.names_seed) {
		scan.effects |= STATEMENT_SEEDS;
	}
	return scan.effects;
}
