/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is this a signal handler? The stack tells: below a handler lies the frame by which the
 * kernel called it. What signals are blocked does not, because a program that starts
 * another one from a handler unblocks them first.
 */
#include "base/unwind/in_signal.h"

#include "base/unwind/unwind.h"

bool in_signal_handler(void)
{
	struct unwind u;

	unwind_begin(&u);
	while (unwind_next(&u)) {
		if (u.interrupted) {
			return true;
		}
	}
	return false;
}
