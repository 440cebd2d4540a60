/* SPDX-License-Identifier: PostgreSQL */
/* SHA-256 and HMAC with it. */
#include "share/sha256.h"

#include <string.h>

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotated(uint32_t x, unsigned by)
{
	return x >> by | x << (32 - by);
}

/* The message schedule: the block, and 48 words made of it. */
static void extend(uint32_t words[64], const uint8_t *block)
{
	for (unsigned i = 0; i < 16; i++, block += 4) {
		words[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 |
		           (uint32_t)block[2] << 8 | block[3];
	}
	for (unsigned i = 16; i < 64; i++) {
		uint32_t a = words[i - 15];
		uint32_t b = words[i - 2];

		words[i] = words[i - 16] + words[i - 7] +
		           (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) +
		           (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
	}
}

static void take_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t words[64];
	uint32_t s[8]; /* a to h */

	extend(words, block);
	memcpy(s, state, sizeof(s));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t e = rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25);
		uint32_t a = rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22);
		uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
		uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
		uint32_t sum = s[7] + e + choice + constants[i] + words[i];

		memmove(s + 1, s, 7 * sizeof(s[0]));
		s[4] += sum;
		s[0] = sum + a + majority;
	}
	for (unsigned i = 0; i < 8; i++) {
		state[i] += s[i];
	}
	explicit_bzero(words, sizeof(words));
}

void sha256_begin(struct sha256 *hash)
{
	/* Likewise of the square roots of the first 8 primes. */
	static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(hash->state, first, sizeof(first));
	hash->bytes = 0;
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t count)
{
	const uint8_t *from = bytes;
	size_t used = hash->bytes % SHA256_BLOCK;

	hash->bytes += count;
	while (count > 0) {
		size_t n = SHA256_BLOCK - used < count ? SHA256_BLOCK - used : count;

		memcpy(hash->block + used, from, n);
		from += n;
		count -= n;
		used += n;
		if (used == SHA256_BLOCK) {
			take_block(hash->state, hash->block);
			used = 0;
		}
	}
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
	static const uint8_t padding[SHA256_BLOCK] = {0x80};
	uint64_t bits = hash->bytes * 8;
	size_t used = hash->bytes % SHA256_BLOCK;
	uint8_t length[8];

	for (unsigned i = 0; i < 8; i++) {
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	}
	sha256_add(hash, padding, (used < 56 ? 56 : 56 + SHA256_BLOCK) - used);
	sha256_add(hash, length, sizeof(length));
	for (unsigned i = 0; i < SHA256_BYTES; i++) {
		digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
	}
	explicit_bzero(hash, sizeof(*hash));
}

void hmac_begin(struct hmac *hmac, const uint8_t *key, size_t key_len)
{
	uint8_t inner_key[SHA256_BLOCK] = {0};

	memcpy(inner_key, key, key_len);
	for (unsigned i = 0; i < SHA256_BLOCK; i++) {
		hmac->outer_key[i] = inner_key[i] ^ 0x5c;
		inner_key[i] ^= 0x36;
	}
	sha256_begin(&hmac->inner);
	sha256_add(&hmac->inner, inner_key, sizeof(inner_key));
	explicit_bzero(inner_key, sizeof(inner_key));
}

void hmac_add(struct hmac *hmac, const void *bytes, size_t count)
{
	sha256_add(&hmac->inner, bytes, count);
}

void hmac_end(struct hmac *hmac, uint8_t digest[SHA256_BYTES])
{
	uint8_t inner[SHA256_BYTES];

	sha256_end(&hmac->inner, inner);
	sha256_begin(&hmac->inner);
	sha256_add(&hmac->inner, hmac->outer_key, sizeof(hmac->outer_key));
	sha256_add(&hmac->inner, inner, sizeof(inner));
	sha256_end(&hmac->inner, digest);
	explicit_bzero(hmac, sizeof(*hmac));
}
