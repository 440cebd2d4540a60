/* SPDX-License-Identifier: PostgreSQL */
/* The settings that connects and sessions obey. */
#include "acquire/lend/lend_settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/acquisition.h"
#include "acquire/upkeep/long_hold.h"
#include "base/clock.h"
#include "base/cold.h"
#include "base/config/program.h"
#include "base/dl.h"
#include "base/lock.h"
#include "base/text/strbuf.h"
#include "base/thread/thread_block.h"
#include "pool/registry.h"
#include "pool/thread_cache.h"
#include "session/query_call.h"
#include "session/socket/epoll_registrations.h"
#include "share/member.h"
#include "trace/lease/counters.h"
#include "trace/lease/lease.h"
#include "trace/script/interpreters.h"
#include "trace/status/status.h"

_Static_assert(DROP_REASONS <= COUNTERS_REASONS, "each reason has its counter");

/*
 * By how much the server's limit on an idle session is greater than ours: a session that may
 * still be lent is not ended on its way.
 */
#define IDLE_MARGIN_MS 1000

/* The kernel allows no longer keepalive. */
#define KEEPALIVE_MAX_S 32767

struct lend_settings lend_settings;

static uint32_t to_limit(int64_t value)
{
	return value < 0 ? POOL_NO_LIMIT : (uint32_t)value;
}

static void set_limits(const struct config *config)
{
	struct pool_limits limits = {
		.size = config->size == 0 ? POOL_NO_LIMIT : to_limit(config->size),
		.fifo = config->order == ORDER_FIFO,
		.idle_timeout_ns = (uint64_t)config->idle_timeout_ms * NS_PER_MS,
	};

	limits.total = POOL_NO_LIMIT;
	if (config->size > 0 && config->max_overflow >= 0) {
		limits.total = (uint32_t)(config->size + config->max_overflow);
		limits.warn_at = (uint32_t)((limits.total * config->warn_at + 99) / 100);
	}
	if (config->recycle_ms >= 0) {
		/* 0 is "at once"; for the pool 0 is "never". */
		limits.recycle_ns = (uint64_t)config->recycle_ms * NS_PER_MS + 1;
	}
	registry_configure(&limits);
}

static void set_keepalive(const struct config *config)
{
	int64_t seconds = (config->keepalive_ms + 999) / 1000;

	lend_settings.keepalive_s =
		(int)(seconds < KEEPALIVE_MAX_S ? seconds : KEEPALIVE_MAX_S);
}

/* The ping query, and what puts the server's limit back; NULL: out of memory. */
static const char *join_undo(const char *query)
{
	size_t len = strlen(query);
	size_t size = len + sizeof("\n;" IDLE_LIMIT_UNDO);
	char *both;
	struct strbuf t;

	if (len == 0) {
		return IDLE_LIMIT_UNDO;
	}
	both = malloc(size);
	if (both != NULL) {
		/* The query may end in a comment. */
		strbuf_init(&t, both, size);
		strbuf_str(&t, query);
		strbuf_str(&t, "\n;" IDLE_LIMIT_UNDO);
	}
	return both;
}

/* Where each lease begins with a ping, which puts the limit back, and nothing is left to it. */
static void set_idle_limit(const struct config *config)
{
	struct session_care *care = &lend_settings.care;

	if (config->idle_timeout_ms > 0 &&
	    config->idle_timeout_ms <= INT_MAX - IDLE_MARGIN_MS &&
	    care->pre_ping == PRE_PING_ON && reset_is_whole(care)) {
		care->ping_and_undo = join_undo(care->ping_query);
		care->idle_limit_ms =
			care->ping_and_undo != NULL
				? (uint64_t)config->idle_timeout_ms + IDLE_MARGIN_MS
				: 0;
	}
}

static const char *name_reason(unsigned reason)
{
	return drop_reason_name((enum drop_reason)reason);
}

/* At the end of a process or interpreter, threads are ended that went on with theirs. */
static COLD void at_thread_end(void)
{
	if (!lock_barred() && !acquisition_is_closing() && !interpreters_ending(dl_changes())) {
		lease_note_thread_end();
	}
}

void lend_configure(const struct config *config)
{
	struct identity_settings identity = {.route = config->route,
	                                     .connect_timeout_s = config->connect_timeout_s};

	status_configure(config, program_short_name(), name_reason, DROP_REASONS);
	identity_configure(&identity);
	thread_cache_configure();
	thread_block_at_end(abandoned_call_thread_end);
	thread_block_at_end(at_thread_end);
	set_limits(config);
	long_hold_configure((uint64_t)config->long_hold_ms * NS_PER_MS);
	epoll_arm();
	counters_name_reasons(name_reason, DROP_REASONS);
	query_call_configure(config->reset == RESET_AUTO);
	lend_settings.care.reset = config->reset;
	lend_settings.care.pre_ping = config->pre_ping;
	lend_settings.care.ping_query = config->ping_query != NULL ? config->ping_query : "";
	lend_settings.care.ping_timeout_ns = (uint64_t)config->ping_timeout_ms * NS_PER_MS;
	set_idle_limit(config);
	lend_settings.timeout_ns = (uint64_t)config->timeout_ms * NS_PER_MS;
	member_configure(config->share);
	/* Others may have sessions to spare. */
	lend_settings.prewarm = member_is_on() ? 0 : (uint32_t)config->prewarm;
	lend_settings.prewarm_ns = (uint64_t)config->connect_timeout_s * NS_PER_SEC;
	lend_settings.stack_depth = (unsigned)config->stack_depth;
	set_keepalive(config);
}
