/* SPDX-License-Identifier: PostgreSQL */
/*
 * A descriptor that one thread sleeps on by poll(2) until another rings.
 *
 * Who rings holds no lock meanwhile, else the thread that wakes would find it taken. So the
 * sleeper may have closed its bell by then, and its number be a file of the program's: a bell
 * is claimed before, under the lock that both sides take, and closed by whoever is last.
 *
 * Memory: a bell is zeroed before its first use and never freed; its descriptor lives from
 * bell_open() to bell_close(). Locks: none. Fork: the child calls bell_forget() for those of
 * threads that it does not have.
 */
#ifndef PQPOOL_BASE_THREAD_BELL_H
#define PQPOOL_BASE_THREAD_BELL_H

#include <stdatomic.h>
#include <stdbool.h>

struct bell {
	atomic_uint state; /* bell.c's; 0 = there is no descriptor */
};

/* The sleeper's: its descriptor, to be polled for POLLIN, silent again. -1: see errno. */
int bell_open(struct bell *bell);

/* The sleeper's: it sleeps no more. Does nothing if there is no descriptor. */
void bell_close(struct bell *bell);

/* True if there is somebody to ring for: then bell_ring() must follow. */
bool bell_claim(struct bell *bell);

/* Rings, once for each claim. It may wake a later sleep on the same bell for nothing. */
void bell_ring(struct bell *bell);

/* Closes it though others may have claims: they do not exist in this process. */
void bell_forget(struct bell *bell);

#endif
