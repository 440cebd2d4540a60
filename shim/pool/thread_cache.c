/* SPDX-License-Identifier: PostgreSQL */
/* What a thread keeps from one connect to the next. */
#include "pool/thread_cache.h"

#include <stdatomic.h>

#include "base/cold.h"
#include "base/lock.h"
#include "base/thread/thread_block.h"

struct last {
	struct spelling *spelling; /* NULL = nothing is kept */
	struct lender *lender;     /* NULL = the registry has forgotten it */
	volatile unsigned forks;   /* that this thread came out of as the child */
	unsigned turn;             /* of what is kept */
	/* It was asked for twice in a row: the next is likely to be it. */
	bool repeated;
	/* What is above is half changed: not for a signal handler that came in between. */
	volatile bool changing;
};

_Static_assert(sizeof(struct last) <= sizeof(((struct thread_block *)0)->connect),
               "the last connect fits into its part");

/* NULL: this thread keeps nothing. */
static struct last *last_of_thread(void)
{
	return THREAD_PART(struct last, connect);
}

/* Puts these in the place of what was kept, which is given back. */
static void change(struct last *last, struct spelling *spelling, struct lender *lender)
{
	struct spelling *old_spelling;
	struct lender *old_lender;

	last->changing = true;
	last->turn++;
	atomic_signal_fence(memory_order_seq_cst);
	old_spelling = last->spelling;
	old_lender = last->lender;
	last->repeated = spelling != NULL && spelling == old_spelling;
	last->spelling = spelling;
	last->lender = lender;
	if (old_lender != NULL) {
		lender_release(old_lender);
	}
	if (old_spelling != NULL) {
		spelling_release(old_spelling);
	}
	atomic_signal_fence(memory_order_seq_cst);
	last->changing = false;
}

static COLD void at_thread_end(void)
{
	struct last *last = last_of_thread();

	/* What it has, or what the locks guard, may be half changed: it stays as it is. */
	if (!last->changing && !lock_barred()) {
		change(last, NULL, NULL);
	}
}

void thread_cache_configure(void)
{
	thread_block_at_end(at_thread_end);
}

static void forget_lender(struct last *last)
{
	last->lender = NULL;
	last->repeated = false;
}

bool thread_cache_ask(const struct libpq *libpq, const struct connect_call *call,
                      struct spelling **spelling, struct lender **lender)
{
	struct last *last = last_of_thread();
	unsigned forks = last != NULL ? last->forks : 0;
	bool kept;

	if (last != NULL && !last->changing && last->repeated &&
	    identity_is_still(last->spelling, libpq, call)) {
		*spelling = last->spelling;
		*lender = last->lender;
		return false;
	}
	*lender = NULL;
	*spelling = identity_resolve(libpq, call);
	if (*spelling != NULL) {
		*lender = registry_lender((*spelling)->identity);
	}
	kept = *lender != NULL && last != NULL && !last->changing;
	if (kept) {
		change(last, *spelling, *lender);
	}
	/* A signal handler has forked meanwhile: this lender is the parent's. */
	if (last != NULL && last->forks != forks) {
		forget_lender(last);
	}
	return !kept;
}

unsigned thread_cache_turn(void)
{
	const struct last *last = last_of_thread();

	return last != NULL ? last->turn : 0;
}

void thread_cache_fork_child(void)
{
	struct last *last = last_of_thread();

	if (last != NULL) {
		last->forks++;
		forget_lender(last);
	}
}
