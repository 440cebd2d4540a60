/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which statements leave nothing behind in a session.
 *
 * A statement is read once, token by token; each token says what may not come next.
 */
#include "sql/harmless.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sql/lexer.h"

/* ---- words ---- */

/* harmless.def says what these are. */
enum { CALLED = 1, QUOTES = 2, TYPE = 4, NEVER = 8 };

#define LONGEST_WORD 35

/* An entry without a length is before the words of each initial, and behind the last. */
static const struct entry {
	uint8_t len;
	uint8_t flags;
	char name[LONGEST_WORD + 1];
} entries[] = {
#define INITIAL(letter)   {0},
#define WORD(name, flags) {sizeof(#name) - 1, flags, #name},
#include "sql/harmless.def"
#undef INITIAL
#undef WORD
	{0},
};

enum {
#define INITIAL(letter)   BEFORE_##letter,
#define WORD(name, flags) PLACE_OF_##name,
#include "sql/harmless.def"
#undef INITIAL
#undef WORD
};

/* The last five bits of a letter, a or A, are its place in the alphabet. */
#define INITIALS      32
#define INITIAL_OF(c) ((c) & (INITIALS - 1))

static const struct {
	uint16_t place;         /* of its first word */
	uint64_t never_lengths; /* a bit for each length of those that are NEVER */
} initials[INITIALS] = {
	/* clang-format off */
	{BEFORE_a, 0
#define INITIAL(letter)   }, {BEFORE_##letter + 1, 0
#define WORD(name, flags) | (uint64_t)(((flags) & NEVER) != 0) << (sizeof(#name) - 1)
#include "sql/harmless.def"
#undef INITIAL
#undef WORD
	},
	/* clang-format on */
};

/* Of a word in any case. */
static unsigned flags_of(const char *word, size_t len)
{
	const struct entry *entry = &entries[initials[INITIAL_OF(*word)].place];

	for (; entry->len > 0; entry++) {
		if (entry->len == len && sql_same(word, entry->name, len)) {
			return entry->flags;
		}
	}
	return 0;
}

/* Quoted names are compared without regard to case, too. */
static bool is_never(const char *name, size_t len)
{
	return len <= LONGEST_WORD &&
	       (initials[INITIAL_OF(*name)].never_lengths >> len & 1) != 0 &&
	       (flags_of(name, len) & NEVER) != 0;
}

/* ---- tokens ---- */

/* These return what is behind that which begins at `at`, or NULL in doubt. */

/* In encodings that are not known a byte of a letter may look like a quote. */
static const char *if_readable(const char *at, const char *end, bool utf8)
{
	if (utf8) {
		return end;
	}
	while (at < end && (unsigned char)*at < 0x80) {
		at++;
	}
	return at == end ? end : NULL;
}

static inline const char *read_word(const char *at, bool utf8)
{
	const char *end = sql_skip_word(at + 1);

	/* E'...' has escapes, U&'...' and U&"..." have others. */
	if (end - at == 1 && ((*end == '\'' && sql_lower(*at) == 'e') ||
	                      (*end == '&' && sql_lower(*at) == 'u'))) {
		return NULL;
	}
	return if_readable(at, end, utf8);
}

/* What is between quotes must not depend on the server's way of reading it. */
static const char *read_quoted(const char *at, bool utf8)
{
	const char *end = sql_skip_quoted(at + 1, *at);

	if (end - at < 2 || end[-1] != *at || memchr(at, '\\', (size_t)(end - at)) != NULL) {
		return NULL;
	}
	return if_readable(at, end, utf8);
}

static const char *skip_digits(const char *at)
{
	while (sql_is_digit(*at)) {
		at++;
	}
	return at;
}

static bool begins_number(const char *at)
{
	return sql_is_digit(at[0]) || (at[0] == '$' && sql_is_digit(at[1]));
}

/* Digits, or a $ and digits. A letter behind them begins the next word, or does not. */
static const char *read_number(const char *at)
{
	const char *end = skip_digits(at + 1);

	if (sql_lower(end[0]) == 'e') {
		const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');

		end = sql_is_digit(*exponent) ? skip_digits(exponent) : end;
	}
	return sql_continues_word(*end) ? NULL : end;
}

/* ---- queries ---- */

/* What a token says of the next one, in bits. */
enum {
	/* that it may not be one of these */
	WORD = 1,
	QUOTED = 2, /* "name" */
	STRING = 4,
	NUMBER = 8,   /* or a parameter, $1 */
	OPENING = 16, /* a parenthesis */
	DOT = 32,
	SIGN = 64, /* any other character */
	ANY = 127,

	/* what it is behind */
	AFTER_WORD = 128, /* which is not qualified */
	AFTER_DOT = 256,
	AFTER_COLON = 512,

	/* that it must be a type, if it is a word */
	TYPE_DUE = 1024,

	/* nothing, for the whole is judged */
	HARMLESS = 2048,
	DOUBTED = 4096
};

#define DEEPEST 63

struct judge {
	const char *at; /* the next token, or what is before it */
	bool utf8;
	const char *word; /* the last one */
	size_t len;       /* of it */
	unsigned depth;   /* of parentheses */
	uint64_t casts;   /* by depth: those of CAST, in which AS is followed by a type */
};

static unsigned judge_word(struct judge *judge, unsigned said)
{
	const char *word = judge->at;
	const char *end = read_word(word, judge->utf8);
	unsigned says = (said & AFTER_DOT) != 0 ? OPENING | STRING : AFTER_WORD;
	size_t len;

	if ((said & WORD) != 0 || end == NULL) {
		return DOUBTED;
	}
	len = (size_t)(end - word);
	if (is_never(word, len)) {
		return DOUBTED;
	}
	if ((said & TYPE_DUE) != 0) {
		/* Not a schema's name before a user-defined type's. */
		says |= (flags_of(word, len) & TYPE) != 0 ? DOT : DOUBTED;
	}
	if ((judge->casts >> judge->depth & 1) != 0 && sql_is(word, len, "as")) {
		says |= TYPE_DUE | (ANY & ~(WORD | OPENING));
	}
	judge->at = end;
	judge->word = word;
	judge->len = len;
	return says;
}

/* It may be neither called nor used as a type. */
static unsigned judge_quoted(struct judge *judge, unsigned said)
{
	const char *name = judge->at + 1;

	judge->at = read_quoted(judge->at, judge->utf8);
	if ((said & QUOTED) != 0 || judge->at == NULL ||
	    is_never(name, (size_t)(judge->at - 1 - name))) {
		return DOUBTED;
	}
	return OPENING | STRING;
}

/* B'...', X'...', N'...': constants whose type is known. */
static bool is_prefix(const char *word, size_t len, const char *string)
{
	return len == 1 && word + len == string && strchr("bBxXnN", *word) != NULL;
}

static unsigned judge_string(struct judge *judge, unsigned said)
{
	const char *string = judge->at;

	judge->at = read_quoted(string, judge->utf8);
	if ((said & STRING) != 0 || judge->at == NULL) {
		return DOUBTED;
	}
	if ((said & AFTER_WORD) != 0 && !is_prefix(judge->word, judge->len, string) &&
	    (flags_of(judge->word, judge->len) & (QUOTES | TYPE)) == 0) {
		return DOUBTED;
	}
	return 0;
}

static unsigned judge_number(struct judge *judge, unsigned said)
{
	const char *number = judge->at;

	judge->at = read_number(number);
	if ((said & NUMBER) != 0 || judge->at == NULL) {
		return DOUBTED;
	}
	/* A parameter may be a row, and $1.name a function of it. */
	return *number == '$' ? DOT : 0;
}

static unsigned judge_opening(struct judge *judge, unsigned said)
{
	bool called = (said & AFTER_WORD) != 0;
	bool casts = called && sql_is(judge->word, judge->len, "cast");

	if ((said & OPENING) != 0 || judge->depth == DEEPEST ||
	    (called && (flags_of(judge->word, judge->len) & CALLED) == 0)) {
		return DOUBTED;
	}
	judge->at++;
	judge->depth++;
	judge->casts &= ~(UINT64_C(1) << judge->depth);
	judge->casts |= (uint64_t)casts << judge->depth;
	return 0;
}

static unsigned judge_sign(struct judge *judge, unsigned said)
{
	if ((said & SIGN) != 0) {
		return DOUBTED;
	}
	switch (*judge->at++) {
	case ')':
		/* (value).name may be a function of the value, and so may value[1].name. */
		return judge->depth-- > 0 ? DOT : DOUBTED;
	case ']':
		return DOT;
	case ';':
		return ANY;
	case ':':
		return (said & AFTER_COLON) != 0 ? TYPE_DUE | (ANY & ~WORD) : AFTER_COLON;
	case '\\':
		return DOUBTED;
	default:
		return 0;
	}
}

/* Spaces and comments are no token, and what was said before them holds behind them. */
static unsigned judge_other(struct judge *judge, unsigned said)
{
	const char *at = judge->at;

	switch (*at) {
	case '\0':
		return HARMLESS;
	case '\'':
		return judge_string(judge, said);
	case '"':
		return judge_quoted(judge, said);
	case '$':
	case '0' ... '9':
		return begins_number(at) ? judge_number(judge, said) : DOUBTED;
	case '(':
		return judge_opening(judge, said);
	case '.':
		judge->at++;
		return (said & DOT) != 0 ? DOUBTED : AFTER_DOT;
	default:
		judge->at = sql_skip_blank(at);
		return judge->at != at ? said : judge_sign(judge, said);
	}
}

static bool judge_query(struct judge *judge)
{
	unsigned said = AFTER_WORD;

	do {
		/* Most words have one before them. */
		if (*judge->at == ' ') {
			judge->at++;
		}
		said = sql_begins_word(*judge->at) ? judge_word(judge, said)
		                                   : judge_other(judge, said);
	} while ((said & (HARMLESS | DOUBTED)) == 0);
	return said == HARMLESS;
}

/* ---- other statements ---- */

/* Or what is between names. */
static const char *read_name(const char *at, bool utf8)
{
	if (sql_begins_word(*at)) {
		return read_word(at, utf8);
	}
	if (begins_number(at)) {
		return read_number(at);
	}
	if (*at == '"') {
		return read_quoted(at, utf8);
	}
	return *at == ',' || *at == '.' ? at + 1 : NULL;
}

/* Nothing but names to the end. */
static bool judge_names(const char *at, bool utf8)
{
	at = sql_skip_blank(at);
	while (*at != '\0' && *at != ';') {
		at = read_name(at, utf8);
		if (at == NULL) {
			return false;
		}
		at = sql_skip_blank(at);
	}
	return *at == '\0' || *sql_skip_blank(at + 1) == '\0';
}

static bool begins_query(const char *word, size_t len)
{
	return sql_is(word, len, "select") || sql_is(word, len, "with") ||
	       sql_is(word, len, "values") || sql_is(word, len, "update") ||
	       sql_is(word, len, "delete") || sql_is(word, len, "table");
}

static bool begins_names(const char *word, size_t len)
{
	return sql_is(word, len, "begin") || sql_is(word, len, "commit") ||
	       sql_is(word, len, "end") || sql_is(word, len, "rollback") ||
	       sql_is(word, len, "abort") || sql_is(word, len, "savepoint") ||
	       sql_is(word, len, "release") || sql_is(word, len, "show");
}

static bool starts_transaction(const char *word, size_t len)
{
	const char *next = sql_skip_blank(word + len);

	return sql_is(word, len, "start") &&
	       sql_is(next, (size_t)(sql_skip_word(next) - next), "transaction");
}

bool statement_is_harmless(const char *text, bool utf8)
{
	const char *word = sql_skip_blank(text);
	const char *end = sql_skip_word(word);
	size_t len = (size_t)(end - word);

	if (begins_query(word, len)) {
		return judge_query(
			&(struct judge){.at = end, .utf8 = utf8, .word = word, .len = len});
	}
	if (begins_names(word, len) || starts_transaction(word, len)) {
		return judge_names(end, utf8);
	}
	return *word == '\0';
}
