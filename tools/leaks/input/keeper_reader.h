/* SPDX-License-Identifier: PostgreSQL */
/* Reads from the keeper which sessions it has lent, and to whom. */
#ifndef PQPOOL_TOOLS_LEAKS_INPUT_KEEPER_READER_H
#define PQPOOL_TOOLS_LEAKS_INPUT_KEEPER_READER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/leases/lease_list.h"

/*
 * Enters the leases on sessions of the keeper's: those of process `pid`, or of all (0). What
 * the process's status page tells of one is entered instead, as it is more. False: no keeper
 * answers, or it has lent the process nothing.
 */
bool keeper_reader_read(struct lease_list *list, pid_t pid);

#endif
