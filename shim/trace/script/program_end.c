/* SPDX-License-Identifier: PostgreSQL */
/* Tells whether a call of the program's is part of its end. */
#include "trace/script/program_end.h"

#include "base/dl.h"
#include "trace/script/interpreters.h"

/* Set once, by the thread itself. */
static _Thread_local bool in_exit;

void program_end_begin(void)
{
	in_exit = true;
}

/*
 * Interpreters are looked for where the call's stack is a new one. In the clean-up of one that
 * was loaded since, it is.
 */
bool program_end_now(const void *caller)
{
	return in_exit || interpreters_ending(dl_changes_asked(caller));
}
