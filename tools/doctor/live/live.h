/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool doctor --live PID`: is this process pooling, and if not, why not. */
#ifndef PQPOOL_TOOLS_DOCTOR_LIVE_LIVE_H
#define PQPOOL_TOOLS_DOCTOR_LIVE_LIVE_H

/* Examines the process that `pid` names, and prints the findings. The exit status. */
int live_examine(const char *pid);

#endif
