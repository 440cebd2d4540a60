/* SPDX-License-Identifier: PostgreSQL */
/* The totals of a process, as text and as a line of the log. */
#include "trace/report/totals.h"

#include "trace/lease/counters.h"
#include "trace/log/record.h"

#define REASONS_BYTES 1024

static uint64_t closed_for(unsigned reason)
{
	return counters_get((enum counter)(COUNTER_CLOSED + reason));
}

static uint64_t count_closed(void)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < COUNTERS_REASONS; i++) {
		all += closed_for(i);
	}
	return all;
}

/* "surplus 3, aged 1" */
static void put_reasons(struct strbuf *t)
{
	const char *separator = NULL;

	for (unsigned i = 0; i < COUNTERS_REASONS; i++) {
		const char *name = counters_reason_name(i);
		uint64_t n = closed_for(i);

		if (n > 0 && name != NULL) {
			strbuf_str(t, separator);
			strbuf_str(t, name);
			strbuf_char(t, ' ');
			strbuf_u64(t, n);
			separator = ", ";
		}
	}
}

void totals_put(struct strbuf *t)
{
	uint64_t closed = count_closed();
	uint64_t peak = counters_get(COUNTER_PEAK);
	uint64_t limit = counters_get(COUNTER_LIMIT);
	uint64_t waits = counters_get(COUNTER_WAITS);

	strbuf_count(t, counters_get(COUNTER_OPENED), "session");
	strbuf_str(t, " opened, ");
	strbuf_u64(t, closed);
	strbuf_str(t, " closed");
	if (closed > 0) {
		strbuf_str(t, " (");
		put_reasons(t);
		strbuf_char(t, ')');
	}
	strbuf_str(t, "; ");
	if (peak > 0) {
		strbuf_str(t, "at most ");
		strbuf_u64(t, peak);
		if (limit > 0) {
			strbuf_str(t, " of ");
			strbuf_u64(t, limit);
		}
		strbuf_str(t, " in use at once; ");
	}
	strbuf_count(t, waits, "wait");
	if (waits > 0) {
		strbuf_str(t, ", the longest ");
		strbuf_span(t, counters_get(COUNTER_LONGEST_NS));
	}
	strbuf_str(t, ", ");
	strbuf_count(t, counters_get(COUNTER_TIMEOUTS), "timeout");
}

/* Children that never connected write no totals. */
static bool is_idle(const struct lease_totals *leases)
{
	return leases->begun == 0 && counters_get(COUNTER_OPENED) == 0 &&
	       counters_get(COUNTER_OPEN_FAILED) == 0 && counters_get(COUNTER_WAITS) == 0;
}

static void log_sessions(struct record *r)
{
	char buf[REASONS_BYTES];
	struct strbuf reasons;

	strbuf_init(&reasons, buf, sizeof(buf));
	put_reasons(&reasons);
	record_u64(r, "opened", counters_get(COUNTER_OPENED));
	record_u64(r, "open_failed", counters_get(COUNTER_OPEN_FAILED));
	record_u64(r, "closed", count_closed());
	if (reasons.len > 0) {
		record_str(r, "reasons", buf);
	}
	record_u64(r, "peak", counters_get(COUNTER_PEAK));
	if (counters_get(COUNTER_LIMIT) > 0) {
		record_u64(r, "limit", counters_get(COUNTER_LIMIT));
	}
}

void totals_log(const struct lease_totals *leases)
{
	struct record r;

	if (is_idle(leases) || !record_begin(&r, LEVEL_INFO, "totals")) {
		return;
	}
	record_u64(&r, "acquired", leases->begun);
	record_u64(&r, "released", leases->ended);
	log_sessions(&r);
	record_u64(&r, "waits", counters_get(COUNTER_WAITS));
	record_us(&r, "waited_us", counters_get(COUNTER_WAITED_NS));
	record_us(&r, "longest_us", counters_get(COUNTER_LONGEST_NS));
	record_u64(&r, "timeouts", counters_get(COUNTER_TIMEOUTS));
	record_end(&r);
}
