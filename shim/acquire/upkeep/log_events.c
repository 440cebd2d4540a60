/* SPDX-License-Identifier: PostgreSQL */
/* The log lines about pools, sessions and leases: one function for each event. */
#include "acquire/upkeep/log_events.h"

#include "trace/lease/counters.h"
#include "trace/log/record.h"
#include "trace/report/hold_pairs.h"
#include "trace/status/status.h"

/* One line of the log: its block, which adds the pairs, runs if the level is wanted. */
#define LOG_EVENT(r, level, event)                                                             \
	for (struct record line, *r = record_begin(&line, level, event) ? &line : NULL;        \
	     r != NULL; record_end(r), r = NULL)

static uint32_t row_of(const struct lender *lender)
{
	return lender != NULL ? lender->pool.row : 0;
}

static void put_pool(struct record *r, const struct lease *lease)
{
	if (lease->pool_plain) {
		record_word(r, "pool", lease->pool);
	} else {
		record_str(r, "pool", lease->pool);
	}
}

static void put_session(struct record *r, const struct session *session)
{
	record_u64(r, "session", session->id);
	record_i64(r, "backend", session->backend_pid);
	put_pool(r, &session->lease);
}

static void put_lease(struct record *r, const struct lease *lease)
{
	record_u64(r, "lease", lease->id);
	record_u64(r, "session", lease->session);
	record_i64(r, "backend", lease->backend_pid);
	put_pool(r, lease);
	if (!lease->pooled) {
		record_word(r, "pooled", "no");
	}
}

void log_event_pool_open(const struct lender *lender)
{
	LOG_EVENT (r, LEVEL_INFO, "pool_open") {
		record_str(r, "pool", lender->identity->label);
	}
}

void log_event_session_open(const struct session *session, uint64_t took_ns)
{
	status_opened(row_of(session->lender));
	counters_add(COUNTER_OPENED, 1);
	LOG_EVENT (r, LEVEL_INFO, "session_open") {
		put_session(r, session);
		record_us(r, "took_us", took_ns);
		record_str(r, "msg", "creating new database session");
	}
}

void log_event_session_borrow(const struct session *session)
{
	status_opened(row_of(session->lender));
	counters_add(COUNTER_OPENED, 1);
	LOG_EVENT (r, LEVEL_INFO, "session_borrow") {
		put_session(r, session);
	}
}

void log_event_session_close(const struct session *session, enum drop_reason why)
{
	status_closed(row_of(session->lender), why);
	counters_closed(why);
	LOG_EVENT (r, LEVEL_INFO, "session_close") {
		put_session(r, session);
		record_word(r, "reason", drop_reason_name(why));
	}
}

void log_event_open_failed(const struct lender *lender, const char *error, uint64_t took_ns)
{
	counters_add(COUNTER_OPEN_FAILED, 1);
	LOG_EVENT (r, LEVEL_INFO, "session_open_failed") {
		record_str(r, "pool", lender->identity->label);
		record_us(r, "took_us", took_ns);
		record_str(r, "error",
		           lender->identity->label_named
		                   ? error
		                   : "not shown: the database's name is a connection string");
	}
}

void log_event_acquire(const struct session *session, uint64_t queued_ns)
{
	const struct lease *lease = &session->lease;
	LOG_EVENT (r, LEVEL_INFO, "acquire") {
		put_lease(r, lease);
		record_us(r, "wait_us", lease->wait_ns);
		if (queued_ns > 0) {
			record_us(r, "queued_us", queued_ns);
		}
		record_stack(r, "stack", lease->stack);
	}
}

void log_event_release(const struct lease *ended, enum drop_reason why, uint32_t stack)
{
	LOG_EVENT (r, LEVEL_INFO, "release") {
		put_lease(r, ended);
		hold_pairs_put(r, ended, ended->ended_ns);
		if (why == DROP_NONE) {
			record_word(r, "kept", "yes");
		} else {
			record_word(r, "kept", "no");
			record_word(r, "reason", drop_reason_name(why));
		}
		if (ended->at_exit) {
			record_word(r, "at_exit", "yes");
		}
		record_stack(r, "stack", stack);
	}
}

void log_event_check_failed(const struct session *session, enum drop_reason why)
{
	LOG_EVENT (r, LEVEL_INFO, drop_reason_name(why)) {
		put_session(r, session);
	}
}

static const char *const explanations[DROP_REASONS] = {
	[DROP_CUSTOM_SETTING] =
		("a statement names a customised setting, which no reset makes NULL again: "
                 "to be pooled, set it in the connection string (options=-c NAME=VALUE)"),
	[DROP_CONNECT_NOTICE] = ("the server sends a notice at each connect, which a pooled "
                                 "connect would not repeat: remove its cause (notice=)"),
	[DROP_LOGIN_TRIGGER] = ("the database has login event triggers, which each connect has "
                                "to run: without them its sessions are kept"),
};

bool log_event_can_explain(enum drop_reason why)
{
	return explanations[why] != NULL;
}

void log_event_not_kept(const struct session *session, enum drop_reason why)
{
	LOG_EVENT (r, LEVEL_WARNING, "not_kept") {
		put_pool(r, &session->lease);
		record_word(r, "reason", drop_reason_name(why));
		if (why == DROP_CONNECT_NOTICE) {
			record_str(r, "notice", session->seen.notice);
		}
		record_str(r, "msg", explanations[why]);
	}
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

void log_event_wait(struct lender *lender)
{
	counters_add(COUNTER_WAITS, 1);
	LOG_EVENT (r, LEVEL_INFO, "wait") {
		put_counts(r, lender, pool_count(&lender->pool));
	}
}

void log_event_timeout(const struct lender *lender, struct pool_counts counts,
                       uint64_t waited_ns, const char *verdict, bool proven)
{
	counters_add(COUNTER_TIMEOUTS, 1);
	LOG_EVENT (r, LEVEL_WARNING, "timeout") {
		put_counts(r, lender, counts);
		record_us(r, "wait_us", waited_ns);
		record_word(r, "verdict", verdict);
		if (proven) {
			record_word(r, "proven", "yes");
		}
	}
}

/* What is known of a lease that is still open, besides its numbers. */
static void put_hold(struct record *r, const struct lease *lease, uint64_t now_ns)
{
	put_lease(r, lease);
	hold_pairs_put(r, lease, now_ns);
	record_i64(r, "thread", lease->tid);
	record_word(r, "transaction", lease_transaction_name(lease->transaction));
	if (lease->statement[0] != '\0') {
		record_str(r, "statement", lease->statement);
	}
}

void log_event_holder(const struct lease *lease, const char *thread_state, uint64_t now_ns)
{
	LOG_EVENT (r, LEVEL_WARNING, "holder") {
		put_hold(r, lease, now_ns);
		if (!lease->open) {
			record_word(r, "state", "connecting");
		}
		if (thread_state != NULL) {
			record_word(r, "thread_state", thread_state);
		}
		record_stack(r, "stack", lease->stack);
	}
}

void log_event_turn_lost(struct lender *lender, const struct log_event_turn *turn,
                         uint64_t now_ns)
{
	LOG_EVENT (r, LEVEL_INFO, "turn_lost") {
		put_counts(r, lender, pool_count(&lender->pool));
		record_i64(r, "thread", turn->tid);
		record_us(r, "begun_us", now_ns - turn->begun_ns);
		record_str(
			r, "msg",
			"an asynchronous connect was not polled in time; its turn went to the "
			"next in line: poll it whenever its descriptor is ready");
		record_stack(r, "stack", turn->stack);
	}
}

void log_event_suspected_deadlock(const struct lender *lender, struct pool_counts counts,
                                  uint64_t waited_ns)
{
	LOG_EVENT (r, LEVEL_WARNING, "suspected_deadlock") {
		put_counts(r, lender, counts);
		record_us(r, "wait_us", waited_ns);
		record_str(r, "msg",
		           "all sessions are held by threads that wait for one themselves: "
		           "give one back before taking another, or raise PQPOOL_SIZE");
	}
}

void log_event_long_hold(const struct lease *lease, uint64_t now_ns)
{
	LOG_EVENT (r, LEVEL_WARNING, "long_hold") {
		put_hold(r, lease, now_ns);
		if (lease->used_ns > lease->began_ns && lease->used_ns < now_ns) {
			record_us(r, "unused_us", now_ns - lease->used_ns);
		}
		record_stack(r, "stack", lease->stack);
	}
}

void log_event_long_hold_ended(const struct lease *ended, uint64_t now_ns)
{
	LOG_EVENT (r, LEVEL_WARNING, "long_hold_ended") {
		put_lease(r, ended);
		hold_pairs_put(r, ended, now_ns);
		record_str(r, "msg", "the lease that was held for long was given back");
	}
}

void log_event_near_limit(const struct lender *lender, struct pool_counts counts,
                          uint64_t since_ns)
{
	LOG_EVENT (r, LEVEL_WARNING, "near_limit") {
		put_counts(r, lender, counts);
		record_us(r, "since_us", since_ns);
	}
}

void log_event_misuse(const struct lease *last, const char *function, uint32_t stack)
{
	char buf[128];
	struct strbuf msg;
	LOG_EVENT (r, LEVEL_WARNING, "misuse") {
		strbuf_init(&msg, buf, sizeof(buf));
		strbuf_str(&msg, function);
		strbuf_str(&msg, " on a finished connection: nothing may be done with it after "
		                 "PQfinish");
		put_lease(r, last);
		record_str(r, "msg", buf);
		record_stack(r, "stack", stack);
		record_stack(r, "finish_stack", last->end_stack);
	}
}
