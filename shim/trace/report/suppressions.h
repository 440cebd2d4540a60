/* SPDX-License-Identifier: PostgreSQL */
/*
 * PQPOOL_SUPPRESS: a file of patterns, one a line, for leaks that are not reported.
 *
 *   # the plugin keeps its connection on purpose
 *   module:libplugin.so*
 *   function:open_audit_log
 *   script:nightly.py:12
 *   legacy_*
 *
 * A leak is suppressed if a pattern matches one frame of the stack that took it: its function,
 * its module, or in a script its function, file or file:line. A pattern without a word before
 * it may match any of these. `*` stands for any text and `?` for any character; a pattern
 * without a slash may match the last part of a path.
 *
 * The file is read once, when pooling starts; matching needs no memory and no lock. A forked
 * child has its parent's patterns.
 */
#ifndef PQPOOL_TRACE_REPORT_SUPPRESSIONS_H
#define PQPOOL_TRACE_REPORT_SUPPRESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"

/*
 * Reads the patterns of `path`, NULL = none. If anything is wrong with them, complains in one
 * line and keeps none at all, so that nothing is hidden by mistake. Called once, first.
 */
void suppress_load(const char *path, config_complain *complain, void *arg);

/* The patterns' file; NULL if there are none. */
const char *suppress_file(void);

/* True if a leak of this stack (stack.h) is suppressed. */
bool suppress_matches(uint32_t stack);

#endif
