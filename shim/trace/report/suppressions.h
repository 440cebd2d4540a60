/* SPDX-License-Identifier: PostgreSQL */
/*
 * Leaks that are known and not to be reported: PQPOOL_SUPPRESS, a file with one pattern a
 * line.
 *
 *   # the plugin keeps its connection on purpose
 *   module:libplugin.so*
 *   function:open_audit_log
 *   script:nightly.py:12
 *   legacy_*
 *
 * A leak is suppressed if a pattern fits one frame of the stack that took it: its function,
 * its module, or, where a script runs, its file or file:line; a script's functions are
 * functions, too. Without a word before it a pattern may fit any of these. `*` stands for any
 * text and `?` for any character; a pattern without a slash may fit the last part of a path
 * alone.
 *
 * The file is read when pooling starts, once; a matching needs no memory and no lock. A
 * forked child has what its parent had.
 */
#ifndef PQPOOL_TRACE_REPORT_SUPPRESSIONS_H
#define PQPOOL_TRACE_REPORT_SUPPRESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"

/*
 * Reads the patterns of `path`; NULL is none. What is wrong with them is told in one line, and
 * then there are none at all: nothing is hidden by mistake. Called once, before the other
 * functions here.
 */
void suppress_load(const char *path, config_complain *complain, void *arg);

/* The file they are from; NULL if there are none. */
const char *suppress_file(void);

/* True if a leak of this stack (stack.h) is to be suppressed. */
bool suppress_matches(uint32_t stack);

#endif
