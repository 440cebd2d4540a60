/* SPDX-License-Identifier: PostgreSQL */
/*
 * uthash, made fit for somebody else's process.
 *
 * Out of the box uthash calls exit(-1) when memory runs out. Every user of it
 * includes this header instead, and tests `hh.tbl` of the element after each
 * add: NULL means that the element was not added.
 */
#ifndef PQPOOL_BASE_TABLE_H
#define PQPOOL_BASE_TABLE_H

#ifdef UTHASH_H
#error "include base/table.h, never uthash.h"
#endif

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#endif
