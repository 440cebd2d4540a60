/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHA-256 (FIPS 180-4) and HMAC (RFC 2104) with it, added up piece by piece.
 *
 * No allocation, no state but the caller's, which holds secrets while it is in use: the end
 * wipes it.
 */
#ifndef PQPOOL_SHARE_SHA256_H
#define PQPOOL_SHARE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_BLOCK 64

struct sha256 {
	uint32_t state[8];
	uint64_t bytes; /* so far */
	uint8_t block[SHA256_BLOCK];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t count);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

struct hmac {
	struct sha256 inner;
	uint8_t outer_key[SHA256_BLOCK];
};

/* A key of at most SHA256_BLOCK bytes. */
void hmac_begin(struct hmac *hmac, const uint8_t *key, size_t key_len);
void hmac_add(struct hmac *hmac, const void *bytes, size_t count);
void hmac_end(struct hmac *hmac, uint8_t digest[SHA256_BYTES]);

#endif
