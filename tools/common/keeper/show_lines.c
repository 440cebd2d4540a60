/* SPDX-License-Identifier: PostgreSQL */
/* What `pqpool keep show` says, taken apart. */
#include "common/keeper/show_lines.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

void show_lines_parse(struct show_lines *lines, char *text)
{
	*lines = (struct show_lines){.text = text};
	for (char *at = text; at != NULL && *at != '\0';) {
		size_t n = strcspn(at, "\n");
		char *next = at + n + (at[n] == '\n');

		at[n] = '\0';
		lines->all = xalloc_resize(lines->all, lines->count + 1, sizeof(*lines->all));
		lines->count += log_line_parse(&lines->all[lines->count], at);
		at = next;
	}
}

void show_lines_free(struct show_lines *lines)
{
	free(lines->all);
	free(lines->text);
}

bool show_lines_is(const struct log_line *line, const char *kind)
{
	const char *its = log_line_get(line, "kind");

	return its != NULL && strcmp(its, kind) == 0;
}

static bool is_same(const struct log_line *a, const struct log_line *b)
{
	const char *pool_a = log_line_get(a, "pool");
	const char *pool_b = log_line_get(b, "pool");
	const char *kind = log_line_get(a, "kind");

	return kind != NULL && show_lines_is(b, kind) &&
	       (pool_a == NULL || pool_b == NULL ? pool_a == pool_b
	                                         : strcmp(pool_a, pool_b) == 0);
}

bool show_lines_sum(const struct show_lines *lines, size_t i, const char *key, uint64_t *sum)
{
	bool found = false;

	*sum = 0;
	for (size_t j = 0; j < lines->count; j++) {
		uint64_t value;

		if (!is_same(&lines->all[i], &lines->all[j])) {
			continue;
		}
		if (j < i) {
			return false;
		}
		if (log_line_u64(&lines->all[j], key, &value)) {
			*sum += value;
			found = true;
		}
	}
	return found;
}
