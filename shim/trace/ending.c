/* SPDX-License-Identifier: PostgreSQL */
/* Whether a call of the program's is part of its end. */
#include "trace/ending.h"

#include "base/dl.h"
#include "trace/script.h"

/* Set once, by the thread itself. */
static _Thread_local bool in_exit;

void ending_begin(void)
{
	in_exit = true;
}

bool ending_now(const void *caller)
{
	return in_exit || script_interpreter_ending(dl_changes_of_call(caller));
}
