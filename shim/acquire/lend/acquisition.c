/* SPDX-License-Identifier: PostgreSQL */
/* One connect of the program's on its way: what it asks for, from which pool, since when. */
#include "acquire/lend/acquisition.h"

#include <errno.h>
#include <stdatomic.h>

#include "acquire/lend/lend_settings.h"
#include "acquire/upkeep/long_hold.h"
#include "base/clock.h"
#include "pool/thread_cache.h"
#include "share/member.h"
#include "trace/script/program_end.h"
#include "trace/stack/stack.h"

static atomic_bool closing;

void acquisition_begin(struct acquisition *a, const struct libpq *libpq,
                       const struct connect_call *call, const void *caller)
{
	*a = (struct acquisition){
		.libpq = libpq, .error = errno, .began_ns = clock_monotonic_ns()};
	if (member_is_on()) {
		member_hail();
	}
	a->stack = stack_capture(caller, lend_settings.stack_depth);
	a->at_exit = program_end_now(caller);
	if (!atomic_load(&closing)) {
		a->counted = thread_cache_ask(libpq, call, &a->spelling, &a->lender);
		a->turn = thread_cache_turn();
	}
	long_hold_look(a->began_ns);
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
