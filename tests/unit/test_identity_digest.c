/* SPDX-License-Identifier: PostgreSQL */
/* Equal digests for equal identities, whatever process asks; and none for what is not shared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "share/identity_digest.h"
#include "spellings.h"

static const uint8_t secret[KEEPER_SECRET_LEN] = "a secret of thirty-two bytes or";
static struct session_care care = {.reset = RESET_DISCARD};

struct digest {
	uint8_t bytes[KEEPER_DIGEST_LEN];
};

static struct digest digest_of(const char *conninfo)
{
	struct spelling *spelling = by_string(conninfo);
	struct digest digest;

	assert_non_null(spelling);
	assert_true(identity_digest(spelling->identity, &care, secret, digest.bytes));
	spelling_release(spelling);
	return digest;
}

static bool equal(struct digest a, struct digest b)
{
	return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

#define PLAIN "host=h port=1 user=u dbname=d password=p"

static void test_what_it_depends_on(void **state)
{
	(void)state;
	assert_true(equal(digest_of(PLAIN), digest_of(PLAIN)));
	assert_true(equal(digest_of(PLAIN), digest_of("postgresql://u:p@h:1/d")));
	assert_false(equal(digest_of(PLAIN), digest_of(PLAIN " password=other")));
	assert_false(equal(digest_of(PLAIN), digest_of(PLAIN " dbname=other")));
	assert_false(equal(digest_of(PLAIN), digest_of(PLAIN " options=-cwork_mem=1MB")));
	assert_false(equal(digest_of(PLAIN), digest_of(PLAIN " application_name=other")));
}

static void test_the_care_of_sessions_counts(void **state)
{
	struct digest before = digest_of(PLAIN);

	(void)state;
	care.reset = RESET_AUTO;
	assert_false(equal(before, digest_of(PLAIN)));
	care.reset = RESET_DISCARD;
	assert_true(equal(before, digest_of(PLAIN)));
}

/* The secret of another keeper. */
static void test_the_secret_counts(void **state)
{
	static const uint8_t other[KEEPER_SECRET_LEN] = "another one, of the same length";
	struct spelling *spelling = by_string(PLAIN);
	struct digest digest;

	(void)state;
	assert_true(identity_digest(spelling->identity, &care, other, digest.bytes));
	assert_false(equal(digest, digest_of(PLAIN)));
	spelling_release(spelling);
}

static void assert_not_shared(const char *conninfo)
{
	struct spelling *spelling = by_string(conninfo);
	struct digest digest;

	assert_non_null(spelling);
	assert_false(identity_digest(spelling->identity, &care, secret, digest.bytes));
	spelling_release(spelling);
}

static void test_what_is_a_processes_own(void **state)
{
	(void)state;
	assert_not_shared(PLAIN " host=h,i");
	assert_not_shared(PLAIN " target_session_attrs=read-write");
	assert_not_shared(PLAIN " sslmode=require");
	care.reset = RESET_ROLLBACK;
	assert_not_shared(PLAIN);
	care.reset = RESET_DISCARD;
}

/* Another process that asked for other things before, and has its memory elsewhere. */
static void test_another_process_finds_the_same(void **state)
{
	struct digest here = digest_of(PLAIN);
	struct digest there;
	int ends[2];
	int status;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	if (fork() == 0) {
		digest_of("host=elsewhere");
		there = digest_of(PLAIN);
		_exit(write(ends[1], &there, sizeof(there)) != sizeof(there));
	}
	assert_int_equal(read(ends[0], &there, sizeof(there)), sizeof(there));
	wait(&status);
	assert_int_equal(status, 0);
	assert_true(equal(here, there));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_depends_on),
		cmocka_unit_test(test_the_care_of_sessions_counts),
		cmocka_unit_test(test_the_secret_counts),
		cmocka_unit_test(test_what_is_a_processes_own),
		cmocka_unit_test(test_another_process_finds_the_same),
	};

	return cmocka_run_group_tests(tests, prepare, tidy_up);
}
