/* SPDX-License-Identifier: PostgreSQL */
/*
 * COLD marks functions off the hot path, which an ordinary lease does not run.
 *
 * Between two leases the server and the kernel use the caches, and each line of code on a
 * lease's path is fetched again. The compiler places these functions, what only they call, and
 * the branches to them apart from the rest, so that a lease needs fewer lines.
 */
#ifndef PQPOOL_BASE_COLD_H
#define PQPOOL_BASE_COLD_H

#define COLD __attribute__((cold))

/*
 * A large array without a value, of which most programs touch little. They stand apart, so that
 * what every program touches shares pages.
 */
#define SPARSE __attribute__((section(".bss.sparse")))

#endif
