/* SPDX-License-Identifier: PostgreSQL */
/* What a thread keeps from one connect to the next. */
#include "pool/recent.h"

#include <pthread.h>

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
} last;

static void let_go(struct spelling *spelling, struct lender *lender)
{
	if (lender != NULL) {
		lender_release(lender);
	}
	if (spelling != NULL) {
		spelling_release(spelling);
	}
}

static COLD void at_thread_end(void *arg)
{
	(void)arg;
	/* What the locks guard may be half done. */
	if (lock_barred()) {
		return;
	}
	let_go(last.spelling, last.lender);
	last.spelling = NULL;
	last.lender = NULL;
	last.repeated = false;
}

void recent_configure(void)
{
	end_key_made = pthread_key_create(&end_key, at_thread_end) == 0;
}

/* Takes over what was counted; false if it cannot. */
static bool keep(struct spelling *spelling, struct lender *lender)
{
	if (last.spelling == NULL &&
	    (!end_key_made || pthread_setspecific(end_key, &last) != 0)) {
		return false;
	}
	let_go(last.spelling, last.lender);
	last.repeated = spelling == last.spelling;
	last.spelling = spelling;
	last.lender = lender;
	return true;
}

bool recent_ask(const struct libpq *libpq, const struct connect_call *call,
                struct spelling **spelling, struct lender **lender)
{
	if (last.repeated && identity_is_still(last.spelling, libpq, call)) {
		*spelling = last.spelling;
		*lender = last.lender;
		return false;
	}
	*lender = NULL;
	*spelling = identity_resolve(libpq, call);
	if (*spelling != NULL) {
		*lender = registry_lender((*spelling)->identity);
	}
	return *lender == NULL || !keep(*spelling, *lender);
}

void recent_fork_child(void)
{
	last.lender = NULL;
	last.repeated = false;
}
