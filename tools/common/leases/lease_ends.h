/* SPDX-License-Identifier: PostgreSQL */
/* What is held where logs end: by whom, how long, and what may be missing. */
#ifndef PQPOOL_TOOLS_COMMON_LEASES_LEASE_ENDS_H
#define PQPOOL_TOOLS_COMMON_LEASES_LEASE_ENDS_H

#include "common/leases/lease_list.h"

/*
 * Finds out which of the processes that hold something run, as far as this machine can tell.
 * What no line has ended is held until now by these, else until the process's last line. After
 * lease_list_settle.
 */
void lease_ends_settle(const struct lease_list *list);

/* Warns of processes that could not write all of their lines. */
void lease_ends_tell_lost(const struct lease_list *list);

#endif
