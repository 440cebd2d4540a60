/* SPDX-License-Identifier: PostgreSQL */
/*
 * The name of the log file, made from its pattern: %p pid, %n program, %h host, %% a
 * percent sign.
 *
 * Locks: none; all is constant after log_name_set, but for the pid of a forked child.
 */
#ifndef PQPOOL_TRACE_LOG_LOG_NAME_H
#define PQPOOL_TRACE_LOG_LOG_NAME_H

#include <stdbool.h>

#include "base/text/strbuf.h"

/*
 * Sets the pattern and the program's name. A relative pattern is relative to the present
 * directory, also after the program changes it. Returns 0, or an errno: then nothing is set.
 */
int log_name_set(const char *pattern, const char *program);

/* Puts the name for this process into `t`; false if it does not fit. */
bool log_name_put(struct strbuf *t);

/* True if the name holds the pid: a forked child has another name. */
bool log_name_has_pid(void);

/*
 * True if the name is that of a descriptor of the program's (/dev/stderr, /proc/self/fd/3): the
 * only symbolic links that are followed.
 */
bool log_name_is_descriptor(void);

#endif
