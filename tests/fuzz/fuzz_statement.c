/* SPDX-License-Identifier: PostgreSQL */
/*
 * Statements: whatever is judged harmless has no effects, and no byte of a literal is shown.
 * Input: 0 and a text; or the room for what is shown, and the numbers of the pieces that a
 * statement is made of, some of which are literals with a secret in them.
 */
#include <string.h>

#include "bytes.h"
#include "sql/effects.h"
#include "sql/harmless.h"
#include "sql/redact_statement.h"

#define SECRET     "8730261"
#define TEXT_MAX   4096
#define LINE_LEAST 16
#define LINE_MAX   200

static const char *const literals[] = {
	"'" SECRET "'",
	"'it''s " SECRET "'",
	"''''" SECRET,
	"E'a\\'" SECRET "'",
	"e'\\\\" SECRET "'",
	"'C:\\" SECRET "'",
	"N'" SECRET "'",
	"B'" SECRET "'",
	"x'" SECRET "'",
	"U&'\\0041" SECRET "'",
	"u&'!0041" SECRET "' UESCAPE '!'",
	"$$" SECRET "$$",
	"$a$ $b$ " SECRET "$a$",
	"$_1$'" SECRET "$_1$",
	"$\xc3\xa4$" SECRET "$\xc3\xa4$",
	SECRET,
	"-" SECRET,
	"." SECRET,
	"0.5" SECRET,
	SECRET "e5",
	"1e-" SECRET,
	"0x" SECRET,
	"1_" SECRET,
	"'a'\n'" SECRET "'",
	"'a' -- it's\n'" SECRET "'",
	"E'a'\n'\\'" SECRET "'",
};

static const char *const pieces[] = {
	"SELECT",
	"select ",
	"FROM",
	"t1",
	"\"a \"\"b\"\" 'c\"",
	"U&\"d\\0061t\"",
	"$1",
	"$2",
	"(",
	")",
	",",
	"=",
	"::",
	"||",
	"@-",
	"*/",
	"/",
	"*",
	"-",
	"<>",
	".",
	";",
	"[",
	"]",
	":",
	"+",
	"/* it's /* a \" comment */ $$ */",
	"-- it's one\n",
	"-- $a$\r",
	"/**/",
	"/*/**/*/",
	" ",
	"\t",
	"\n",
	"\f",
	"\v",
	"SET",
	"SET LOCAL",
	"TO",
	"set_config",
	"ALTER ROLE",
	"PASSWORD",
	"a$b$c",
	"_x",
	"\xc3\xa4",
	"\xff",
	"E",
	"e",
	"B",
	"X",
	"N",
	"U",
	"u&",
	"n$",
	"INTERVAL",
	"DO",
	"DATE",
	"IN",
	"VALUES",
	"\xa3\xa7",
	"\x01",
	"\x7f",
	"#",
	"^",
	"%",
	"!",
	"~",
	"?",
	"|",
	"&",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A copy without a byte behind it. */
static char *copy_text(const uint8_t *at, size_t n)
{
	char *text = malloc(n + 1);

	require(text != NULL);
	memcpy(text, at, n);
	text[n] = '\0';
	return text;
}

static void judge(const char *text)
{
	unsigned effects = statement_effects(text);

	for (int utf8 = 0; utf8 < 2; utf8++) {
		require(!statement_is_harmless(text, utf8 != 0) || effects == 0);
	}
	require(!statement_is_harmless(text, false) || statement_is_harmless(text, true));
}

/* What follows one of these would go on with the word: E'...', 1a, a$b$. */
static bool continues(char last)
{
	return last == '_' || last == '$' || (last & 0x80) != 0 ||
	       (last >= '0' && last <= '9') || ((last | 32) >= 'a' && (last | 32) <= 'z');
}

static char *compose(struct bytes *b)
{
	char text[TEXT_MAX + 64];
	size_t len = 0;

	while (b->left > 0 && len < TEXT_MAX) {
		uint8_t n = take_byte(b);
		const char *next =
			n < 128 ? pieces[n % COUNT(pieces)] : literals[n % COUNT(literals)];

		/* Else it is part of a name, not a literal. */
		if (n >= 128 && len > 0 && continues(text[len - 1])) {
			text[len++] = ' ';
		}
		len = (size_t)(stpcpy(text + len, next) - text);
	}
	return copy_text((const uint8_t *)text, len);
}

static void redact(const char *text, size_t size)
{
	char *line = malloc(size);

	require(line != NULL);
	for (int goes_on = 0; goes_on < 2; goes_on++) {
		redact_statement(text, goes_on != 0, line, size);
		require(memchr(line, '\0', size) != NULL);
		/* Not even three bytes of it in a row. */
		for (const char *part = SECRET; part[2] != '\0'; part++) {
			char three[4] = {part[0], part[1], part[2], '\0'};

			require(strstr(line, three) == NULL);
		}
		for (const char *c = line; *c != '\0'; c++) {
			require(*c >= ' ' && *c < 0x7f);
		}
	}
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	uint8_t room = take_byte(&b);
	char line[LINE_MAX];
	char *text;

	if (room == 0) {
		text = copy_text(b.at, b.left);
		redact_statement(text, false, line, sizeof(line));
	} else {
		text = compose(&b);
		redact(text, LINE_LEAST + room % (LINE_MAX - LINE_LEAST));
	}
	judge(text);
	free(text);
	return 0;
}
