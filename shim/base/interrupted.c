/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is this a signal handler? The stack tells: below a handler lies the frame by which the
 * kernel called it. What signals are blocked does not, because a program that starts
 * another one from a handler unblocks them first.
 */
#include "base/interrupted.h"

#include <unwind.h>

static _Unwind_Reason_Code look(struct _Unwind_Context *context, void *arg)
{
	int *interrupted = arg;

	_Unwind_GetIPInfo(context, interrupted);
	return *interrupted ? _URC_END_OF_STACK : _URC_NO_REASON;
}

bool interrupted_here(void)
{
	int interrupted = 0;

	_Unwind_Backtrace(look, &interrupted);
	return interrupted != 0;
}
