/* SPDX-License-Identifier: PostgreSQL */
/*
 * What PostgreSQL's scanner (scan.l) takes SQL text apart by: letters, spaces, comments,
 * quotes. Every function reads up to the NUL at most.
 */
#ifndef PQPOOL_POOL_SQLTEXT_H
#define PQPOOL_POOL_SQLTEXT_H

#include <stdbool.h>

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

const char *sql_skip_spaces(const char *at);

/* Behind a comment that begins at `at`; comments nest. */
const char *sql_skip_block_comment(const char *at);

/* To the end of a line. */
const char *sql_skip_line(const char *at);

/* Behind the closing quote of what opened just before `at`; a doubled one is text. */
const char *sql_skip_quoted(const char *at, char quote);

#endif
