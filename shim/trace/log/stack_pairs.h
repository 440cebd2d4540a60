/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the line event=stack of the log says of a call stack, and the status page, too:
 *
 *   script_frames="/srv/app.py:12(load) /srv/app.py:40"
 *   frames="/bin/app+0x11f3(main) /lib/x.so+0x20" build_ids="/bin/app=ab12"
 *
 * script_frames only where a script made the call. Whole frames only, as many as fit; "?" for a
 * frame in no module; a space within a path is \x20, before quoting. build_ids names every
 * module that has one, once.
 */
#ifndef PQPOOL_TRACE_LOG_STACK_PAIRS_H
#define PQPOOL_TRACE_LOG_STACK_PAIRS_H

#include "base/text/strbuf.h"
#include "trace/stack/stack.h"

/* Adds these pairs, but for those that do not fit. Locks: none. */
void stack_pairs_put(struct strbuf *t, const struct stack *stack);

#endif
