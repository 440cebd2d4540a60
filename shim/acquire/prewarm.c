/* SPDX-License-Identifier: PostgreSQL */
/* Opens several sessions concurrently, in one thread. */
#include "acquire/prewarm.h"

#include <poll.h>

#include "acquire/lend/lend_settings.h"
#include "acquire/lend/lending.h"
#include "base/clock.h"
#include "base/lock.h"
#include "session/opened/connect_notices.h"
#include "session/reset.h"

struct attempt {
	PGconn *conn; /* NULL when over */
	PostgresPollingStatusType wants;
	struct notices opening;
};

static void begin(struct attempt *attempt, const struct libpq *libpq, const char *conninfo)
{
	*attempt = (struct attempt){.wants = PGRES_POLLING_WRITING};
	attempt->conn = libpq->PQconnectStart(conninfo);
	if (attempt->conn != NULL && libpq->PQstatus(attempt->conn) == CONNECTION_BAD) {
		/* There is no socket to wait for. */
		libpq->PQfinish(attempt->conn);
		attempt->conn = NULL;
	}
	if (attempt->conn != NULL) {
		notices_attach(&attempt->opening, libpq, attempt->conn);
	}
}

/* Ends an attempt; the session if it is one to keep. */
static struct session *end(struct attempt *attempt, const struct libpq *libpq)
{
	struct session *session = NULL;

	notices_detach(&attempt->opening);
	if (attempt->wants == PGRES_POLLING_OK &&
	    notices_verdict(&attempt->opening) == DROP_NONE) {
		session = session_adopt(libpq, attempt->conn);
	}
	if (session == NULL) {
		libpq->PQfinish(attempt->conn);
	} else {
		reset_park(session);
	}
	attempt->conn = NULL;
	return session;
}

/* Waits for any of the attempts to be ready; false at the deadline. */
static bool wait_for_any(const struct attempt *attempts, uint32_t count,
                         const struct libpq *libpq, struct pollfd *polls, uint64_t deadline_ns)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct attempt *a = &attempts[i];

		polls[i].fd = a->conn != NULL ? libpq->PQsocket(a->conn) : -1;
		polls[i].events = a->wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		polls[i].revents = 0;
	}
	lock_assert_none();
	return clock_monotonic_ns() < deadline_ns &&
	       poll(polls, count, clock_ms_until(clock_monotonic_ns(), deadline_ns)) != 0;
}

static bool is_over(PostgresPollingStatusType wants)
{
	return wants != PGRES_POLLING_READING && wants != PGRES_POLLING_WRITING;
}

/*
 * Begins `count` connects, polls them until each has succeeded or failed, or until
 * `deadline_ns`, and stores the good sessions in `out`. Returns how many.
 */
static uint32_t open_concurrently(const struct libpq *libpq, const char *conninfo,
                                  uint32_t count, uint64_t deadline_ns, struct session **out)
{
	struct attempt *attempts = calloc(count, sizeof(*attempts));
	struct pollfd *polls = calloc(count, sizeof(*polls));
	uint32_t under_way = 0;
	uint32_t kept = 0;

	if (attempts == NULL || polls == NULL) {
		count = 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		begin(&attempts[i], libpq, conninfo);
		under_way += attempts[i].conn != NULL;
	}
	while (under_way > 0 && wait_for_any(attempts, count, libpq, polls, deadline_ns)) {
		for (uint32_t i = 0; i < count; i++) {
			struct attempt *a = &attempts[i];

			if (a->conn == NULL || polls[i].revents == 0) {
				continue;
			}
			a->wants = libpq->PQconnectPoll(a->conn);
			if (is_over(a->wants)) {
				out[kept] = end(a, libpq);
				kept += out[kept] != NULL;
				under_way--;
			}
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		if (attempts[i].conn != NULL) {
			end(&attempts[i], libpq);
		}
	}
	free(attempts);
	free(polls);
	return kept;
}

void prewarm_pool(struct acquisition *a)
{
	struct pool *pool = &a->lender->pool;
	struct session **sessions;
	uint32_t wanted =
		lend_settings.prewarm < PREWARM_MAX ? lend_settings.prewarm : PREWARM_MAX;
	uint32_t reserved;
	uint32_t opened;
	uint64_t now_ns = clock_monotonic_ns();

	if (wanted > pool->limits.size) {
		wanted = pool->limits.size;
	}
	/* One of them is for the program: the acquire that follows finds it idle. */
	sessions = calloc(wanted > 0 ? wanted : 1, sizeof(*sessions));
	if (sessions == NULL) {
		return;
	}
	reserved = pool_reserve(pool, wanted);
	blocked_call_hold_rooms(&a->ticket, a->lender, reserved);
	blocked_call_block(&a->ticket, DEADLINE_NEVER);
	opened = open_concurrently(a->libpq, a->spelling->conninfo, reserved,
	                           lend_settings.prewarm_ns > 0
	                                   ? now_ns + lend_settings.prewarm_ns
	                                   : DEADLINE_NEVER,
	                           sessions);
	if (!blocked_call_back(&a->ticket)) {
		reserved = pool_reserve(pool, opened);
	}
	blocked_call_hold_nothing(&a->ticket);
	for (uint32_t i = reserved; i < opened; i++) {
		session_close(sessions[i]);
		session_free(sessions[i]);
	}
	for (uint32_t i = 0; i < reserved; i++) {
		struct session *session = i < opened ? sessions[i] : NULL;

		if (session != NULL && !lending_enter(session, a->lender)) {
			session_close(session);
			session_free(session);
			session = NULL;
		}
		if (session == NULL) {
			pool_open_failed(pool);
			continue;
		}
		lending_stock(session, clock_monotonic_ns() - now_ns);
	}
	free(sessions);
}
