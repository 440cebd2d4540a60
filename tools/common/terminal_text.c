/* SPDX-License-Identifier: PostgreSQL */
/* Untrusted text, made safe for a terminal. */
#include "common/terminal_text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define ESCAPED_BYTES 4 /* "\x1b" */

/* The first byte of a character of 2, 3, 4 bytes, its bits, and the least it may mean. */
static const struct {
	unsigned char mask, first;
	unsigned least;
} shapes[] = {[2] = {0xe0, 0xc0, 0x80}, [3] = {0xf0, 0xe0, 0x800}, [4] = {0xf8, 0xf0, 0x10000}};

size_t terminal_text_utf8(const char *s, unsigned *code)
{
	unsigned char c = (unsigned char)*s;

	if (c < 0x80) {
		*code = c;
		return 1;
	}
	for (size_t n = 2; n <= 4; n++) {
		if ((c & shapes[n].mask) != shapes[n].first) {
			continue;
		}
		*code = c & (unsigned char)~shapes[n].mask;
		for (size_t i = 1; i < n; i++) {
			if (((unsigned char)s[i] & 0xc0) != 0x80) {
				return 0;
			}
			*code = *code << 6 | ((unsigned char)s[i] & 0x3f);
		}
		return *code >= shapes[n].least && *code <= 0x10ffff &&
		                       (*code < 0xd800 || *code > 0xdfff)
		               ? n
		               : 0;
	}
	return 0;
}

/* Neither a control character nor one that turns the direction of writing round. */
static bool is_harmless(unsigned code)
{
	return code >= ' ' && (code < 0x7f || code > 0x9f) && code != 0x2028 &&
	       code != 0x2029 && (code < 0x202a || code > 0x202e) &&
	       (code < 0x2066 || code > 0x2069);
}

static char *escape(char *to, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";

	*to++ = '\\';
	if (c == '\n' || c == '\t') {
		*to++ = c == '\n' ? 'n' : 't';
		return to;
	}
	*to++ = 'x';
	*to++ = digits[c >> 4];
	*to++ = digits[c & 15];
	return to;
}

char *terminal_text(const char *s)
{
	char *copy = xalloc_new(strlen(s) * ESCAPED_BYTES + 1, 1);
	char *to = copy;

	while (*s != '\0') {
		unsigned code;
		size_t n = terminal_text_utf8(s, &code);

		if (n > 0 && is_harmless(code)) {
			memcpy(to, s, n);
			to += n;
			s += n;
			continue;
		}
		/* Of a harmful character all bytes. */
		for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
			to = escape(to, (unsigned char)*s++);
		}
	}
	return copy;
}

void terminal_text_put(FILE *to, const char *s)
{
	char *clean = terminal_text(s);

	for (const char *p = clean; *p != '\0'; p++) {
		if (*p == '|') {
			fputs("\\x7c", to);
		} else {
			putc(*p, to);
		}
	}
	free(clean);
}

void terminal_text_put_span(FILE *to, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *name;
	} units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
	size_t i = 0;

	while (i < 4 && ms < units[i].ms) {
		i++;
	}
	fprintf(to, "%lld %s", (long long)(ms / units[i].ms), units[i].name);
	if (i < 3) {
		ms %= units[i].ms;
		fprintf(to, " %lld %s", (long long)(ms / units[i + 1].ms), units[i + 1].name);
	}
}
