/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's state as families of samples. */
#include "metrics/keeper_text.h"

#include <stdlib.h>

static const struct family {
	const char *kind; /* of the lines that it is made of, */
	const char *key;  /* and their key */
	struct exposition_family head;
} families[] = {
	{"keeper",
         "members",
         {"pqpool_keeper_members", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Processes that share."}},
	{"keeper",
         "limit",
         {"pqpool_keeper_sessions_limit", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "The limit of sessions for each set of connection parameters."}},
	{"pool",
         "in_use",
         {"pqpool_keeper_sessions_in_use", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Sessions that processes use."}},
	{"pool",
         "idle",
         {"pqpool_keeper_sessions_idle", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Sessions that are idle, with the keeper or in a process."}},
	{"pool",
         "waiting",
         {"pqpool_keeper_waiting", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Connects that wait for a session."}},
};

static void put_family(const struct exposition *out, const struct family *family,
                       const struct show_lines *lines)
{
	exposition_begin(out, &family->head);
	for (size_t i = 0; i < lines->count; i++) {
		const char *pool = log_line_get(&lines->all[i], "pool");
		uint64_t value;
		char *labels;

		if (!show_lines_is(&lines->all[i], family->kind) ||
		    !show_lines_sum(lines, i, family->key, &value)) {
			continue;
		}
		labels = pool != NULL ? exposition_with_label("", "pool", pool) : NULL;
		exposition_sample(out, &family->head, labels != NULL ? labels : "", value);
		free(labels);
	}
}

void keeper_text_write(const struct exposition *out, const struct show_lines *lines)
{
	for (size_t i = 0; lines->count > 0 && i < sizeof(families) / sizeof(families[0]);
	     i++) {
		put_family(out, &families[i], lines);
	}
}
