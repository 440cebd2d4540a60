/* SPDX-License-Identifier: PostgreSQL */
/* Exit statuses of the tool; those of `run` are as env(1) and nice(1) have them. */
#ifndef PQPOOL_TOOLS_COMMON_EXIT_STATUS_H
#define PQPOOL_TOOLS_COMMON_EXIT_STATUS_H

#define STATUS_LEAKS      1 /* of `leaks` */
#define STATUS_NOT_POOLED 1 /* of `doctor` */
#define STATUS_NOTHING    1 /* of `top`: a process that was asked for has no pools */
#define STATUS_USAGE      2
#define STATUS_FAILED     125 /* pqpool itself failed; the program was not started */
#define STATUS_CANNOT_RUN 126
#define STATUS_NOT_FOUND  127

#endif
