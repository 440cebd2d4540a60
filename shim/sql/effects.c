/* SPDX-License-Identifier: PostgreSQL */
/*
 * What SQL text does that outlasts DISCARD ALL, or reaches beyond its own session: a scanner as
 * PostgreSQL's own (scan.l), reduced to telling words from everything else.
 */
#include "sql/effects.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sql/lexer.h"

enum verb {
	VERB_DUE,   /* the statement has not begun */
	VERB_OTHER, /* no effect but by functions */
	VERB_ALTER,
	VERB_CREATE,
	VERB_DO,
	VERB_DROP,
	VERB_GRANT,
	VERB_LOAD,
	VERB_REASSIGN,
	VERB_SET /* and RESET */
};

struct word {
	const char *text;
	size_t len;
	const char *end; /* where the text goes on */
	bool quoted;     /* "name": never a key word */
};

struct scan {
	unsigned effects;

	/* of the statement being read */
	enum verb verb;
	unsigned words; /* so far, unless the verb is another one */
	bool of_user;   /* DROP USER, ALTER USER */
	bool after_on;  /* the word before was ON */
	bool sets;      /* the name of a setting is due */
};

/* ---- what is quoted ---- */

/* Behind a '...' that opened just before `at`, with a backslash taking the next byte along. */
static const char *skip_escaped(const char *at)
{
	for (; *at != '\0'; at++) {
		if ((at[0] == '\\' && at[1] != '\0') || (at[0] == '\'' && at[1] == '\'')) {
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

/* set_config(), whose effect is that of the setting. */
#define SETS 256U

#define LONGEST_FUNCTION              35
#define OF_A_LENGTH                   3
#define FUNCTION(place, name, effect) [sizeof(#name) - 1][place] = {#name, effect}
/* By length; known by their names, qualified or not, and some by their schema's name. */
static const struct {
	const char *name;
	unsigned effect;
} functions[LONGEST_FUNCTION + 1][OF_A_LENGTH] = {
	FUNCTION(0, setseed, STATEMENT_SEEDS),
	FUNCTION(0, pg_reload_conf, STATEMENT_ALTERS),
	FUNCTION(0, pg_create_physical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(0, pg_create_logical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(0, pg_copy_physical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(0, pg_copy_logical_replication_slot, STATEMENT_MAKES_SLOT),
	FUNCTION(1, pg_replication_origin_session_setup, STATEMENT_ORIGIN),
	FUNCTION(1, dblink_connect, STATEMENT_EXTENDS),
	FUNCTION(0, dblink_connect_u, STATEMENT_EXTENDS),
	/* hypopg: indexes that are not there */
	FUNCTION(0, hypopg_create_index, STATEMENT_EXTENDS),
	FUNCTION(0, hypopg_hide_index, STATEMENT_EXTENDS),
	/* set_user: another user, whom no SET ROLE may leave */
	FUNCTION(0, set_user, STATEMENT_EXTENDS),
	FUNCTION(1, set_session_auth, STATEMENT_EXTENDS),
	/* prioritize: the server process's priority */
	FUNCTION(0, set_backend_priority, STATEMENT_EXTENDS),
	/* orafce */
	FUNCTION(1, dbms_alert, STATEMENT_EXTENDS),
	FUNCTION(0, dbms_output, STATEMENT_EXTENDS),
	FUNCTION(1, dbms_random, STATEMENT_EXTENDS),
	FUNCTION(0, set_config, SETS),
	FUNCTION(0, pg_backup_start, STATEMENT_BACKS_UP),
	FUNCTION(1, pg_start_backup, STATEMENT_BACKS_UP), /* before version 15 */
	/* isn: whether wrong numbers are accepted; a setting since version 18 */
	FUNCTION(1, isn_weak, STATEMENT_EXTENDS),
};
#undef FUNCTION

/* The setting whose assignment is setseed(). */
static bool names_seed(const char *name, size_t len)
{
	return sql_is(name, len, "seed");
}

/* Of set_config(), which goes on at `at`. A setting that is not a constant may be any. */
static unsigned effect_of_set_config(const char *at)
{
	const char *name;
	const char *end;
	size_t len;

	at = sql_skip_blank(at);
	if (*at != '(') {
		return 0;
	}
	at = sql_skip_blank(at + 1);
	if (*at != '\'') {
		return STATEMENT_CUSTOM;
	}
	name = at + 1;
	end = sql_skip_quoted(name, '\'');
	len = (size_t)(end - name);
	if (*sql_skip_blank(end) != ',' || memchr(name, '.', len) != NULL) {
		return STATEMENT_CUSTOM;
	}
	return names_seed(name, len - 1) ? STATEMENT_SEEDS : 0;
}

static unsigned effect_of_function(const char *name, size_t len, const char *end)
{
	for (size_t i = 0; i < OF_A_LENGTH && functions[len][i].name != NULL; i++) {
		unsigned effect = functions[len][i].effect;

		if (sql_same(name, functions[len][i].name, len)) {
			return effect == SETS ? effect_of_set_config(end) : effect;
		}
	}
	return 0;
}

/* ---- statements ---- */

/* The kind of a statement that may yet turn out to have an effect. */
static enum verb verb_of(const struct word *word)
{
	return is(word, "alter")      ? VERB_ALTER
	       : is(word, "create")   ? VERB_CREATE
	       : is(word, "do")       ? VERB_DO
	       : is(word, "drop")     ? VERB_DROP
	       : is(word, "grant")    ? VERB_GRANT
	       : is(word, "load")     ? VERB_LOAD
	       : is(word, "reassign") ? VERB_REASSIGN
	       : is(word, "reset")    ? VERB_SET
	       : is(word, "revoke")   ? VERB_GRANT
	       : is(word, "set")      ? VERB_SET
	                              : VERB_OTHER;
}

/* The kinds of object that matter whatever is done to them; "event" is an event trigger. */
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
		/* Its template must have no session. A new role changes no session. */
		return is(object, "database") || is(object, "event");
	case VERB_REASSIGN:
		return is(object, "owned");
	default:
		return false;
	}
}

static void note_object(struct scan *scan, const struct word *word)
{
	bool drops_or_alters = scan->verb == VERB_DROP || scan->verb == VERB_ALTER;

	/* DROP USER MAPPING is about foreign servers. */
	if (scan->words == 2 ? alters(scan->verb, word)
	                     : scan->of_user && !is(word, "mapping")) {
		scan->effects |= STATEMENT_ALTERS;
	}
	scan->of_user = scan->words == 2 && drops_or_alters && is(word, "user");
}

/* app.user, "app"."user" or "app.user" */
static bool is_custom(const struct word *word)
{
	return *sql_skip_blank(word->end) == '.' ||
	       (word->quoted && memchr(word->text, '.', word->len) != NULL);
}

/* Behind SET or RESET: the name of a setting, or the scope before it. */
static void note_setting(struct scan *scan, const struct word *word)
{
	scan->sets = false;
	if (is_custom(word)) {
		scan->effects |= STATEMENT_CUSTOM;
	} else if (scan->verb == VERB_SET) {
		scan->sets = is(word, "session") || is(word, "local");
		scan->effects |= names_seed(word->text, word->len) ? STATEMENT_SEEDS : 0;
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

static void begin_statement(struct scan *scan, enum verb verb)
{
	scan->verb = verb;
	scan->effects |= verb == VERB_LOAD ? STATEMENT_LOADS : 0;
	scan->words = 1;
	scan->of_user = false;
	scan->after_on = false;
	scan->sets = verb == VERB_SET;
}

static void note_head(struct scan *scan, const struct word *word)
{
	if (scan->verb == VERB_DUE) {
		begin_statement(scan, verb_of(word));
		return;
	}
	scan->words++;
	if (scan->sets) {
		note_setting(scan, word);
	} else if (scan->verb == VERB_GRANT) {
		note_granted(scan, word);
	} else if (scan->words <= 3) {
		note_object(scan, word);
	}
	/* CREATE FUNCTION and ALTER FUNCTION try the settings out. */
	if ((scan->verb == VERB_CREATE || scan->verb == VERB_ALTER) &&
	    (is(word, "set") || is(word, "reset"))) {
		scan->sets = true;
	}
}

/* U&"..." */
static bool begins_escaped(const char *word)
{
	return sql_lower(word[0]) == 'u' && word[1] == '&' && word[2] == '"';
}

static inline void note_word(struct scan *scan, const char *text, size_t len, const char *end,
                             bool quoted)
{
	if (scan->verb != VERB_OTHER) {
		note_head(scan, &(struct word){text, len, end, quoted});
	}
	if (len == 1 && begins_escaped(text)) {
		scan->effects |= STATEMENT_CUSTOM;
	}
	/* Most words have the length of none of them. */
	if (len <= LONGEST_FUNCTION && functions[len][0].name != NULL) {
		scan->effects |= effect_of_function(text, len, end);
	}
}

/* The text of a DO block, in any language: each word may begin a statement. */
static void read_block(struct scan *scan, const char *at, const char *end)
{
	struct scan block = {.verb = VERB_OTHER};

	while (at < end) {
		struct word word = {.text = at};
		enum verb verb;

		if (!sql_begins_word(*at)) {
			at++;
			continue;
		}
		at = word.end = sql_skip_word(at + 1);
		word.len = (size_t)(word.end - word.text);
		verb = verb_of(&word);
		if (verb != VERB_OTHER) {
			begin_statement(&block, verb);
		} else {
			note_word(&block, word.text, word.len, word.end, false);
		}
	}
	scan->effects |= block.effects;
}

/* ---- the text: these return what is behind what begins at `at` ---- */

/* A string constant, whose contents begin at `at`. */
static __attribute__((noinline)) const char *read_string(struct scan *scan, const char *at,
                                                         const char *end)
{
	if (scan->verb == VERB_DO) {
		read_block(scan, at, end);
	}
	return end;
}

static const char *read_quoted_word(struct scan *scan, const char *at)
{
	const char *text = at + 1;
	const char *end = sql_skip_quoted(text, '"');
	size_t len = (size_t)(end - text);

	len -= len > 0 && end[-1] == '"';
	if (len > 0) {
		note_word(scan, text, len, end, true);
	}
	return end;
}

static const char *read_word(struct scan *scan, const char *at)
{
	const char *end = sql_skip_word(at + 1);
	size_t len = (size_t)(end - at);

	if (*end == '\'' && sql_is(at, len, "e")) {
		return read_string(scan, end + 1, skip_escape_string(end + 1));
	}
	note_word(scan, at, len, end, false);
	return end;
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
			at = read_string(scan, at + 1, sql_skip_quoted(at + 1, '\''));
			break;
		case '"':
			at = read_quoted_word(scan, at);
			break;
		case '$':
			at = read_string(scan, at, skip_dollar_quoted(at));
			break;
		case ';':
			scan->verb = VERB_DUE;
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
	return scan.effects;
}
