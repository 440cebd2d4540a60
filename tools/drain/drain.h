/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool drain`, `pause`, `resume` and `wait`: what a switchover of the server needs. */
#ifndef PQPOOL_TOOLS_DRAIN_DRAIN_H
#define PQPOOL_TOOLS_DRAIN_DRAIN_H

/* argv[0] says which of them. The exit status. */
int drain_main(int argc, char **argv);

#endif
