/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who we are: process and thread number, asked of the kernel once.
 *
 * A child of fork(2) asks anew, because process.c tells it to (self_renew). A child of
 * vfork(2) or of a raw clone(2) would be given its parent's numbers; process.c sees to it
 * that those never get further than the guard.
 */
#ifndef PQPOOL_BASE_SELF_H
#define PQPOOL_BASE_SELF_H

#include <sys/types.h>

pid_t self_pid(void);
pid_t self_tid(void);

/* In a forked child, before anything else. */
void self_renew(void);

#endif
