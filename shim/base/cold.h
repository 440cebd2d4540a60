/* SPDX-License-Identifier: PostgreSQL */
/*
 * What an ordinary lease never comes through.
 *
 * Between two leases the server and the kernel have had the caches, and each line of code
 * that a lease comes by is fetched anew. The compiler puts these functions, what only they
 * call, and the ways to them far from the rest, so that a lease comes by fewer lines.
 */
#ifndef PQPOOL_BASE_COLD_H
#define PQPOOL_BASE_COLD_H

#define COLD __attribute__((cold))

#endif
