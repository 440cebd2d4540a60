/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the shim says of statements: reads them from standard input, each with a NUL behind it,
 * and writes for each a line, whether it is harmless (0, 1) and its effects (bits).
 */
#include <stdio.h>
#include <stdlib.h>

#include "sql/effects.h"
#include "sql/harmless.h"

int main(void)
{
	char *text = NULL;
	size_t size = 0;

	while (getdelim(&text, &size, '\0', stdin) > 0) {
		printf("%d %u\n", statement_is_harmless(text, true), statement_effects(text));
	}
	free(text);
	return 0;
}
