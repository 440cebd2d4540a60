/* SPDX-License-Identifier: PostgreSQL */
/* The report's data as one JSON document, whose keys tools/README.md lists. */
#ifndef PQPOOL_TOOLS_REPORT_DOCUMENT_H
#define PQPOOL_TOOLS_REPORT_DOCUMENT_H

#include <stdio.h>

#include "common/history/history.h"

/* Writes it. Errors are the stream's. */
void document_write(FILE *to, const struct history *history, const struct log_files *files);

#endif
