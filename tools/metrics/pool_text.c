/* SPDX-License-Identifier: PostgreSQL */
/* The pools as families of samples. */
#include "metrics/pool_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

struct family {
	struct exposition_family head;
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
	{{"pqpool_sessions_in_use", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Sessions in use by the program."},
         take_in_use},
	{{"pqpool_sessions_idle", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Sessions that are idle in the pool."},
         take_idle},
	{{"pqpool_sessions_limit", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "The limit of sessions."},
         take_limit},
	{{"pqpool_sessions_in_use_peak", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "The most sessions in use at once so far."},
         take_peak},
	{{"pqpool_waiting", EXPOSITION_GAUGE, EXPOSITION_PLAIN,
          "Connects that wait for a session."},
         take_waiting},
	{{"pqpool_oldest_lease_seconds", EXPOSITION_GAUGE, EXPOSITION_NANOSECONDS,
          "Age of the oldest open lease; 0 if there is none."},
         take_oldest},
	{{"pqpool_leases", EXPOSITION_COUNTER, EXPOSITION_PLAIN, "Leases acquired."},
         take_acquired},
	{{"pqpool_leases_ended", EXPOSITION_COUNTER, EXPOSITION_PLAIN, "Leases released."},
         take_released},
	{{"pqpool_lease_seconds", EXPOSITION_COUNTER, EXPOSITION_MICROSECONDS,
          "Total time that released leases were held."},
         take_held_us},
	{{"pqpool_waits", EXPOSITION_COUNTER, EXPOSITION_PLAIN,
          "Connects that waited for a session and no longer do."},
         take_waits},
	{{"pqpool_wait_seconds", EXPOSITION_COUNTER, EXPOSITION_MICROSECONDS,
          "Total time that connects waited."},
         take_wait_us},
	{{"pqpool_wait_longest_seconds", EXPOSITION_GAUGE, EXPOSITION_MICROSECONDS,
          "The longest wait so far."},
         take_wait_max_us},
	{{"pqpool_timeouts", EXPOSITION_COUNTER, EXPOSITION_PLAIN,
          "Connects that failed because no session became free in time."},
         take_timeouts},
	{{"pqpool_sessions_opened", EXPOSITION_COUNTER, EXPOSITION_PLAIN,
          "Sessions opened on the server."},
         take_opened},
};

static const struct exposition_family closed = {"pqpool_sessions_closed", EXPOSITION_COUNTER,
                                                EXPOSITION_PLAIN,
                                                "Sessions closed, by reason."};

/* Not pqpool_wait_seconds: a counter of OpenMetrics has that name already. */
static const struct exposition_family waits = {
	"pqpool_wait_duration_seconds", EXPOSITION_HISTOGRAM, EXPOSITION_MICROSECONDS,
	"How long connects waited that had to, in vain or not."};
static const struct exposition_family holds = {"pqpool_hold_duration_seconds",
                                               EXPOSITION_HISTOGRAM, EXPOSITION_MICROSECONDS,
                                               "How long released leases were held."};

/* ---- series ---- */

static char *make_labels(const struct page *page, const char *pool)
{
	char pid[24];
	char *program = exposition_with_label("", "program", page->program);
	char *process;
	char *labels;

	snprintf(pid, sizeof(pid), "%d", (int)page->pid);
	process = exposition_with_label(program, "pid", pid);
	labels = exposition_with_label(process, "pool", pool);
	free(program);
	free(process);
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
	for (size_t i = 0; i < STATUS_BUCKETS; i++) {
		sum->holds[i] += row->holds[i];
		sum->waited[i] += row->waited[i];
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

static void put_family(const struct exposition *out, const struct family *family,
                       const struct all_series *series)
{
	exposition_begin(out, &family->head);
	for (size_t i = 0; i < series->count; i++) {
		uint64_t value;

		if (family->value(&series->all[i], &value)) {
			exposition_sample(out, &family->head, series->all[i].labels, value);
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
static void put_closed(const struct exposition *out, const struct all_series *series)
{
	exposition_begin(out, &closed);
	for (size_t i = 0; i < series->count; i++) {
		const struct series *one = &series->all[i];

		for (size_t reason = 0; reason < STATUS_REASONS; reason++) {
			const char *word = one->page->reasons[reason];
			uint64_t count = closed_for(one, reason);
			char *labels;

			if (count == 0 || word[0] == '\0') {
				continue;
			}
			labels = exposition_with_label(one->labels, "reason", word);
			exposition_sample(out, &closed, labels, count);
			free(labels);
		}
	}
}

/* Pages before version 4 have none. */
static void put_histogram(const struct exposition *out, const struct exposition_family *family,
                          const struct all_series *series)
{
	exposition_begin(out, family);
	for (size_t i = 0; i < series->count; i++) {
		const struct series *one = &series->all[i];
		const struct status_pool *sum = &one->sum;

		if (one->page->version >= 4) {
			exposition_sample_histogram(
				out, family, one->labels,
				family == &holds
					? &(struct exposition_histogram){sum->holds,
			                                                 status_bucket_ns,
			                                                 sum->held_us}
					: &(struct exposition_histogram){
						  sum->waited, status_bucket_ns, sum->wait_us});
		}
	}
}

void pool_text_write(const struct exposition *out, const struct pages *pages)
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
		put_family(out, &families[i], &series);
	}
	put_closed(out, &series);
	put_histogram(out, &waits, &series);
	put_histogram(out, &holds, &series);
	for (size_t i = 0; i < series.count; i++) {
		free(series.all[i].labels);
	}
	free(series.all);
}
