/* SPDX-License-Identifier: PostgreSQL */
/* The versions of shim and tool, and of what they write; tools/README.md says what may change
 * within one. The status page's stands with its layout (trace/status/status_format.h). */
#ifndef PQPOOL_BASE_CONFIG_VERSION_H
#define PQPOOL_BASE_CONFIG_VERSION_H

#define PQPOOL_VERSION "0.1.0"

/* Whose note of type NT_VERSION in libpqpool.so says the library's (version_note.c). */
#define VERSION_NOTE_OWNER "pqpool"

#define LOG_VERSION  1 /* format=N in event=config; a log without it is of 1 */
#define JSON_VERSION 1 /* "version": N, the first key of each document */

#define REPORT_VERSION 1 /* "format": N, the first key of the data in a report's page */

#endif
