/* SPDX-License-Identifier: PostgreSQL */
/* The file that a program's name stands for. */
#ifndef PQPOOL_TOOLS_COMMON_PROGRAM_PATH_H
#define PQPOOL_TOOLS_COMMON_PROGRAM_PATH_H

#include <stddef.h>

/*
 * The file that execvp(3) would run for `name`, in `buf`; NULL with errno if none. The
 * caller executes this path, so that the file that runs is the one that was inspected.
 */
const char *program_path_find(const char *name, char *buf, size_t size);

#endif
