/* SPDX-License-Identifier: PostgreSQL */
/* One connect of the program's on its way: what it asks for, from which pool, since when. */
#include "acquire/lend/acquisition.h"

#include <errno.h>
#include <stdatomic.h>

#include "acquire/lend/lend_settings.h"
#include "acquire/upkeep/long_hold.h"
#include "base/clock.h"
#include "base/cold.h"
#include "base/config/program.h"
#include "key/connect_draft.h"
#include "pool/thread_cache.h"
#include "share/member.h"
#include "trace/script/program_end.h"
#include "trace/stack/stack.h"

static atomic_bool closing;
static atomic_bool any_begun; /* in this process, or before it was forked */

static void set_out(struct acquisition *a, const struct libpq *libpq, const void *caller)
{
	*a = (struct acquisition){.libpq = libpq,
	                          .caller = caller,
	                          .error = errno,
	                          .began_ns = clock_monotonic_ns()};
}

static void ask(struct acquisition *a, const struct connect_call *call)
{
	if (!atomic_load(&closing)) {
		a->counted = thread_cache_ask(a->libpq, call, &a->spelling, &a->lender);
		a->turn = thread_cache_turn();
	}
}

void acquisition_locate(struct acquisition *a)
{
	if (!acquisition_is_located(a)) {
		a->stack = stack_capture(a->caller, lend_settings.stack_depth);
		a->at_exit = program_end_now(a->caller);
	}
}

void acquisition_begin(struct acquisition *a, const struct libpq *libpq,
                       const struct connect_call *call, const void *caller)
{
	if (!atomic_load_explicit(&any_begun, memory_order_relaxed)) {
		atomic_store(&any_begun, true);
	}
	set_out(a, libpq, caller);
	if (member_is_on()) {
		member_hail();
	} else {
		acquisition_locate(a);
	}
	ask(a, call);
	long_hold_look(a->began_ns);
}

/*
 * With one thread nobody else takes the pool's rooms meanwhile, nor changes the environment. A
 * keeper may have a session.
 */
static COLD bool may_be_drafted(void)
{
	return !atomic_exchange(&any_begun, true) && !atomic_load(&closing) &&
	       !member_is_on() && lend_settings.prewarm <= 1 && program_is_single_threaded();
}

bool acquisition_begin_first(struct acquisition *a, const struct libpq *libpq,
                             const struct connect_call *call, const void *caller)
{
	if (atomic_load_explicit(&any_begun, memory_order_relaxed) || !may_be_drafted()) {
		return false;
	}
	set_out(a, libpq, caller);
	a->draft = connect_draft_make(libpq, call);
	a->unresolved = a->draft != NULL;
	errno = a->error;
	return a->unresolved;
}

COLD void acquisition_resolve(struct acquisition *a, const struct connect_call *call,
                              const PGconn *conn)
{
	struct connect_call known = *call;

	if (!a->unresolved) {
		return;
	}
	a->unresolved = false;
	known.user = a->libpq->PQuser(conn);
	ask(a, &known);
	acquisition_keep(a);
	if (a->lender != NULL && !connect_draft_agrees(a->draft, a->libpq, call, a->spelling)) {
		lender_release(a->lender);
		a->lender = NULL;
	}
}

void acquisition_keep(struct acquisition *a)
{
	if (!a->counted && a->lender != NULL) {
		spelling_hold(a->spelling);
		lender_hold(a->lender);
		a->counted = true;
	}
}

bool acquisition_lasts(const struct acquisition *a)
{
	return a->counted || a->turn == thread_cache_turn();
}

void acquisition_end(struct acquisition *a)
{
	int saved_errno = errno;

	if (a->counted && a->lender != NULL) {
		lender_release(a->lender);
	}
	if (a->counted && a->spelling != NULL) {
		spelling_release(a->spelling);
	}
	connect_draft_free(a->draft);
	errno = saved_errno;
}

bool acquisition_set_closing(bool now)
{
	return atomic_exchange(&closing, now);
}

bool acquisition_is_closing(void)
{
	return atomic_load(&closing);
}
