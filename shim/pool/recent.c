/* SPDX-License-Identifier: PostgreSQL */
/* What a thread keeps from one connect to the next. */
#include "pool/recent.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/cold.h"
#include "base/lock.h"

/* Its destructor is how a thread learns that it ends. */
static pthread_key_t end_key;
static bool end_key_made;

static _Thread_local struct {
	struct spelling *spelling; /* NULL = nothing is kept */
	struct lender *lender;     /* NULL = the registry has forgotten it */
	/* It was asked for twice in a row: the next is likely to be it. */
	bool repeated;
	/* What is above is half changed: not for a signal handler that came in between. */
	volatile bool changing;
	volatile unsigned forks; /* that this thread came out of as the child */
} last;

/* Puts these in the place of what was kept, which is given back. */
static void change(struct spelling *spelling, struct lender *lender)
{
	struct spelling *old_spelling;
	struct lender *old_lender;

	last.changing = true;
	atomic_signal_fence(memory_order_seq_cst);
	old_spelling = last.spelling;
	old_lender = last.lender;
	last.repeated = spelling != NULL && spelling == old_spelling;
	last.spelling = spelling;
	last.lender = lender;
	if (old_lender != NULL) {
		lender_release(old_lender);
	}
	if (old_spelling != NULL) {
		spelling_release(old_spelling);
	}
	atomic_signal_fence(memory_order_seq_cst);
	last.changing = false;
}

static COLD void at_thread_end(void *arg)
{
	(void)arg;
	/* What it has, or what the locks guard, may be half changed: it stays as it is. */
	if (!last.changing && !lock_barred()) {
		change(NULL, NULL);
	}
}

void recent_configure(void)
{
	end_key_made = pthread_key_create(&end_key, at_thread_end) == 0;
}

/* Takes over what was counted; false if it cannot. */
static bool keep(struct spelling *spelling, struct lender *lender)
{
	if (last.changing || (last.spelling == NULL &&
	                      (!end_key_made || pthread_setspecific(end_key, &last) != 0))) {
		return false;
	}
	change(spelling, lender);
	return true;
}

static void forget_lender(void)
{
	last.lender = NULL;
	last.repeated = false;
}

bool recent_ask(const struct libpq *libpq, const struct connect_call *call,
                struct spelling **spelling, struct lender **lender)
{
	unsigned forks = last.forks;
	bool kept;

	if (!last.changing && last.repeated && identity_is_still(last.spelling, libpq, call)) {
		*spelling = last.spelling;
		*lender = last.lender;
		return false;
	}
	*lender = NULL;
	*spelling = identity_resolve(libpq, call);
	if (*spelling != NULL) {
		*lender = registry_lender((*spelling)->identity);
	}
	kept = *lender != NULL && keep(*spelling, *lender);
	/* A signal handler has forked meanwhile: this lender is the parent's. */
	if (last.forks != forks) {
		forget_lender();
	}
	return !kept;
}

void recent_fork_child(void)
{
	last.forks++;
	forget_lender();
}
