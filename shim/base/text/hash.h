/* SPDX-License-Identifier: PostgreSQL */
/*
 * The hash function of the shim, and hash tables by uthash.
 *
 * uthash calls exit(-1) when memory runs out, if it is not told otherwise. Include this header
 * in its place, and test `hh.tbl` of the element after each add: NULL means that the element
 * was not added.
 */
#ifndef PQPOOL_BASE_TEXT_HASH_H
#define PQPOOL_BASE_TEXT_HASH_H

#ifdef UTHASH_H
#error "include base/text/hash.h, never uthash.h"
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `n` bytes, eight at a time, going on from `hash`. Not for what an attacker may choose. */
static inline uint64_t hash_bytes(uint64_t hash, const void *key, size_t n)
{
	const unsigned char *bytes = key;
	uint64_t word = 0;

	for (; n >= sizeof(word); n -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, bytes, n);
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* An address in the highest `bits` bits. */
static inline size_t hash_address(const void *address, unsigned bits)
{
	return (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ULL >> (64 - bits);
}

#define HASH_FUNCTION(key, len, value) ((value) = (unsigned)hash_bytes(len, key, len))
#define HASH_NONFATAL_OOM              1

/* utlist checks its lists by assert(3), which ends the program: only in the tests. */
#if !defined(PQPOOL_DEBUG) && !defined(NDEBUG)
#define NDEBUG
#endif

#include <uthash.h>
#include <utlist.h>

/* Most tables have few entries, and grow if not: uthash begins with 32 buckets. */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS      8U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 3U

#endif
