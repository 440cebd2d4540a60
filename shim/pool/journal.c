/* SPDX-License-Identifier: PostgreSQL */
/* What the log says of lending: one function per event, each one line, and counted. */
#include "pool/journal.h"

#include "base/clock.h"
#include "trace/record.h"
#include "trace/tally.h"

static void put_session(struct record *r, const struct session *session)
{
	record_u64(r, "session", session->id);
	record_i64(r, "backend", session->backend_pid);
	record_str(r, "pool", session->lease.pool);
}

static void put_lease(struct record *r, const struct lease *lease)
{
	record_u64(r, "lease", lease->id);
	record_u64(r, "session", lease->session);
	record_i64(r, "backend", lease->backend_pid);
	record_str(r, "pool", lease->pool);
	if (!lease->pooled) {
		record_str(r, "pooled", "no");
	}
}

void journal_pool_open(const struct lender *lender)
{
	struct record r;

	if (!record_begin(&r, LEVEL_INFO, "pool_open")) {
		return;
	}
	record_str(&r, "pool", lender->identity->label);
	record_end(&r);
}

void journal_session_open(const struct session *session, uint64_t took_ns)
{
	struct record r;

	tally_opened();
	if (!record_begin(&r, LEVEL_INFO, "session_open")) {
		return;
	}
	put_session(&r, session);
	record_us(&r, "took_us", took_ns);
	record_str(&r, "msg", "creating new database session");
	record_end(&r);
}

void journal_session_close(const struct session *session, enum drop_reason why)
{
	struct record r;

	tally_closed(why);
	if (!record_begin(&r, LEVEL_INFO, "session_close")) {
		return;
	}
	put_session(&r, session);
	record_str(&r, "reason", drop_reason_name(why));
	record_end(&r);
}

void journal_open_failed(const struct lender *lender, const char *error, uint64_t took_ns)
{
	struct record r;

	tally_open_failed();
	if (!record_begin(&r, LEVEL_INFO, "session_open_failed")) {
		return;
	}
	record_str(&r, "pool", lender->identity->label);
	record_us(&r, "took_us", took_ns);
	record_str(&r, "error", error);
	record_end(&r);
}

void journal_acquire(const struct session *session)
{
	const struct lease *lease = &session->lease;
	struct record r;

	if (!record_begin(&r, LEVEL_INFO, "acquire")) {
		return;
	}
	put_lease(&r, lease);
	record_us(&r, "wait_us", lease->wait_ns);
	record_stack(&r, "stack", lease->stack);
	record_end(&r);
}

void journal_release(const struct lease *ended, enum drop_reason why, uint32_t stack)
{
	struct record r;

	if (!record_begin(&r, LEVEL_INFO, "release")) {
		return;
	}
	put_lease(&r, ended);
	record_us(&r, "hold_us", clock_monotonic_ns() - ended->began_ns);
	record_str(&r, "kept", why == DROP_NONE ? "yes" : "no");
	if (why != DROP_NONE) {
		record_str(&r, "reason", drop_reason_name(why));
	}
	if (ended->at_exit) {
		record_str(&r, "at_exit", "yes");
	}
	record_stack(&r, "stack", stack);
	record_end(&r);
}

void journal_check_failed(const struct session *session, enum drop_reason why)
{
	struct record r;

	if (!record_begin(&r, LEVEL_INFO, drop_reason_name(why))) {
		return;
	}
	put_session(&r, session);
	record_end(&r);
}

static void put_counts(struct record *r, const struct lender *lender, struct pool_counts counts)
{
	record_str(r, "pool", lender->identity->label);
	record_u64(r, "in_use", counts.used - counts.idle);
	record_u64(r, "waiting", counts.waiting);
	if (lender->pool.limits.total != POOL_NO_LIMIT) {
		record_u64(r, "limit", lender->pool.limits.total);
	}
}

void journal_wait(const struct lender *lender, struct pool_counts counts)
{
	struct record r;

	tally_wait();
	if (!record_begin(&r, LEVEL_INFO, "wait")) {
		return;
	}
	put_counts(&r, lender, counts);
	record_end(&r);
}

void journal_timeout(const struct lender *lender, struct pool_counts counts, uint64_t waited_ns)
{
	struct record r;

	tally_timeout();
	if (!record_begin(&r, LEVEL_WARNING, "timeout")) {
		return;
	}
	put_counts(&r, lender, counts);
	record_us(&r, "wait_us", waited_ns);
	record_end(&r);
}

void journal_misuse(const struct lease *last, const char *function, uint32_t stack)
{
	char buf[128];
	struct text msg;
	struct record r;

	if (!record_begin(&r, LEVEL_WARNING, "misuse")) {
		return;
	}
	text_init(&msg, buf, sizeof(buf));
	text_str(&msg, function);
	text_str(&msg, " on a connection that was finished before");
	put_lease(&r, last);
	record_str(&r, "msg", buf);
	record_stack(&r, "stack", stack);
	record_stack(&r, "finish_stack", last->end_stack);
	record_end(&r);
}
