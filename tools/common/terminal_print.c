/* SPDX-License-Identifier: PostgreSQL */
/* Printing names and texts from a server, for a terminal and a monitoring system. */
#include "common/terminal_print.h"

#include <stdlib.h>

#include "common/terminal_text.h"

void shown_text(FILE *to, const char *s)
{
	char *clean = printable(s);

	for (const char *p = clean; *p != '\0'; p++) {
		if (*p == '|') {
			fputs("\\x7c", to);
		} else {
			putc(*p, to);
		}
	}
	free(clean);
}

void shown_span(FILE *to, int64_t ms)
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
