/* SPDX-License-Identifier: PostgreSQL */
/* The first words of a statement for logs and reports. */
#include "sql/redact_statement.h"

#include <string.h>

#include "sql/lexer.h"

static const char more[] = "...";

struct writer {
	const char *at; /* in the text */
	char *line;
	size_t len;
	size_t max; /* bytes before the dots */
	bool blank; /* one is due */
	bool sets;  /* SET was there, in this statement */
	bool ended; /* there is more, not to be shown */
};

static bool is_blank(char c)
{
	return (unsigned char)c <= ' ' || c == 127;
}

static void put(struct writer *w, char c)
{
	if (w->blank && w->len > 0 && w->len < w->max) {
		w->line[w->len++] = ' ';
	}
	w->blank = false;
	if (w->len < w->max) {
		w->line[w->len++] = (unsigned char)c < 128 ? c : '?';
	} else {
		w->ended = true;
	}
}

static void put_word(struct writer *w)
{
	const char *word = w->at;
	const char *end = sql_skip_word(word);
	size_t len = (size_t)(end - word);

	if (*end == '\'') {
		/* E'...', B'...', X'...', N'...' */
		w->at = end;
		return;
	}
	while (w->at < end) {
		put(w, *w->at++);
	}
	if (sql_is(word, len, "set")) {
		w->sets = true;
	} else if (w->sets && sql_is(word, len, "to")) {
		w->ended = true;
	}
}

/* To the closing quote; a doubled one is read as the end of one name and another. */
static void put_name(struct writer *w)
{
	do {
		put(w, is_blank(*w->at) ? ' ' : *w->at);
		w->at++;
	} while (*w->at != '"' && *w->at != '\0' && !w->ended);
	if (*w->at == '"') {
		put(w, *w->at++);
	}
}

/* $1; anything else that begins with a dollar is a quote. */
static void put_parameter(struct writer *w)
{
	if (!sql_is_digit(w->at[1])) {
		w->ended = true;
		return;
	}
	do {
		put(w, *w->at++);
	} while (sql_is_digit(*w->at));
}

static void put_next(struct writer *w)
{
	if (sql_begins_word(*w->at)) {
		put_word(w);
	} else if (is_blank(*w->at)) {
		w->blank = true;
		w->at++;
	} else if (sql_is_comment(w->at)) {
		w->blank = true;
		w->at = sql_skip_comment(w->at);
	} else if (*w->at == '"') {
		put_name(w);
	} else if (*w->at == '$') {
		put_parameter(w);
	} else if (*w->at == '\'' || sql_is_digit(*w->at)) {
		w->ended = true;
	} else {
		w->sets = w->sets && *w->at != ';';
		put(w, *w->at);
		w->ended = w->ended || (w->sets && *w->at == '=');
		w->at++;
	}
}

void redact_statement(const char *text, bool goes_on, char *line, size_t size)
{
	struct writer w = {.at = text, .line = line, .max = size - sizeof(more)};

	while (!w.ended && *w.at != '\0') {
		put_next(&w);
	}
	if (w.ended || goes_on) {
		if (w.blank && w.len > 0 && w.len < w.max) {
			line[w.len++] = ' ';
		}
		memcpy(line + w.len, more, sizeof(more));
	} else {
		line[w.len] = '\0';
	}
}
