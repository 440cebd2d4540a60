/* SPDX-License-Identifier: PostgreSQL */
/* The digest of an identity. */
#include "share/identity_digest.h"

#include <sys/stat.h>

#include "share/sha256.h"

_Static_assert(KEEPER_DIGEST_LEN == SHA256_BYTES && KEEPER_SECRET_LEN <= SHA256_BLOCK,
               "a digest by HMAC");

/* Where a thread may be by itself. */
static const char *const places[] = {"/proc/thread-self/ns/net", "/proc/thread-self/ns/mnt",
                                     "/"};

static void add(void *arg, const void *bytes, size_t count)
{
	hmac_add(arg, bytes, count);
}

static bool add_places(struct hmac *hmac)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint64_t place[2];
		struct stat st;

		if (stat(places[i], &st) != 0) {
			return false;
		}
		place[0] = st.st_dev;
		place[1] = st.st_ino;
		hmac_add(hmac, place, sizeof(place));
	}
	return true;
}

bool identity_digest(const struct identity *identity, const struct session_care *care,
                     const uint8_t secret[KEEPER_SECRET_LEN], uint8_t digest[KEEPER_DIGEST_LEN])
{
	struct hmac hmac;
	bool known;

	if (identity->of_process || !reset_is_whole(care)) {
		return false;
	}
	hmac_begin(&hmac, secret, KEEPER_SECRET_LEN);
	known = add_places(&hmac);
	hmac_add(&hmac, &care->reset, sizeof(care->reset));
	identity_describe(identity, add, &hmac);
	hmac_end(&hmac, digest);
	return known;
}
