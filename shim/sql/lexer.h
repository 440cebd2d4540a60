/* SPDX-License-Identifier: PostgreSQL */
/*
 * The lexical elements of SQL text as PostgreSQL's scanner (scan.l) reads them: words, spaces,
 * comments, quotes. Every function reads up to the NUL at most.
 */
#ifndef PQPOOL_SQL_LEXER_H
#define PQPOOL_SQL_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SQL_BEGINS    1 /* a word */
#define SQL_CONTINUES 2

/* A table, because words are most of what there is to read. */
extern const unsigned char sql_letters[256];

static inline bool sql_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool sql_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool sql_begins_word(char c)
{
	return (sql_letters[(unsigned char)c] & SQL_BEGINS) != 0;
}

static inline bool sql_continues_word(char c)
{
	return (sql_letters[(unsigned char)c] & SQL_CONTINUES) != 0;
}

static inline char sql_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* True if these bytes are, in any case, those of `name`, which is in lower case. */
static inline bool sql_same(const char *text, const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (sql_lower(text[i]) != name[i]) {
			return false;
		}
	}
	return true;
}

/* True if the word is `name`, in any case. */
static inline bool sql_is(const char *word, size_t len, const char *name)
{
	return len == strlen(name) && sql_same(word, name, len);
}

static inline const char *sql_skip_spaces(const char *at)
{
	while (sql_is_space(*at)) {
		at++;
	}
	return at;
}

/* Behind the bytes that continue a word; four in a turn, as most of a text is these. */
static inline const char *sql_skip_word(const char *at)
{
	const unsigned char *c = (const unsigned char *)at;

	for (;; c += 4) {
		if ((sql_letters[c[0]] & SQL_CONTINUES) == 0) {
			return (const char *)c;
		}
		if ((sql_letters[c[1]] & SQL_CONTINUES) == 0) {
			return (const char *)c + 1;
		}
		if ((sql_letters[c[2]] & SQL_CONTINUES) == 0) {
			return (const char *)c + 2;
		}
		if ((sql_letters[c[3]] & SQL_CONTINUES) == 0) {
			return (const char *)c + 3;
		}
	}
}

/* Behind a comment that begins at `at`; comments nest. */
const char *sql_skip_block_comment(const char *at);

/* To the end of a line. */
const char *sql_skip_line(const char *at);

static inline bool sql_is_comment(const char *at)
{
	return (at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*');
}

/* If it does not end the server refuses the whole. */
static inline const char *sql_skip_comment(const char *at)
{
	return *at == '-' ? sql_skip_line(at) : sql_skip_block_comment(at);
}

/* Behind spaces and comments. */
static inline const char *sql_skip_blank(const char *at)
{
	for (at = sql_skip_spaces(at); sql_is_comment(at); at = sql_skip_spaces(at)) {
		at = sql_skip_comment(at);
	}
	return at;
}

/* Behind the closing quote of what opened just before `at`; a doubled one is text. */
const char *sql_skip_quoted(const char *at, char quote);

#endif
