/* SPDX-License-Identifier: PostgreSQL */
/*
 * The first words of a statement, fit to be shown.
 *
 * A scanner that knows no more of SQL than what a literal, a name and a comment begin with.
 */
#include "sql/redact_statement.h"

#include <string.h>

static const char more[] = "...";

enum kind {
	END,     /* of the text */
	BLANK,   /* and control characters */
	LETTER,  /* and whatever is not ASCII */
	DIGIT,   /* of a number, unless a word has begun */
	STRING,  /* ' */
	NAME,    /* " */
	DOLLAR,  /* a quote or a parameter */
	COMMENT, /* - and /, perhaps */
	EQUALS,
	SEMICOLON,
	OTHER
};

struct writer {
	const char *at; /* in the text */
	char *line;
	size_t len;
	size_t max; /* bytes before the dots */
	bool blank; /* one is due */
	bool sets;  /* SET was there, in this statement */
	bool ended; /* there is more, not to be shown */
};

static enum kind kind_of(char c)
{
	switch (c) {
	case '\0':
		return END;
	case '\'':
		return STRING;
	case '"':
		return NAME;
	case '$':
		return DOLLAR;
	case '-':
	case '/':
		return COMMENT;
	case '=':
		return EQUALS;
	case ';':
		return SEMICOLON;
	default:
		break;
	}
	if (c >= '0' && c <= '9') {
		return DIGIT;
	}
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0) {
		return LETTER;
	}
	return c > ' ' && c < 127 ? OTHER : BLANK;
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

static bool is_word(const char *word, size_t len, const char *keyword)
{
	size_t i = 0;

	while (i < len && keyword[i] != '\0' && (word[i] | 0x20) == keyword[i]) {
		i++;
	}
	return i == len && keyword[i] == '\0';
}

static void put_word(struct writer *w)
{
	const char *word = w->at;
	const size_t before = w->len;
	const bool blank = w->blank;
	size_t len;

	while (kind_of(*w->at) == LETTER || kind_of(*w->at) == DIGIT || *w->at == '$') {
		put(w, *w->at++);
	}
	len = (size_t)(w->at - word);
	if (*w->at == '\'') {
		/* E'...', B'...', X'...', N'...' */
		w->len = before;
		w->blank = blank;
	} else if (is_word(word, len, "set")) {
		w->sets = true;
	} else if (w->sets && is_word(word, len, "to")) {
		w->ended = true;
	}
}

/* To the closing quote; a doubled one is read as the end of one name and another. */
static void put_name(struct writer *w)
{
	do {
		put(w, kind_of(*w->at) == BLANK ? ' ' : *w->at);
		w->at++;
	} while (*w->at != '"' && *w->at != '\0' && !w->ended);
	if (*w->at == '"') {
		put(w, *w->at++);
	}
}

static void put_parameter(struct writer *w)
{
	if (kind_of(w->at[1]) != DIGIT) {
		w->ended = true;
		return;
	}
	do {
		put(w, *w->at++);
	} while (kind_of(*w->at) == DIGIT);
}

/* Comments nest. */
static void skip_block(struct writer *w)
{
	unsigned depth = 0;

	do {
		if (w->at[0] == '/' && w->at[1] == '*') {
			depth++;
			w->at += 2;
		} else if (w->at[0] == '*' && w->at[1] == '/') {
			depth--;
			w->at += 2;
		} else {
			w->at++;
		}
	} while (depth > 0 && *w->at != '\0');
}

static void skip_comment(struct writer *w)
{
	if (w->at[0] == '-' && w->at[1] == '-') {
		w->at += strcspn(w->at, "\r\n");
		w->blank = true;
	} else if (w->at[0] == '/' && w->at[1] == '*') {
		skip_block(w);
		w->blank = true;
	} else {
		put(w, *w->at++);
	}
}

static void put_next(struct writer *w)
{
	switch (kind_of(*w->at)) {
	case BLANK:
		w->blank = true;
		w->at++;
		break;
	case LETTER:
		put_word(w);
		break;
	case NAME:
		put_name(w);
		break;
	case DOLLAR:
		put_parameter(w);
		break;
	case COMMENT:
		skip_comment(w);
		break;
	case EQUALS:
		put(w, *w->at++);
		w->ended = w->ended || w->sets;
		break;
	case SEMICOLON:
		w->sets = false;
		put(w, *w->at++);
		break;
	case OTHER:
		put(w, *w->at++);
		break;
	case DIGIT:
	case STRING:
	case END:
		w->ended = true;
		break;
	}
}

void headline(const char *text, bool goes_on, char *line, size_t size)
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
