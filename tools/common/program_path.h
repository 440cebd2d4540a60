/* SPDX-License-Identifier: PostgreSQL */
/* Which file is run for a program's name. */
#ifndef PQPOOL_TOOLS_COMMON_PROGRAM_PATH_H
#define PQPOOL_TOOLS_COMMON_PROGRAM_PATH_H

#include <stddef.h>

/*
 * The file that execvp(3) would run for `name`, in `buf`; NULL with errno if none. The
 * caller executes this very file, so that no other one than was inspected is run.
 */
const char *program_path_find(const char *name, char *buf, size_t size);

#endif
