/* SPDX-License-Identifier: PostgreSQL */
/* Which statements leave nothing behind in a session. */
#include "pool/harmless.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/sqltext.h"

/* ---- tokens ---- */

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_QUOTED, /* "name" */
	TOKEN_STRING,
	TOKEN_NUMBER, /* or a parameter, $1 */
	TOKEN_SIGN,   /* any other character */
	TOKEN_DOUBTFUL
};

struct token {
	enum token_kind kind;
	const char *text;
	size_t len;
	bool adjacent; /* nothing stands between it and the one before */
};

struct reader {
	const char *at;
	bool utf8;
	struct token token; /* the one being judged */
	struct token next;
};

/* Behind spaces and comments. If one of these does not end the server refuses the whole. */
static const char *skip_blank(const char *at)
{
	for (;;) {
		at = sql_skip_spaces(at);
		if (at[0] == '-' && at[1] == '-') {
			at = sql_skip_line(at);
		} else if (at[0] == '/' && at[1] == '*') {
			at = sql_skip_block_comment(at);
		} else {
			return at;
		}
	}
}

/* What is between quotes must not depend on the server's way of reading it. */
static bool plainly_quoted(const struct token *token, bool utf8)
{
	const char *text = token->text;

	if (token->len < 2 || text[token->len - 1] != text[0] ||
	    memchr(text, '\\', token->len) != NULL) {
		return false;
	}
	for (size_t i = 0; !utf8 && i < token->len; i++) {
		if ((unsigned char)text[i] >= 0x80) {
			return false;
		}
	}
	return true;
}

static void read_quoted(struct token *token, bool utf8)
{
	const char *end = sql_skip_quoted(token->text + 1, token->text[0]);

	token->len = (size_t)(end - token->text);
	token->kind = token->text[0] == '"' ? TOKEN_QUOTED : TOKEN_STRING;
	if (!plainly_quoted(token, utf8)) {
		token->kind = TOKEN_DOUBTFUL;
	}
}

static void read_word(struct token *token, bool utf8)
{
	const char *at = token->text;

	token->kind = TOKEN_WORD;
	for (; sql_continues_word(*at); at++) {
		if (!utf8 && (unsigned char)*at >= 0x80) {
			token->kind = TOKEN_DOUBTFUL;
		}
	}
	token->len = (size_t)(at - token->text);
	/* E'...' has escapes, U&'...' and U&"..." have others. */
	if (token->len == 1 && ((sql_lower(token->text[0]) == 'e' && *at == '\'') ||
	                        (sql_lower(token->text[0]) == 'u' && *at == '&'))) {
		token->kind = TOKEN_DOUBTFUL;
	}
}

static const char *skip_digits(const char *at)
{
	while (sql_is_digit(*at)) {
		at++;
	}
	return at;
}

/* Digits, or a $ and digits. A letter behind them begins the next word, or does not. */
static void read_number(struct token *token)
{
	const char *at = token->text + 1;

	at = skip_digits(at);
	if (sql_lower(at[0]) == 'e') {
		const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');

		at = sql_is_digit(*exponent) ? skip_digits(exponent) : at;
	}
	token->len = (size_t)(at - token->text);
	token->kind = sql_continues_word(*at) ? TOKEN_DOUBTFUL : TOKEN_NUMBER;
}

static struct token read_token(struct reader *reader)
{
	const char *at = skip_blank(reader->at);
	struct token token = {.kind = TOKEN_DOUBTFUL, .text = at, .adjacent = at == reader->at};

	if (*at == '\0') {
		token.kind = TOKEN_END;
	} else if (*at == '\'' || *at == '"') {
		read_quoted(&token, reader->utf8);
	} else if (sql_begins_word(*at)) {
		read_word(&token, reader->utf8);
	} else if (sql_is_digit(*at) || (*at == '$' && sql_is_digit(at[1]))) {
		read_number(&token);
	} else if (*at != '\\' && *at != '$') {
		token.kind = TOKEN_SIGN;
		token.len = 1;
	}
	reader->at = at + token.len;
	return token;
}

/* Goes on to the next token; false at the end, or in doubt. */
static bool advance(struct reader *reader)
{
	reader->token = reader->next;
	if (reader->token.kind == TOKEN_END || reader->token.kind == TOKEN_DOUBTFUL) {
		return false;
	}
	reader->next = read_token(reader);
	return true;
}

static bool is_sign(const struct token *token, char sign)
{
	return token->kind == TOKEN_SIGN && *token->text == sign;
}

/* ---- words ---- */

/* harmless.def says what these are. */
enum { CALLED = 1, QUOTES = 2, TYPE = 4, NEVER = 8 };

#define LONGEST_WORD 35

static const struct entry {
	char name[LONGEST_WORD + 1];
	unsigned char flags;
} entries[] = {
#define WORD(name, flags) {#name, flags},
#include "pool/harmless.def"
#undef WORD
};

static int compare(const void *name, const void *entry)
{
	return strcmp(name, ((const struct entry *)entry)->name);
}

/* Of a word, or of a quoted name; in any case, so that one may be doubted for nothing. */
static unsigned flags_of(const struct token *token)
{
	size_t quote = token->kind == TOKEN_QUOTED;
	size_t len = token->len - 2 * quote;
	char name[LONGEST_WORD + 1];
	const struct entry *found;

	if (len > LONGEST_WORD) {
		return 0;
	}
	for (size_t i = 0; i < len; i++) {
		name[i] = sql_lower(token->text[quote + i]);
	}
	name[len] = '\0';
	found = bsearch(name, entries, sizeof(entries) / sizeof(entries[0]), sizeof(entries[0]),
	                compare);
	return found != NULL ? found->flags : 0;
}

static bool is_word(const struct token *token, const char *word)
{
	size_t i = 0;

	if (token->kind != TOKEN_WORD) {
		return false;
	}
	while (i < token->len && sql_lower(token->text[i]) == word[i]) {
		i++;
	}
	return i == token->len && word[i] == '\0';
}

/* Not a schema's name before that of somebody's own. */
static bool is_type(const struct reader *reader)
{
	return reader->token.kind == TOKEN_WORD && (flags_of(&reader->token) & TYPE) != 0 &&
	       !is_sign(&reader->next, '.');
}

/* B'...', X'...', N'...': constants whose type is known. */
static bool is_prefix(const struct token *word)
{
	return word->len == 1 && strchr("bBxXnN", word->text[0]) != NULL;
}

/* ---- queries ---- */

/* Where AS is followed by a type: in CAST(...), by depth of parentheses. */
struct nesting {
	unsigned depth;
	uint64_t casts;
	bool cast_opens;
	bool casting;   /* a type is due */
	bool qualified; /* the token before was a dot */
};

#define DEEPEST 63

static bool judge_word(const struct reader *reader, struct nesting *nesting)
{
	const struct token *word = &reader->token;
	const struct token *next = &reader->next;
	unsigned flags = flags_of(word);

	if (flags & NEVER) {
		return false;
	}
	if (is_sign(next, '(')) {
		nesting->cast_opens = is_word(word, "cast");
		return !nesting->qualified && (flags & CALLED) != 0;
	}
	if (next->kind == TOKEN_STRING) {
		return !nesting->qualified &&
		       ((flags & (QUOTES | TYPE)) != 0 || (next->adjacent && is_prefix(word)));
	}
	nesting->casting = is_word(word, "as") && (nesting->casts >> nesting->depth & 1) != 0;
	return true;
}

/* A quoted name may be that of anything: it is neither called nor taken for a type. */
static bool judge_quoted(const struct reader *reader)
{
	const struct token *name = &reader->token;

	return !is_sign(&reader->next, '(') && reader->next.kind != TOKEN_STRING &&
	       (flags_of(name) & NEVER) == 0;
}

/* A parameter may be a row, and $1.name a function of it. */
static bool judge_number(const struct reader *reader)
{
	return *reader->token.text != '$' || !is_sign(&reader->next, '.');
}

static bool judge_sign(const struct reader *reader, struct nesting *nesting)
{
	const struct token *next = &reader->next;

	switch (*reader->token.text) {
	case '(':
		if (++nesting->depth > DEEPEST) {
			return false;
		}
		nesting->casts &= ~(UINT64_C(1) << nesting->depth);
		nesting->casts |= (uint64_t)nesting->cast_opens << nesting->depth;
		nesting->cast_opens = false;
		return true;
	case ')':
		/* (value).name may be a function of the value, and so may value[1].name. */
		return nesting->depth-- > 0 && !is_sign(next, '.');
	case ']':
		return !is_sign(next, '.');
	case ';':
		return next->kind == TOKEN_END;
	default:
		return true;
	}
}

static bool judge_query(struct reader *reader)
{
	struct nesting nesting = {0};

	do {
		const struct token *token = &reader->token;
		bool harmless = true;

		if (nesting.casting && !is_type(reader)) {
			return false;
		}
		nesting.casting = false;
		if (token->kind == TOKEN_WORD) {
			harmless = judge_word(reader, &nesting);
		} else if (token->kind == TOKEN_QUOTED) {
			harmless = judge_quoted(reader);
		} else if (token->kind == TOKEN_NUMBER) {
			harmless = judge_number(reader);
		} else if (token->kind == TOKEN_SIGN) {
			harmless = judge_sign(reader, &nesting);
		}
		if (!harmless) {
			return false;
		}
		nesting.qualified = is_sign(token, '.');
		if (is_sign(token, ':') && is_sign(&reader->next, ':')) {
			advance(reader);
			nesting.casting = true;
		}
	} while (advance(reader));
	return reader->token.kind == TOKEN_END;
}

/* ---- other statements ---- */

/* Nothing but names to the end. */
static bool judge_names(struct reader *reader)
{
	while (advance(reader)) {
		const struct token *token = &reader->token;

		if (is_sign(token, ';') ? reader->next.kind != TOKEN_END
		                        : token->kind == TOKEN_STRING ||
		                                  (token->kind == TOKEN_SIGN &&
		                                   strchr(",.", *token->text) == NULL)) {
			return false;
		}
	}
	return reader->token.kind == TOKEN_END;
}

#define FIRST_WORD_BYTES 12

/* The list ends with an empty word. */
static bool begins_with_one_of(const struct token *token, const char words[][FIRST_WORD_BYTES])
{
	while (words[0][0] != '\0' && !is_word(token, words[0])) {
		words++;
	}
	return words[0][0] != '\0';
}

bool statement_is_harmless(const char *text, bool utf8)
{
	static const char queries[][FIRST_WORD_BYTES] = {"select", "with",  "values", "update",
	                                                 "delete", "table", ""};
	static const char others[][FIRST_WORD_BYTES] = {"begin",    "commit", "end",
	                                                "rollback", "abort",  "savepoint",
	                                                "release",  "show",   ""};
	struct reader reader = {.at = text, .utf8 = utf8};

	reader.next = read_token(&reader);
	if (!advance(&reader)) {
		return reader.token.kind == TOKEN_END;
	}
	if (begins_with_one_of(&reader.token, queries)) {
		return judge_query(&reader);
	}
	return (begins_with_one_of(&reader.token, others) ||
	        (is_word(&reader.token, "start") && is_word(&reader.next, "transaction"))) &&
	       judge_names(&reader);
}
