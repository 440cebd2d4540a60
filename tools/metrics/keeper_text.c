/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's state as Prometheus and OpenMetrics have it in text. */
#include "metrics/keeper_text.h"

#include <inttypes.h>

#include "metrics/prometheus_text.h"

static const struct family {
	const char *kind; /* of the lines that it is made of, */
	const char *key;  /* and their key */
	const char *name;
	const char *help;
} families[] = {
	{"keeper", "members", "pqpool_keeper_members", "Processes that share."},
	{"keeper", "limit", "pqpool_keeper_sessions_limit",
         "The limit of sessions for each set of connection parameters."},
	{"pool", "in_use", "pqpool_keeper_sessions_in_use", "Sessions that processes use."},
	{"pool", "idle", "pqpool_keeper_sessions_idle",
         "Sessions that are idle, with the keeper or in a process."},
	{"pool", "waiting", "pqpool_keeper_waiting", "Connects that wait for a session."},
};

static void put_family(FILE *to, const struct family *family, const struct show_lines *lines)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s gauge\n", family->name, family->help,
	        family->name);
	for (size_t i = 0; i < lines->count; i++) {
		const char *pool = log_line_get(&lines->all[i], "pool");
		uint64_t value;

		if (!show_lines_is(&lines->all[i], family->kind) ||
		    !show_lines_sum(lines, i, family->key, &value)) {
			continue;
		}
		fputs(family->name, to);
		if (pool != NULL) {
			fputc('{', to);
			prometheus_text_label(to, "pool", pool);
			fputc('}', to);
		}
		fprintf(to, " %" PRIu64 "\n", value);
	}
}

void keeper_text_write(FILE *to, const struct show_lines *lines)
{
	for (size_t i = 0; lines->count > 0 && i < sizeof(families) / sizeof(families[0]);
	     i++) {
		put_family(to, &families[i], lines);
	}
}
