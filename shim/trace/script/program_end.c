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

bool program_end_now(const void *caller)
{
	return in_exit || interpreters_ending(dl_changes_of_call(caller));
}
