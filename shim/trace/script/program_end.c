/* SPDX-License-Identifier: PostgreSQL */
/* Whether a call of the program's is part of its end. */
#include "trace/script/program_end.h"

#include "base/dl.h"
#include "trace/script/script.h"
#include "trace/script/teardown.h"

/* Set once, by the thread itself. */
static _Thread_local bool in_exit;

void program_end_begin(void)
{
	in_exit = true;
}

bool program_end_now(const void *caller)
{
	unsigned long long changes;

	if (in_exit) {
		return true;
	}
	changes = dl_changes_of_call(caller);
	return script_interpreter_ending(changes) || teardown_of_unknown(changes);
}
