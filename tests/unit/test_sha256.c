/* SPDX-License-Identifier: PostgreSQL */
/* Digests against published ones: FIPS 180-4's examples, and RFC 4231 for HMAC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "share/sha256.h"

static void assert_digest(const uint8_t *digest, const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	char seen[2 * SHA256_BYTES + 1] = "";

	for (unsigned i = 0; i < SHA256_BYTES; i++) {
		seen[2 * i] = digits[digest[i] >> 4];
		seen[2 * i + 1] = digits[digest[i] & 15];
	}
	assert_string_equal(seen, hex);
}

/* In one piece, and byte by byte. */
static void assert_sha256(const char *text, const char *hex)
{
	struct sha256 hash;
	uint8_t digest[SHA256_BYTES];

	sha256_begin(&hash);
	sha256_add(&hash, text, strlen(text));
	sha256_end(&hash, digest);
	assert_digest(digest, hex);
	sha256_begin(&hash);
	for (const char *at = text; *at != '\0'; at++) {
		sha256_add(&hash, at, 1);
	}
	sha256_end(&hash, digest);
	assert_digest(digest, hex);
}

static void test_published_digests(void **state)
{
	(void)state;
	assert_sha256("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sha256("abc",
	              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
	              "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	              "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

static void test_a_million_bytes(void **state)
{
	struct sha256 hash;
	uint8_t digest[SHA256_BYTES];
	char letters[1000];

	(void)state;
	memset(letters, 'a', sizeof(letters));
	sha256_begin(&hash);
	for (unsigned i = 0; i < 1000; i++) {
		sha256_add(&hash, letters, sizeof(letters));
	}
	sha256_end(&hash, digest);
	assert_digest(digest,
	              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void assert_hmac(const char *key, const char *text, const char *hex)
{
	struct hmac hmac;
	uint8_t digest[SHA256_BYTES];

	hmac_begin(&hmac, (const uint8_t *)key, strlen(key));
	hmac_add(&hmac, text, strlen(text));
	hmac_end(&hmac, digest);
	assert_digest(digest, hex);
}

static void test_published_codes(void **state)
{
	(void)state;
	assert_hmac("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
	            "\x0b\x0b",
	            "Hi There",
	            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_hmac("Jefe", "what do ya want for nothing?",
	            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_digests),
		cmocka_unit_test(test_a_million_bytes),
		cmocka_unit_test(test_published_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
