/* SPDX-License-Identifier: PostgreSQL */
/* The lexical elements of SQL text. */
#include "sql/lexer.h"

#include <stddef.h>
#include <string.h>

const unsigned char sql_letters[256] = {
	['$'] = SQL_CONTINUES,
	['_'] = SQL_BEGINS | SQL_CONTINUES,
	['0' ... '9'] = SQL_CONTINUES,
	['A' ... 'Z'] = SQL_BEGINS | SQL_CONTINUES,
	['a' ... 'z'] = SQL_BEGINS | SQL_CONTINUES,
	[0x80 ... 0xff] = SQL_BEGINS | SQL_CONTINUES, /* whatever the encoding makes of them */
};

const char *sql_skip_block_comment(const char *at)
{
	const char *star;
	size_t depth = 0;

	while ((star = strchr(at, '*')) != NULL) {
		bool opens = star > at && star[-1] == '/';
		bool closes = !opens && star[1] == '/';

		at = star + 1 + closes;
		depth = depth + opens - closes;
		if (depth == 0) {
			return at;
		}
	}
	return at + strlen(at);
}

const char *sql_skip_line(const char *at)
{
	return at + strcspn(at, "\r\n");
}

const char *sql_skip_quoted(const char *at, char quote)
{
	const char *end = strchr(at, quote);

	while (end != NULL && end[1] == quote) {
		end = strchr(end + 2, quote);
	}
	return end != NULL ? end + 1 : at + strlen(at);
}
