/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool metrics`: the pools of this user's processes for a monitoring system. */
#ifndef PQPOOL_TOOLS_METRICS_METRICS_H
#define PQPOOL_TOOLS_METRICS_METRICS_H

/* argv[0] is how messages name the command. Returns an exit status (exit_status.h). */
int metrics_main(int argc, char **argv);

#endif
