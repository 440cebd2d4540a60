/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool top`: all pools of this user's processes, live. */
#ifndef PQPOOL_TOOLS_TOP_TOP_H
#define PQPOOL_TOOLS_TOP_TOP_H

/* argv[0] is how messages name the command. Returns an exit status (exit_status.h). */
int top_main(int argc, char **argv);

#endif
