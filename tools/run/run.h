/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool run`: starts a program with the pool preloaded, in this process's place. */
#ifndef PQPOOL_TOOLS_RUN_RUN_H
#define PQPOOL_TOOLS_RUN_RUN_H

/*
 * argv[0] is how messages name the command. Returns an exit status (exit_status.h) if no
 * program was started; otherwise it does not return.
 */
int run_main(int argc, char **argv);

#endif
