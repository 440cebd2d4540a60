/* SPDX-License-Identifier: PostgreSQL */
/* The pools as Prometheus and OpenMetrics have it in text. */
#include "metrics/prometheus_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/terminal_text.h"
#include "common/xalloc.h"

/* What a sample is made of: the pools of one name in one process. */
struct series {
	char *labels; /* program="app",pid="71",pool="app@db:5432/shop" */
	const struct page *page;
	struct status_pool sum;
	bool unlimited;
	uint64_t oldest_ns; /* held so long by now */
};

struct all_series {
	struct series *all;
	size_t count;
};

enum unit { PLAIN, MICROSECONDS, NANOSECONDS };

struct family {
	const char *name;
	const char *type;
	const char *help;
	enum unit unit; /* of what `value` gives; what is written is in seconds */
	/* False: this series has no such sample. */
	bool (*value)(const struct series *series, uint64_t *value);
};

/* A member of struct status_pool as a family's value. */
#define MEMBER(member)                                                                         \
	static bool take_##member(const struct series *series, uint64_t *value)                \
	{                                                                                      \
		*value = series->sum.member;                                                   \
		return true;                                                                   \
	}

MEMBER(in_use)
MEMBER(idle)
MEMBER(waiting)
MEMBER(peak)
MEMBER(acquired)
MEMBER(released)
MEMBER(held_us)
MEMBER(waits)
MEMBER(wait_us)
MEMBER(wait_max_us)
MEMBER(timeouts)
MEMBER(opened)

static bool take_limit(const struct series *series, uint64_t *value)
{
	*value = series->sum.limit;
	return !series->unlimited;
}

static bool take_oldest(const struct series *series, uint64_t *value)
{
	*value = series->oldest_ns;
	return true;
}

static const struct family families[] = {
	{"pqpool_sessions_in_use", "gauge", "Sessions in use by the program.", PLAIN,
         take_in_use},
	{"pqpool_sessions_idle", "gauge", "Sessions that are idle in the pool.", PLAIN,
         take_idle},
	{"pqpool_sessions_limit", "gauge", "The limit of sessions.", PLAIN, take_limit},
	{"pqpool_sessions_in_use_peak", "gauge", "The most sessions in use at once so far.",
         PLAIN, take_peak},
	{"pqpool_waiting", "gauge", "Connects that wait for a session.", PLAIN, take_waiting},
	{"pqpool_oldest_lease_seconds", "gauge",
         "Age of the oldest open lease; 0 if there is none.", NANOSECONDS, take_oldest},
	{"pqpool_leases_total", "counter", "Leases acquired.", PLAIN, take_acquired},
	{"pqpool_leases_ended_total", "counter", "Leases released.", PLAIN, take_released},
	{"pqpool_lease_seconds_total", "counter", "Total time that released leases were held.",
         MICROSECONDS, take_held_us},
	{"pqpool_waits_total", "counter",
         "Connects that waited for a session and no longer do.", PLAIN, take_waits},
	{"pqpool_wait_seconds_total", "counter", "Total time that connects waited.",
         MICROSECONDS, take_wait_us},
	{"pqpool_wait_longest_seconds", "gauge", "The longest wait so far.", MICROSECONDS,
         take_wait_max_us},
	{"pqpool_timeouts_total", "counter",
         "Connects that failed because no session became free in time.", PLAIN, take_timeouts},
	{"pqpool_sessions_opened_total", "counter", "Sessions opened on the server.", PLAIN,
         take_opened},
};

/* ---- series ---- */

void prometheus_text_label(FILE *to, const char *name, const char *value)
{
	char *shown = terminal_text(value);

	fprintf(to, "%s=\"", name);
	for (const char *s = shown; *s != '\0'; s++) {
		if (*s == '\\' || *s == '"') {
			fputc('\\', to);
		}
		fputc(*s, to);
	}
	fputc('"', to);
	free(shown);
}

static char *make_labels(const struct page *page, const char *pool)
{
	char *labels = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&labels, &n);
	char pid[24];

	if (to == NULL) {
		return xalloc_copy("", 0);
	}
	snprintf(pid, sizeof(pid), "%d", (int)page->pid);
	prometheus_text_label(to, "program", page->program);
	fputc(',', to);
	prometheus_text_label(to, "pid", pid);
	fputc(',', to);
	prometheus_text_label(to, "pool", pool);
	fclose(to);
	return labels;
}

static void add_up(struct status_pool *sum, const struct status_pool *row)
{
	sum->limit += row->limit;
	sum->in_use += row->in_use;
	sum->idle += row->idle;
	sum->waiting += row->waiting;
	sum->peak += row->peak;
	sum->acquired += row->acquired;
	sum->released += row->released;
	sum->held_us += row->held_us;
	sum->waits += row->waits;
	sum->wait_us += row->wait_us;
	sum->timeouts += row->timeouts;
	sum->opened += row->opened;
	if (row->wait_max_us > sum->wait_max_us) {
		sum->wait_max_us = row->wait_max_us;
	}
	for (size_t i = 0; i < STATUS_REASONS; i++) {
		sum->closed[i] += row->closed[i];
	}
}

static uint64_t oldest_of(const struct page *page, const struct page_pool *pool)
{
	uint64_t oldest_ns = 0;

	for (size_t i = 0; i < page->session_count; i++) {
		const struct page_session *session = &page->sessions[i];

		if (session->pool == pool && session->row.state == STATUS_SESSION_LEASED &&
		    pages_held_ns(page, session) > oldest_ns) {
			oldest_ns = pages_held_ns(page, session);
		}
	}
	return oldest_ns;
}

/* Adds a pool to the series of its name, which are those from `first` on. */
static void add_pool(struct all_series *series, size_t first, const struct page *page,
                     const struct page_pool *pool)
{
	char *labels = make_labels(page, pool->label);
	uint64_t oldest_ns = oldest_of(page, pool);
	struct series *one = NULL;

	for (size_t i = first; i < series->count && one == NULL; i++) {
		one = strcmp(series->all[i].labels, labels) == 0 ? &series->all[i] : NULL;
	}
	if (one == NULL) {
		series->all =
			xalloc_resize(series->all, series->count + 1, sizeof(*series->all));
		one = &series->all[series->count++];
		memset(one, 0, sizeof(*one));
		one->labels = labels;
		one->page = page;
	} else {
		free(labels);
	}
	add_up(&one->sum, &pool->row);
	one->unlimited = one->unlimited || pool->row.limit == STATUS_NO_LIMIT;
	one->oldest_ns = oldest_ns > one->oldest_ns ? oldest_ns : one->oldest_ns;
}

/* ---- samples ---- */

static void put_value(FILE *to, enum unit unit, uint64_t value)
{
	switch (unit) {
	case PLAIN:
		fprintf(to, " %" PRIu64 "\n", value);
		break;
	case NANOSECONDS:
		value /= 1000;
		/* fallthrough */
	case MICROSECONDS:
		fprintf(to, " %" PRIu64 ".%06" PRIu64 "\n", value / 1000000, value % 1000000);
		break;
	}
}

static void put_head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_family(FILE *to, const struct family *family, const struct all_series *series)
{
	put_head(to, family->name, family->type, family->help);
	for (size_t i = 0; i < series->count; i++) {
		uint64_t value;

		if (family->value(&series->all[i], &value)) {
			fprintf(to, "%s{%s}", family->name, series->all[i].labels);
			put_value(to, family->unit, value);
		}
	}
}

/* How many were closed for the reason in this row of the page; 0 if a row before has it, too.
 */
static uint64_t closed_for(const struct series *one, size_t reason)
{
	uint64_t count = 0;

	for (size_t i = 0; i < STATUS_REASONS; i++) {
		if (strcmp(one->page->reasons[i], one->page->reasons[reason]) == 0) {
			if (i < reason) {
				return 0;
			}
			count += one->sum.closed[i];
		}
	}
	return count;
}

/* One sample for each reason that there was: a sample that comes twice is none to Prometheus.
 */
static void put_closed(FILE *to, const struct all_series *series)
{
	static const char name[] = "pqpool_sessions_closed_total";

	put_head(to, name, "counter", "Sessions closed, by reason.");
	for (size_t i = 0; i < series->count; i++) {
		const struct series *one = &series->all[i];

		for (size_t reason = 0; reason < STATUS_REASONS; reason++) {
			const char *word = one->page->reasons[reason];
			uint64_t count = closed_for(one, reason);

			if (count == 0 || word[0] == '\0') {
				continue;
			}
			fprintf(to, "%s{%s,", name, one->labels);
			prometheus_text_label(to, "reason", word);
			fprintf(to, "} %" PRIu64 "\n", count);
		}
	}
}

void prometheus_text_write(FILE *to, const struct pages *pages)
{
	struct all_series series = {0};

	for (size_t i = 0; i < pages->count; i++) {
		const struct page *page = &pages->all[i];
		size_t first = series.count;

		for (size_t j = 0; page->live && j < page->pool_count; j++) {
			add_pool(&series, first, page, &page->pools[j]);
		}
	}
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		put_family(to, &families[i], &series);
	}
	put_closed(to, &series);
	for (size_t i = 0; i < series.count; i++) {
		free(series.all[i].labels);
	}
	free(series.all);
}
