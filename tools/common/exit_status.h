/* SPDX-License-Identifier: PostgreSQL */
/* Exit statuses of the tool; those of `run` are as env(1) and nice(1) have them. */
#ifndef PQPOOL_TOOLS_COMMON_EXIT_STATUS_H
#define PQPOOL_TOOLS_COMMON_EXIT_STATUS_H

#define EXIT_LEAKS      1 /* of `leaks` */
#define EXIT_NOT_POOLED 1 /* of `doctor` */
#define EXIT_NOTHING    1 /* of `top` and `drain`: what was asked for has no pools */
#define EXIT_REMAINING  1 /* of `wait` */
#define EXIT_USAGE      2
#define EXIT_FAILED     125 /* pqpool itself failed; the program was not started */
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND  127

#endif
