/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which of the connections that ended processes held were leaks, and which they kept: where the
 * process could not say so itself, by its own rule (shim/trace/lease/kept.h), as far as a log
 * or a status page tells. Of several at one place it is not known which were used, and whether
 * a thread lived: they are leaks, and it did.
 */
#ifndef PQPOOL_TOOLS_LEAKS_KEPT_RULE_H
#define PQPOOL_TOOLS_LEAKS_KEPT_RULE_H

#include "leaks/lease_list.h"

/* Changes what is held to HOLDING_KEPT where it was kept. After lease_list_settle. */
void kept_rule_apply(struct lease_list *list);

#endif
