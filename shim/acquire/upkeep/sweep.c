/* SPDX-License-Identifier: PostgreSQL */
/* Closes idle sessions: those past their time, or all of them. */
#include "acquire/upkeep/sweep.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "acquire/upkeep/discard.h"
#include "acquire/upkeep/turns.h"
#include "base/clock.h"
#include "share/member.h"

/* How often pools other than the one in use are swept. */
#define ROUND_NS NS_PER_SEC

/*
 * How long answers to resets on their way may take, all together: a server that sends one to a
 * connection that was closed logs a connection lost.
 */
#define SETTLE_NS (10 * NS_PER_MS)

static atomic_uint alterations;
static _Atomic uint64_t altered_ns; /* when the last one was */
static atomic_uint_fast64_t next_round_ns;

void sweep_pool(struct lender *lender, uint64_t now_ns)
{
	struct pool_slot *doomed = pool_tend(&lender->pool, now_ns);
	uint64_t settled_ns = doomed != NULL ? clock_monotonic_ns() + SETTLE_NS : 0;

	while (doomed != NULL) {
		struct session *session = session_of_slot(doomed);

		doomed = doomed->next;
		discard_close(session, session->slot.why, settled_ns);
		discard_drop(session);
	}
}

void sweep_all(uint64_t now_ns)
{
	struct lender *lender = NULL;

	while ((lender = registry_next(lender)) != NULL) {
		sweep_pool(lender, now_ns);
		turns_wake(lender, now_ns);
	}
}

void sweep_others(uint64_t now_ns)
{
	uint64_t due = atomic_load_explicit(&next_round_ns, memory_order_relaxed);

	if (now_ns >= due &&
	    atomic_compare_exchange_strong(&next_round_ns, &due, now_ns + ROUND_NS)) {
		sweep_all(now_ns);
	}
}

void sweep_invalidate_all(void)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct lender *lender = NULL;

	while ((lender = registry_next(lender)) != NULL) {
		pool_invalidate(&lender->pool, now_ns);
	}
	atomic_fetch_add(&alterations, 1);
	atomic_store(&altered_ns, now_ns);
	member_drain_all();
}

uint64_t sweep_altered_ns(void)
{
	return atomic_load(&altered_ns);
}

unsigned sweep_alterations(void)
{
	return atomic_load(&alterations);
}

bool sweep_idle(enum drop_reason why, uint64_t deadline_ns, bool await_end)
{
	struct lender *lender = NULL;
	bool any = false;

	while ((lender = registry_next(lender)) != NULL) {
		struct pool_slot *slot = pool_drain(&lender->pool);

		while (slot != NULL) {
			struct session *session = session_of_slot(slot);

			slot = slot->next;
			any = true;
			discard_close(session, why, deadline_ns);
			if (await_end) {
				session_await_end(session, deadline_ns);
			}
			pool_forget(&lender->pool, &session->slot);
			discard_free(session);
		}
	}
	return any;
}

bool sweep_make_room(uint64_t deadline_ns)
{
	bool own = sweep_idle(DROP_MAKE_ROOM, deadline_ns, true);

	return member_make_room(deadline_ns) || own;
}

bool sweep_may_help(const struct session *session)
{
	static const char signs[][32] = {
		"too many clients",
		"too many connections",
		"connection slots are reserved",
	};
	const char *error = session->libpq->PQerrorMessage(session->conn);
	char buf[256];

	if (session->seen.full) {
		return true;
	}
	/* What was encrypted is not known otherwise, and understood only in English. */
	for (size_t i = 0; !session->seen.error && i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strstr(error, signs[i]) != NULL) {
			return true;
		}
	}
	return strstr(error, strerror_r(EMFILE, buf, sizeof(buf))) != NULL ||
	       strstr(error, strerror_r(ENFILE, buf, sizeof(buf))) != NULL;
}
