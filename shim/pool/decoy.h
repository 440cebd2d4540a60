/* SPDX-License-Identifier: PostgreSQL */
/*
 * What stays for a while at the address of a connection that was really finished.
 *
 * libpq frees the PGconn, and malloc gives the same block to the next one of its size: a
 * pointer that the program kept would then mean somebody else's connection. So a PGconn
 * that was never connected is made at once, by libpq itself and without any I/O, which
 * most likely comes to lie in that very block, and is kept there until DECOYS_MAX more
 * connections were finished. Where malloc gives another block (to another thread, or after
 * joining free neighbours) it is let go again: then that address is no likelier to be the
 * next connection's either.
 *
 * The old pointer is a dead connection as long as the decoy stands: PQstatus says
 * CONNECTION_BAD, PQexec returns NULL, PQerrorMessage says that it was finished. And the
 * calls we answer for find it in the table of leases, as finished, and can tell where.
 *
 * Locks: none; any thread at any time. Fork: the child keeps the decoys as they are,
 * but no longer knows what they stand for.
 */
#ifndef PQPOOL_POOL_DECOY_H
#define PQPOOL_POOL_DECOY_H

#include "base/libpq.h"
#include "trace/lease.h"

#define DECOYS_MAX 64

/*
 * Leaves a decoy for a connection that was finished just now, by this thread. `finished`
 * is the lease it was last on, which is out of the table already. Out of memory: none.
 */
void decoy_leave(const struct libpq *libpq, const struct lease *finished);

#endif
