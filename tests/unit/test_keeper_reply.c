/* SPDX-License-Identifier: PostgreSQL */
/* What the keeper reads from a session that nobody uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "keep/session/reply.h"

#define COMPLETE                                                                               \
	"C\0\0\0\x10"                                                                          \
	"DISCARD ALL\0"
#define READY "Z\0\0\0\5I"
#define EMPTY "I\0\0\0\4"
#define TIMEZONE                                                                               \
	"S\0\0\0\x11"                                                                          \
	"TimeZone\0UTC\0"
#define PIPELINE                                                                               \
	"1\0\0\0\4"                                                                            \
	"2\0\0\0\4"                                                                            \
	"n\0\0\0\4"
#define OF(literal) (literal), sizeof(literal) - 1

static char seen[256];

static bool note(void *arg, const char *name, const char *value)
{
	(void)arg;
	strcat(strcat(strcat(strcat(seen, name), "="), value), ";");
	return true;
}

static bool refuse(void *arg, const char *name, const char *value)
{
	(void)arg;
	(void)name;
	(void)value;
	return false;
}

/* Reads it as it is, in memory of exactly its length. */
static enum reply_outcome read_once(struct reply *reply, const char *bytes, size_t n,
                                    size_t *used)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	enum reply_outcome outcome;

	memcpy(copy, bytes, n);
	seen[0] = '\0';
	outcome = reply_read(reply, copy, n, used, note, NULL);
	free(copy);
	return outcome;
}

static void assert_good(struct reply reply, const char *bytes, size_t n)
{
	size_t used;

	assert_int_equal(read_once(&reply, bytes, n, &used), REPLY_GOOD);
	assert_int_equal(used, n);
	assert_false(reply_is_due(&reply));
}

static void assert_outcome(enum reply_outcome wanted, struct reply reply, const char *bytes,
                           size_t n)
{
	size_t used;

	assert_int_equal(read_once(&reply, bytes, n, &used), wanted);
}

static void test_answers(void **state)
{
	struct reply reset = {.resets = 1};
	struct reply two = {.resets = 2};
	struct reply ping = {.ping = true};
	struct reply both = {.resets = 1, .ping = true};
	struct reply none = {.resets = 0};

	(void)state;
	assert_good(reset, OF(COMPLETE READY));
	assert_good(reset, OF(TIMEZONE COMPLETE TIMEZONE READY));
	assert_string_equal(seen, "TimeZone=UTC;TimeZone=UTC;");
	assert_good(reset, OF(PIPELINE COMPLETE PIPELINE COMPLETE READY));
	assert_good(two, OF(PIPELINE COMPLETE READY PIPELINE COMPLETE READY));
	assert_good(ping, OF(EMPTY READY));
	assert_good(both, OF(COMPLETE READY EMPTY TIMEZONE READY));
	assert_good(none, OF(TIMEZONE));
	assert_good(none, OF(""));
}

static void test_what_does_not_belong(void **state)
{
	struct reply reset = {.resets = 1};
	struct reply ping = {.ping = true};
	struct reply none = {.resets = 0};

	(void)state;
	assert_outcome(REPLY_BAD, reset, OF(READY));       /* nothing was completed */
	assert_outcome(REPLY_BAD, reset, OF(EMPTY READY)); /* another's answer */
	assert_outcome(REPLY_BAD, reset, OF(COMPLETE "Z\0\0\0\5T"));
	assert_outcome(REPLY_BAD, reset, OF(COMPLETE "Z\0\0\0\6II"));
	assert_outcome(REPLY_BAD, reset, OF(COMPLETE READY READY));
	assert_outcome(REPLY_BAD, reset, OF("C\0\0\0\x5x")); /* no text */
	assert_outcome(REPLY_BAD, reset, OF("N\0\0\0\5\0")); /* a notice */
	assert_outcome(REPLY_BAD, reset, OF("A\0\0\0\x0a\0\0\0\1a\0"));
	assert_outcome(REPLY_BAD, reset, OF("T\0\0\0\6\0\0"));
	assert_outcome(REPLY_BAD, reset, OF("E\0\0\0\5\0"));
	assert_outcome(REPLY_BAD, ping, OF(COMPLETE READY));
	assert_outcome(REPLY_BAD, ping, OF(EMPTY EMPTY));
	assert_outcome(REPLY_BAD, ping, OF(READY));
	assert_outcome(REPLY_BAD, none, OF(COMPLETE));
	assert_outcome(REPLY_BAD, none, OF(READY));
	assert_outcome(REPLY_ENDED, none, OF("E\0\0\0\5\0"));
	assert_outcome(REPLY_ENDED, ping, OF("E\0\0\0\5\0"));
}

static void test_lengths(void **state)
{
	struct reply reset = {.resets = 1};
	struct reply none = {.resets = 0};

	(void)state;
	assert_outcome(REPLY_BAD, reset, OF("C\0\0\0\3"));
	assert_outcome(REPLY_BAD, reset, OF("C\0\0\0\0"));
	assert_outcome(REPLY_BAD, reset, OF("C\xff\xff\xff\xff"));
	assert_outcome(REPLY_BAD, reset, OF("C\x7f\xff\xff\xff"));
	assert_outcome(REPLY_BAD, reset, OF("C\0\0\x80\1")); /* one more than is allowed */
	assert_outcome(REPLY_BAD, none, OF("S\0\0\0\4"));
	assert_outcome(REPLY_BAD, none, OF("S\0\0\0\6a\0"));
	assert_outcome(REPLY_BAD, none, OF("S\0\0\0\7abc"));
	assert_outcome(REPLY_BAD, none,
	               OF("S\0\0\0\x0a"
	                  "a\0b\0c\0"));
	assert_outcome(REPLY_BAD, none, OF("S\0\0\0\7a\0b"));
}

static void test_parameter_that_has_no_room(void **state)
{
	struct reply none = {.resets = 0};
	size_t used;

	(void)state;
	assert_int_equal(reply_read(&none, (const uint8_t *)TIMEZONE, sizeof(TIMEZONE) - 1,
	                            &used, refuse, NULL),
	                 REPLY_BAD);
}

/* Cut anywhere, the same comes of it. */
static void test_any_pieces(void **state)
{
	static const char whole[] = TIMEZONE PIPELINE COMPLETE READY COMPLETE READY EMPTY READY;
	size_t n = sizeof(whole) - 1;

	(void)state;
	for (size_t cut = 0; cut <= n; cut++) {
		struct reply reply = {.resets = 2, .ping = true};
		size_t used;
		size_t more;

		assert_int_equal(read_once(&reply, whole, cut, &used), REPLY_GOOD);
		assert_true(used <= cut);
		assert_int_equal(reply_is_due(&reply), cut < n);
		assert_int_equal(read_once(&reply, whole + used, n - used, &more), REPLY_GOOD);
		assert_int_equal(used + more, n);
		assert_false(reply_is_due(&reply));
	}
}

/* ---- the start of a session ---- */

#define START_BEGIN "R\0\0\0\x08\0\0\0\0"
#define START_A                                                                                \
	"S\0\0\0\x08"                                                                          \
	"a\0b\0"
#define START_END "K\0\0\0\x0c\0\0\0\1\0\0\0\2" READY

static uint8_t start[128];
static uint32_t length;

static void begin(const char *bytes, size_t n)
{
	memcpy(start, bytes, n);
	length = (uint32_t)n;
}

static void assert_start(const char *bytes, size_t n)
{
	assert_int_equal(length, n);
	assert_memory_equal(start, bytes, n);
}

static void test_parameter_of_the_start(void **state)
{
	(void)state;
	begin(OF(START_BEGIN START_A TIMEZONE START_END));
	assert_false(reply_start_differs(start, length, "a", "b"));
	assert_true(reply_start_differs(start, length, "a", ""));
	assert_false(reply_start_differs(start, length, "n", "b"));
	assert_true(reply_start_set(start, &length, sizeof(start), "a", "longer"));
	assert_start(OF(START_BEGIN "S\0\0\0\x0d"
	                            "a\0longer\0" TIMEZONE START_END));
	assert_true(reply_start_set(start, &length, sizeof(start), "a", ""));
	assert_start(OF(START_BEGIN "S\0\0\0\7"
	                            "a\0\0" TIMEZONE START_END));
	assert_true(reply_start_set(start, &length, sizeof(start), "n", "v"));
	assert_start(OF(START_BEGIN "S\0\0\0\7"
	                            "a\0\0" TIMEZONE "S\0\0\0\x08"
	                            "n\0v\0" START_END));
}

static void test_parameter_that_does_not_fit(void **state)
{
	uint32_t before;

	(void)state;
	begin(OF(START_BEGIN START_A START_END));
	before = length;
	assert_false(reply_start_set(start, &length, length, "new", "x"));
	assert_false(reply_start_set(start, &length, length, "a", "bb"));
	assert_true(reply_start_set(start, &length, length, "a", "c"));
	assert_int_equal(length, before);
	begin(OF("garbage, and no messages"));
	assert_false(reply_start_set(start, &length, sizeof(start), "a", "b"));
	begin(OF(START_BEGIN));
	assert_false(reply_start_set(start, &length, sizeof(start), "a", "b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_what_does_not_belong),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_parameter_that_has_no_room),
		cmocka_unit_test(test_any_pieces),
		cmocka_unit_test(test_parameter_of_the_start),
		cmocka_unit_test(test_parameter_that_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
