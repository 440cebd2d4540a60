/* SPDX-License-Identifier: PostgreSQL */
/* The totals of a process, in words and for the log. */
#include "trace/report/totals.h"

#include "trace/lease/counters.h"
#include "trace/log/record.h"

#define REASONS_BYTES 1024

static uint64_t count_of(const atomic_uint_fast64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t count_closed(void)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < COUNTERS_REASONS; i++) {
		all += count_of(&tally.closed[i]);
	}
	return all;
}

/* "surplus 3, aged 1" */
static void put_reasons(struct strbuf *t)
{
	const char *separator = NULL;

	for (unsigned i = 0; i < COUNTERS_REASONS; i++) {
		const char *name = counters_reason_name(i);
		uint64_t n = count_of(&tally.closed[i]);

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
	uint64_t peak = count_of(&tally.peak);
	uint64_t limit = count_of(&tally.limit);
	uint64_t waits = count_of(&tally.waits);

	strbuf_count(t, count_of(&tally.opened), "session");
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
		strbuf_span(t, count_of(&tally.longest_ns));
	}
	strbuf_str(t, ", ");
	strbuf_count(t, count_of(&tally.timeouts), "timeout");
}

/* A process that forks is not told of its children which never connected. */
static bool is_idle(const struct lease_totals *leases)
{
	return leases->begun == 0 && count_of(&tally.opened) == 0 &&
	       count_of(&tally.open_failed) == 0 && count_of(&tally.waits) == 0;
}

static void log_sessions(struct record *r)
{
	char buf[REASONS_BYTES];
	struct strbuf reasons;

	strbuf_init(&reasons, buf, sizeof(buf));
	put_reasons(&reasons);
	record_u64(r, "opened", count_of(&tally.opened));
	record_u64(r, "open_failed", count_of(&tally.open_failed));
	record_u64(r, "closed", count_closed());
	if (reasons.len > 0) {
		record_str(r, "reasons", buf);
	}
	record_u64(r, "peak", count_of(&tally.peak));
	if (count_of(&tally.limit) > 0) {
		record_u64(r, "limit", count_of(&tally.limit));
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
	record_u64(&r, "waits", count_of(&tally.waits));
	record_us(&r, "waited_us", count_of(&tally.waited_ns));
	record_us(&r, "longest_us", count_of(&tally.longest_ns));
	record_u64(&r, "timeouts", count_of(&tally.timeouts));
	record_end(&r);
}
