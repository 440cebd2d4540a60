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
	VERB_DUE,   /* the statement has not begun */
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
	unsigned effects; /* and SETS */

	/* of the statement being read */
	enum verb verb;
	unsigned words; /* so far, unless the verb is another one */
	bool of_user;   /* DROP USER, ALTER USER */
	bool of_scope;  /* SET SESSION, SET LOCAL */
	bool after_on;  /* the word before was ON */

	/* of the whole text */
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

static inline bool is(const struct word *word, const char *keyword)
{
	return !word->quoted && sql_is(word->text, word->len, keyword);
}

/* set_config() is named, whose effect is that of the setting. */
#define SETS 16U

#define FUNCTION(name, effect) [sizeof(#name) - 1] = {#name, effect}
/* By their length, which no two have in common. */
static const struct {
	char name[40];
	unsigned effect;
} functions[] = {
	FUNCTION(setseed, STATEMENT_SEEDS),
	FUNCTION(set_config, SETS),
	FUNCTION(pg_reload_conf, STATEMENT_ALTERS),
	FUNCTION(pg_create_physical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(pg_create_logical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(pg_copy_physical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(pg_copy_logical_replication_slot, STATEMENT_MAKES_SLOT),
};
#undef FUNCTION

#define LONGEST_FUNCTION (sizeof(functions) / sizeof(functions[0]) - 1)

static inline unsigned effect_of_function(const char *name, size_t len)
{
	if (len > LONGEST_FUNCTION || functions[len].name[0] == '\0' ||
	    !sql_same(name, functions[len].name, len)) {
		return 0;
	}
	return functions[len].effect;
}

/* ---- statements ---- */

/* The kind of a statement that may yet turn out to have an effect. */
static enum verb verb_of(const struct word *word)
{
	return is(word, "alter")      ? VERB_ALTER
	       : is(word, "create")   ? VERB_CREATE
	       : is(word, "drop")     ? VERB_DROP
	       : is(word, "grant")    ? VERB_GRANT
	       : is(word, "load")     ? VERB_LOAD
	       : is(word, "reassign") ? VERB_REASSIGN
	       : is(word, "revoke")   ? VERB_GRANT
	       : is(word, "set")      ? VERB_SET
	                              : VERB_OTHER;
}

/* What it is done to, where that is all one has to know. An event is that of a trigger. */
static bool alters(enum verb verb, const struct word *object)
{
	switch (verb) {
	case VERB_DROP:
		return is(object, "database") || is(object, "role") || is(object, "group") ||
		       is(object, "owned") || is(object, "event");
	case VERB_ALTER:
		return is(object, "database") || is(object, "role") || is(object, "group") ||
		       is(object, "system") || is(object, "event");
	case VERB_CREATE:
		/* Its template must have no session; a new role is no matter to anybody. */
		return is(object, "database") || is(object, "event");
	case VERB_REASSIGN:
		return is(object, "owned");
	default:
		return false;
	}
}

/* The setting whose assignment is setseed(). */
static bool names_seed(const struct word *word)
{
	return sql_is(word->text, word->len, "seed");
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

static void note_head(struct scan *scan, const struct word *word)
{
	if (scan->verb == VERB_DUE) {
		scan->verb = verb_of(word);
		scan->effects |= scan->verb == VERB_LOAD ? STATEMENT_LOADS : 0;
		scan->words = 1;
		return;
	}
	scan->words++;
	if (scan->verb == VERB_GRANT) {
		note_granted(scan, word);
	} else if (scan->words == 2) {
		note_second_word(scan, word);
	} else if (scan->words == 3) {
		note_third_word(scan, word);
	}
}

static inline void note_word(struct scan *scan, const char *text, size_t len, bool quoted)
{
	if (scan->verb != VERB_OTHER) {
		note_head(scan, &(struct word){text, len, quoted});
	}
	/* The shortest of them. */
	if (len >= strlen("setseed")) {
		scan->effects |= effect_of_function(text, len);
	}
}

/* ---- the text: these return what is behind what begins at `at` ---- */

static const char *read_string(struct scan *scan, const char *at)
{
	const char *end = sql_skip_quoted(at + 1, '\'');

	if (end - at == sizeof("'seed'") - 1 && sql_same(at + 1, "seed", 4)) {
		scan->names_seed = true;
	}
	return end;
}

static const char *read_quoted_word(struct scan *scan, const char *at)
{
	const char *text = at + 1;
	const char *end = sql_skip_quoted(text, '"');
	size_t len = (size_t)(end - text);

	if (len > 0 && end[-1] == '"') {
		len--;
	}
	if (len > 0) {
		note_word(scan, text, len, true);
	}
	return end;
}

static const char *read_word(struct scan *scan, const char *at)
{
	const char *end = sql_skip_word(at + 1);
	size_t len = (size_t)(end - at);

	if (*end == '\'' && sql_is(at, len, "e")) {
		return skip_escape_string(end + 1);
	}
	note_word(scan, at, len, false);
	return end;
}

static void end_statement(struct scan *scan)
{
	scan->verb = VERB_DUE;
	scan->of_user = false;
	scan->of_scope = false;
	scan->after_on = false;
}

static void read_all(struct scan *scan, const char *at)
{
	for (;;) {
		/* Most words have one before them. */
		if (*at == ' ') {
			at++;
		}
		if (sql_begins_word(*at)) {
			at = read_word(scan, at);
			continue;
		}
		switch (*at) {
		case '\0':
			return;
		case '0' ... '9':
			at = sql_skip_word(at);
			break;
		case '\'':
			at = read_string(scan, at);
			break;
		case '"':
			at = read_quoted_word(scan, at);
			break;
		case '$':
			at = skip_dollar_quoted(at);
			break;
		case ';':
			end_statement(scan);
			at++;
			break;
		default:
			at = sql_is_comment(at) ? sql_skip_comment(at) : at + 1;
		}
	}
}

unsigned statement_effects(const char *text)
{
	struct scan scan = {0};

	if (text == NULL) {
		return 0;
	}
	read_all(&scan, text);
	if ((scan.effects & SETS) != 0 && scan.names_seed) {
		scan.effects |= STATEMENT_SEEDS;
	}
	return scan.effects & ~SETS;
}
