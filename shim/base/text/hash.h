/* SPDX-License-Identifier: PostgreSQL */
/*
 * uthash, made fit for somebody else's process.
 *
 * Out of the box uthash calls exit(-1) when memory runs out. Every user of it
 * includes this header instead, and tests `hh.tbl` of the element after each
 * add: NULL means that the element was not added.
 *
 * Its hash function goes byte by byte; the keys here are pointers, and long.
 */
#ifndef PQPOOL_BASE_TEXT_HASH_H
#define PQPOOL_BASE_TEXT_HASH_H

#ifdef UTHASH_H
#error "include base/text/hash.h, never uthash.h"
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline unsigned table_hash(const void *key, size_t len)
{
	const unsigned char *bytes = key;
	uint64_t hash = len;
	uint64_t word = 0;

	for (; len >= sizeof(word); len -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, bytes, len);
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return (unsigned)(hash ^ hash >> 32);
}

#define HASH_FUNCTION(key, len, value) ((value) = table_hash(key, len))
#define HASH_NONFATAL_OOM              1

/* utlist checks its lists by assert(3), which ends the program: only in the tests. */
#if !defined(PQPOOL_DEBUG) && !defined(NDEBUG)
#define NDEBUG
#endif

#include <uthash.h>
#include <utlist.h>

#endif
