/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells kept connections of ended processes from leaks, where the process did not do so at its
 * end: by the process' own rule (shim/trace/lease/kept.h), as far as a log or a status page has
 * what it needs. They do not tell which of several connections of one place were used: these
 * are leaks. Nor whether a thread had ended: it counts as alive.
 */
#ifndef PQPOOL_TOOLS_COMMON_LEASES_KEPT_RULE_H
#define PQPOOL_TOOLS_COMMON_LEASES_KEPT_RULE_H

#include "common/leases/lease_list.h"

/* Changes what is held to HOLDING_KEPT where it was kept. After lease_list_settle. */
void kept_rule_apply(struct lease_list *list);

#endif
