/* SPDX-License-Identifier: PostgreSQL */
/* A silent session, and a new one beside it. */
#include "acquire/race.h"

#include "acquire/lend/blocked_call.h"
#include "acquire/lend/lend_settings.h"
#include "base/clock.h"
#include "session/opened/connect_notices.h"
#include "session/reset.h"
#include "share/member.h"

static bool is_up(const struct session *session)
{
	return session != NULL && session->conn != NULL &&
	       session->libpq->PQstatus(session->conn) == CONNECTION_OK;
}

/* Sessions that processes share are opened only as the keeper allows. */
uint64_t race_begins_after_ns(const struct session *idle)
{
	return member_is_on() ? reset_patience_ns(idle, &lend_settings.care)
	                      : reset_silence_ns(idle, &lend_settings.care);
}

static void close_opened(struct race *race)
{
	if (race->opened != NULL) {
		session_close(race->opened);
		session_free(race->opened);
		race->opened = NULL;
	}
}

/* Without waiting for it once the idle session has said something. */
static void open_beside(struct acquisition *a, struct race *race, struct notices_rival *rival)
{
	const struct notices_meanwhile meanwhile = {.rival = rival};
	uint64_t began_ns = clock_monotonic_ns();

	race->opened = session_open(a->libpq, a->spelling->conninfo, a->error,
	                            blocked_call_conn(&a->ticket, a->libpq), &meanwhile);
	race->took_ns = clock_monotonic_ns() - began_ns;
	if (rival->won) {
		close_opened(race);
	}
}

bool race_run(struct acquisition *a, struct session *idle, struct race *race,
              enum drop_reason *why)
{
	struct notices_rival rival = {.fd = idle->libpq->PQsocket(idle->conn),
	                              .until_ns = idle->check.began_ns +
	                                          reset_patience_ns(idle, &lend_settings.care)};
	bool up = false;
	bool still_held;

	*race = (struct race){0};
	/* Else it is not known any more what was asked for. */
	if (acquisition_lasts(a)) {
		acquisition_keep(a);
		blocked_call_block(&a->ticket, rival.until_ns + CONNECT_OVERDUE_NS);
		open_beside(a, race, &rival);
		if (!blocked_call_back(&a->ticket)) {
			return false;
		}
		up = is_up(race->opened);
	}
	blocked_call_hold_slot(&a->ticket, BLOCKED_CALL_CHECK, &idle->slot);
	blocked_call_block(&a->ticket, rival.until_ns);
	*why = reset_check_on(idle, &lend_settings.care, up ? 0 : rival.until_ns);
	still_held = blocked_call_back(&a->ticket);
	if (still_held && *why == DROP_NONE) {
		close_opened(race);
	}
	return still_held;
}
