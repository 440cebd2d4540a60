/* SPDX-License-Identifier: PostgreSQL */
/*
 * PQPOOL_* variables: defaults, profiles, every rule's good and bad values, complaints.
 *
 * This long because each variable has its good and its bad values here, side by side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/config.h"

#define MANY 8192

/* The longest host that is routed to. */
#define FIFTY   "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"
#define LONGEST FIFTY FIFTY FIFTY FIFTY FIFTY "hhhhh"

/* Configurations stay reachable, so that a leak checker sees only real leaks. */
static struct config *slots[MANY];
static size_t slots_used;

static char lines[32][1200];
static size_t lines_used;
static bool loaded;

static bool no_memory;

/* Takes the place of the C library's in this program: the way to run out of memory. */
char *strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = no_memory ? NULL : malloc(size);

	if (copy == NULL) {
		errno = ENOMEM;
	}
	return copy != NULL ? memcpy(copy, s, size) : NULL;
}

static void complain(void *arg, const char *line)
{
	assert_ptr_equal(arg, lines);
	assert_true(lines_used < 32);
	assert_true(strlen(line) < sizeof(lines[0]));
	memcpy(lines[lines_used++], line, strlen(line) + 1);
}

/* Loads `env`, a NULL-terminated list. */
static struct config *load_block(char *const *env)
{
	struct config *config = malloc(sizeof(*config));

	assert_non_null(config);
	assert_true(slots_used < MANY);
	lines_used = 0;
	errno = EXDEV;
	loaded = config_load(config, env, complain, lines);
	assert_int_equal(errno, EXDEV);
	slots[slots_used++] = config;
	return config;
}

#define load(...) load_block((char *const[]){__VA_ARGS__, NULL})

static struct config *load_good_block(char *const *env)
{
	struct config *config = load_block(env);

	for (size_t i = 0; i < lines_used; i++) {
		print_error("unexpected: %s\n", lines[i]);
	}
	assert_int_equal(lines_used, 0);
	assert_true(loaded);
	return config;
}

#define load_good(...) load_good_block((char *const[]){__VA_ARGS__, NULL})

static struct config *load_one(const char *name, const char *value, bool good)
{
	char *entry = malloc(strlen(name) + strlen(value) + 2);
	char *env[] = {entry, NULL};
	struct config *config;

	assert_non_null(entry);
	sprintf(entry, "%s=%s", name, value);
	config = load_block(env);
	if (loaded != good) {
		print_error("%s was %s\n", entry, good ? "refused" : "taken");
	}
	/* What the configuration keeps must be its own. */
	memset(entry, '?', strlen(entry));
	free(entry);
	assert_int_equal(loaded, good);
	assert_int_equal(lines_used, good ? 0 : 1);
	return config;
}

static const char *described(const struct config *config)
{
	static char buf[4096];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	config_describe(config, &t);
	assert_false(t.cut);
	return buf;
}

/* ---- defaults and profiles ---- */

static void assert_common_defaults(const struct config *c)
{
	assert_false(c->disable);
	assert_null(c->only);
	assert_null(c->skip);
	assert_null(c->route);
	assert_int_equal(c->timeout_ms, 30000);
	assert_int_equal(c->pre_ping, PRE_PING_ON);
	assert_string_equal(c->ping_query, "");
	assert_int_equal(c->ping_timeout_ms, 5000);
	assert_int_equal(c->connect_timeout_s, 10);
	assert_int_equal(c->reset, RESET_DISCARD);
	assert_int_equal(c->prewarm, 0);
	assert_int_equal(c->order, ORDER_LIFO);
	assert_string_equal(c->log, "stderr");
	assert_int_equal(c->log_level, LEVEL_WARNING);
	assert_int_equal(c->long_hold_ms, 60000);
	assert_int_equal(c->warn_at, 80);
	assert_int_equal(c->stack_depth, 16);
	assert_true(c->report);
	assert_int_equal(c->leak_exitcode, 0);
}

static void assert_profile(const struct config *c, enum config_profile profile, int64_t size,
                           int64_t overflow, int64_t recycle_s, int64_t idle_s)
{
	assert_common_defaults(c);
	assert_int_equal(c->profile, profile);
	assert_int_equal(c->size, size);
	assert_int_equal(c->max_overflow, overflow);
	assert_int_equal(c->recycle_ms, recycle_s * 1000);
	assert_int_equal(c->idle_timeout_ms, idle_s * 1000);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_profile(load_good("HOME=/"), PROFILE_NONE, 10, 20, 3600, 0);
	assert_profile(load_good(NULL), PROFILE_NONE, 10, 20, 3600, 0);
}

static void test_profiles(void **state)
{
	(void)state;
	assert_profile(load_good("PQPOOL_PROFILE=dev"), PROFILE_DEV, 5, 10, 1800, 0);
	assert_profile(load_good("PQPOOL_PROFILE=test"), PROFILE_TEST, 10, 15, 3600, 0);
	assert_profile(load_good("PQPOOL_PROFILE=prod"), PROFILE_PROD, 20, 30, 1800, 600);
}

/* A profile must not name a value that its own row would refuse, nor a default. */
static void test_rows_agree_with_themselves(void **state)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);

	(void)state;
	assert_int_equal(count, 30);
	assert_string_equal(rows[0].name, "PQPOOL_PROFILE");
	for (size_t i = 0; i < count; i++) {
		load_one(rows[i].name, rows[i].fallback, true);
		assert_string_equal(rows[i].by_profile[PROFILE_NONE], "");
		for (size_t p = 0; p < PROFILES; p++) {
			load_one(rows[i].name, rows[i].by_profile[p], true);
		}
		assert_true(strlen(rows[i].allowed) > 0);
		assert_true(strlen(rows[i].meaning) > 0);
	}
}

static void test_single_variable_beats_profile(void **state)
{
	(void)state;
	for (int profile_first = 0; profile_first < 2; profile_first++) {
		char *profile = "PQPOOL_PROFILE=prod";
		struct config *c;

		c = profile_first ? load_good(profile, "PQPOOL_SIZE=3", "PQPOOL_RECYCLE=-1")
		                  : load_good("PQPOOL_SIZE=3", "PQPOOL_RECYCLE=-1", profile);
		assert_int_equal(c->profile, PROFILE_PROD);
		assert_int_equal(c->size, 3);
		assert_int_equal(c->recycle_ms, CONFIG_NO_LIMIT);
		assert_int_equal(c->max_overflow, 30);
		assert_int_equal(c->idle_timeout_ms, 600000);
		c = profile_first ? load_good(profile, "PQPOOL_IDLE_TIMEOUT=0")
		                  : load_good("PQPOOL_IDLE_TIMEOUT=0", profile);
		assert_int_equal(c->idle_timeout_ms, 0);
	}
}

static void test_prod_refuses_pre_ping_off(void **state)
{
	const char *line =
		"pqpool: PQPOOL_PRE_PING=\"off\": must be on or auto with PQPOOL_PROFILE=prod, "
		"which lends no session that may be dead; this program runs unpooled";

	(void)state;
	load("PQPOOL_PRE_PING=off", "PQPOOL_PROFILE=prod");
	assert_false(loaded);
	assert_int_equal(lines_used, 1);
	assert_string_equal(lines[0], line);
	assert_int_equal(load_good("PQPOOL_PROFILE=prod", "PQPOOL_PRE_PING=auto")->pre_ping,
	                 PRE_PING_AUTO);
	assert_int_equal(load_good("PQPOOL_PROFILE=test", "PQPOOL_PRE_PING=off")->pre_ping,
	                 PRE_PING_OFF);
}

static void test_empty_is_unset(void **state)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct config *c = load_one(rows[i].name, "", true);

		assert_profile(c, PROFILE_NONE, 10, 20, 3600, 0);
	}
	load_one("PQPOOL_NO_SUCH_NAME", "", true);
	/* The profile's value comes through an empty one. */
	assert_int_equal(load_good("PQPOOL_SIZE=", "PQPOOL_PROFILE=dev")->size, 5);
}

static void test_first_of_two_counts(void **state)
{
	(void)state;
	assert_int_equal(load_good("PQPOOL_SIZE=3", "PQPOOL_SIZE=4")->size, 3);
}

static void test_other_names_are_not_ours(void **state)
{
	struct config *c = load_good("PQPOOLSIZE=abc", "XPQPOOL_SIZE=abc", "PQPOOL_SIZE",
	                             "pqpool_size=abc", "PQPOOL=abc");

	(void)state;
	assert_int_equal(c->size, 10);
}

/* ---- values ---- */

/* A value, and the pair in the description that shows how it was understood. */
static void takes(const char *name, const char *value, const char *pair)
{
	char have[4200];
	char want[300];

	snprintf(have, sizeof(have), " %s ", described(load_one(name, value, true)));
	snprintf(want, sizeof(want), " %s ", pair);
	if (strstr(have, want) == NULL) {
		print_error("%s=%s: no %s in%s\n", name, value, pair, have);
		fail();
	}
}

static void refuses_block(const char *name, const char *const *values)
{
	for (; *values != NULL; values++) {
		load_one(name, *values, false);
		assert_profile(slots[slots_used - 1], PROFILE_NONE, 10, 20, 3600, 0);
	}
}

#define refuses(name, ...) refuses_block(name, (const char *const[]){__VA_ARGS__, NULL})

static const char *const not_numbers[] = {"abc",
                                          " 5",
                                          "5 ",
                                          "+5",
                                          "-5",
                                          "-2",
                                          "-1x",
                                          "-0",
                                          "0x10",
                                          "1e5",
                                          "5.",
                                          "5,0",
                                          "1_000",
                                          " ",
                                          "-",
                                          "\t5",
                                          "5\n",
                                          "nan",
                                          "inf",
                                          "99999999999999999999",
                                          "9223372036854775808",
                                          "18446744073709551617",
                                          "\xd9\xa5",
                                          NULL};

static void test_numbers(void **state)
{
	(void)state;
	takes("PQPOOL_SIZE", "0", "size=0");
	takes("PQPOOL_SIZE", "007", "size=7");
	takes("PQPOOL_SIZE", "10000", "size=10000");
	takes("PQPOOL_WARN_AT", "75", "warn_at=75");
	takes("PQPOOL_WARN_AT", "75%", "warn_at=75");
	takes("PQPOOL_WARN_AT", "0", "warn_at=0");
	takes("PQPOOL_WARN_AT", "100%", "warn_at=100");
	takes("PQPOOL_MAX_OVERFLOW", "-1", "max_overflow=-1");
	takes("PQPOOL_MAX_OVERFLOW", "0", "max_overflow=0");
	takes("PQPOOL_MAX_OVERFLOW", "10000", "max_overflow=10000");
	takes("PQPOOL_PREWARM", "7", "prewarm=7");
	takes("PQPOOL_STACK_DEPTH", "0", "stack_depth=0");
	takes("PQPOOL_STACK_DEPTH", "64", "stack_depth=64");
	assert_int_equal(load_one("PQPOOL_LEAK_EXITCODE", "255", true)->leak_exitcode, 255);
	refuses_block("PQPOOL_SIZE", not_numbers);
	refuses("PQPOOL_SIZE", "-1", "10001", "5s", "0.5");
	refuses("PQPOOL_WARN_AT", "101", "-1", "%", "80%%", "80 %", "0.8", "50%x");
	refuses_block("PQPOOL_MAX_OVERFLOW", not_numbers);
	refuses("PQPOOL_MAX_OVERFLOW", "10001");
	refuses_block("PQPOOL_PREWARM", not_numbers);
	refuses("PQPOOL_PREWARM", "-1", "257");
	refuses_block("PQPOOL_STACK_DEPTH", not_numbers);
	refuses("PQPOOL_STACK_DEPTH", "-1", "65");
	refuses_block("PQPOOL_LEAK_EXITCODE", not_numbers);
	refuses("PQPOOL_LEAK_EXITCODE", "-1", "256");
}

static void test_durations(void **state)
{
	(void)state;
	takes("PQPOOL_TIMEOUT", "0", "timeout_ms=0");
	takes("PQPOOL_TIMEOUT", "5", "timeout_ms=5000");
	takes("PQPOOL_TIMEOUT", "0.5", "timeout_ms=500");
	takes("PQPOOL_TIMEOUT", "1.25s", "timeout_ms=1250");
	takes("PQPOOL_TIMEOUT", "500ms", "timeout_ms=500");
	takes("PQPOOL_TIMEOUT", "5min", "timeout_ms=300000");
	takes("PQPOOL_TIMEOUT", "1.5h", "timeout_ms=5400000");
	takes("PQPOOL_TIMEOUT", "1000000h", "timeout_ms=3600000000000");
	takes("PQPOOL_TIMEOUT", "3600000000000ms", "timeout_ms=3600000000000");
	takes("PQPOOL_TIMEOUT", "0.0s", "timeout_ms=0");
	/* Rounded up: a tiny time is not 0. */
	takes("PQPOOL_TIMEOUT", "0.0001", "timeout_ms=1");
	takes("PQPOOL_TIMEOUT", "0.0000000000000000001ms", "timeout_ms=1");
	takes("PQPOOL_TIMEOUT", "1.0010000000001", "timeout_ms=1002");
	takes("PQPOOL_TIMEOUT", "0.999999999999h", "timeout_ms=3600000");
	takes("PQPOOL_RECYCLE", "-1", "recycle_ms=-1");
	takes("PQPOOL_RECYCLE", "30min", "recycle_ms=1800000");
	takes("PQPOOL_PING_TIMEOUT", "1ms", "ping_timeout_ms=1");
	takes("PQPOOL_IDLE_TIMEOUT", "600", "idle_timeout_ms=600000");
	takes("PQPOOL_KEEPALIVE", "2min", "keepalive_ms=120000");
	takes("PQPOOL_SHARE_LINGER", "0", "share_linger_ms=0");
	takes("PQPOOL_LONG_HOLD", "5min", "long_hold_ms=300000");
	takes("PQPOOL_LONG_HOLD", "0", "long_hold_ms=0");
}

static void test_sizes(void **state)
{
	(void)state;
	takes("PQPOOL_LOG_MAX_SIZE", "0", "log_max_bytes=0");
	takes("PQPOOL_LOG_MAX_SIZE", "0MB", "log_max_bytes=0");
	takes("PQPOOL_LOG_MAX_SIZE", "1B", "log_max_bytes=1");
	takes("PQPOOL_LOG_MAX_SIZE", "64kB", "log_max_bytes=65536");
	takes("PQPOOL_LOG_MAX_SIZE", "1.5kB", "log_max_bytes=1536");
	takes("PQPOOL_LOG_MAX_SIZE", "10MB", "log_max_bytes=10485760");
	takes("PQPOOL_LOG_MAX_SIZE", "1024GB", "log_max_bytes=1099511627776");
	takes("PQPOOL_LOG_MAX_SIZE", "1.9999999999GB", "log_max_bytes=2147483648");
	/* Never so little that it means "no limit". */
	takes("PQPOOL_LOG_MAX_SIZE", "0.0000000001kB", "log_max_bytes=1");
	refuses("PQPOOL_LOG_MAX_SIZE", "100", "100 MB", "100mb", "100M", "1TB", "MB", "-1",
	        "-1MB", "1.MB", "1025GB", "1024.1GB", "99999999999999999999kB");
}

static void test_bad_durations(void **state)
{
	const char *const timed[] = {"PQPOOL_TIMEOUT", "PQPOOL_RECYCLE", "PQPOOL_PING_TIMEOUT",
	                             "PQPOOL_IDLE_TIMEOUT"};

	(void)state;
	for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++) {
		refuses_block(timed[i], not_numbers);
		refuses(timed[i], "99999999999999999999s", "1e5", "-5", "0x10", " 5", "5 ",
		        "5 s", "5S", "5m", "5sec", "5d", "5us", ".5", "5.s", "0.5.5", "-1s",
		        "1000001h", "1000000.0000001h", "3600000000.0001", "3600000000001ms",
		        "9223372036854775807h", "9223372036854775807ms", "0,5", "s");
	}
	refuses("PQPOOL_TIMEOUT", "-1");
	refuses("PQPOOL_PING_TIMEOUT", "-1", "0", "0.0", "0ms");
	refuses("PQPOOL_IDLE_TIMEOUT", "-1");
}

static void test_whole_seconds(void **state)
{
	(void)state;
	takes("PQPOOL_CONNECT_TIMEOUT", "0", "connect_timeout_s=0");
	takes("PQPOOL_CONNECT_TIMEOUT", "7", "connect_timeout_s=7");
	takes("PQPOOL_CONNECT_TIMEOUT", "2min", "connect_timeout_s=120");
	takes("PQPOOL_CONNECT_TIMEOUT", "86400", "connect_timeout_s=86400");
	refuses_block("PQPOOL_CONNECT_TIMEOUT", not_numbers);
	refuses("PQPOOL_CONNECT_TIMEOUT", "-1", "0.5", "1500ms", "86401", "25h");
}

static void test_words(void **state)
{
	(void)state;
	takes("PQPOOL_PRE_PING", "on", "pre_ping=on");
	takes("PQPOOL_PRE_PING", "auto", "pre_ping=auto");
	takes("PQPOOL_PRE_PING", "off", "pre_ping=off");
	takes("PQPOOL_RESET", "discard", "reset=discard");
	takes("PQPOOL_RESET", "auto", "reset=auto");
	takes("PQPOOL_RESET", "rollback", "reset=rollback");
	takes("PQPOOL_RESET", "off", "reset=off");
	takes("PQPOOL_ORDER", "lifo", "order=lifo");
	takes("PQPOOL_ORDER", "fifo", "order=fifo");
	takes("PQPOOL_LOG_LEVEL", "debug", "log_level=debug");
	takes("PQPOOL_LOG_LEVEL", "info", "log_level=info");
	takes("PQPOOL_LOG_LEVEL", "warning", "log_level=warning");
	takes("PQPOOL_LOG_LEVEL", "error", "log_level=error");
	takes("PQPOOL_LOG_LEVEL", "off", "log_level=off");
	refuses("PQPOOL_PROFILE", "production", "none", "PROD", "prod ", "pro");
	refuses("PQPOOL_PRE_PING", "1", "true", "On", "always", "on,auto");
	refuses("PQPOOL_RESET", "Auto", "DISCARD ALL", "on", "discar", "discardd");
	refuses("PQPOOL_ORDER", "LIFO", "random");
	refuses("PQPOOL_LOG_LEVEL", "warn", "all", "2");
}

static void test_flags(void **state)
{
	static const char *const yes[] = {"on", "1", "true", "yes"};
	static const char *const no[] = {"off", "0", "false", "no"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(load_one("PQPOOL_DISABLE", yes[i], true)->disable);
		assert_false(load_one("PQPOOL_DISABLE", no[i], true)->disable);
		assert_true(load_one("PQPOOL_REPORT", yes[i], true)->report);
		assert_false(load_one("PQPOOL_REPORT", no[i], true)->report);
	}
	refuses("PQPOOL_DISABLE", "2", "y", "enabled", "ON", "on ", "01");
	assert_int_equal(load_one("PQPOOL_REPORT", "all", true)->report, REPORT_ALL);
	refuses("PQPOOL_REPORT", "2", "n", "none", "False", " off", "tru");
}

static void test_texts(void **state)
{
	(void)state;
	takes("PQPOOL_PING_QUERY", "SELECT 1", "ping_query=\"SELECT 1\"");
	takes("PQPOOL_LOG", "syslog", "log=syslog");
	takes("PQPOOL_LOG", "/var/log/a=b", "log=\"/var/log/a=b\"");
	takes("PQPOOL_LOG", "/tmp/%n-%p-%h-%%.log", "log=/tmp/%n-%p-%h-%%.log");
	takes("PQPOOL_LOG", "%%p", "log=%%p");
	refuses("PQPOOL_LOG", "%", "/tmp/%d", "/tmp/%%%", "/tmp/%P", "%n%");
	takes("PQPOOL_ONLY", "psql", "only=psql");
	takes("PQPOOL_SKIP", "pg_*, psql", "skip=\"pg_*, psql\"");
	refuses("PQPOOL_ONLY", ",", " ", " , ,,");
	refuses("PQPOOL_SKIP", ",");
}

static void test_route(void **state)
{
	(void)state;
	takes("PQPOOL_ROUTE", "db", "route=db");
	takes("PQPOOL_ROUTE", "db.example.org:6432", "route=db.example.org:6432");
	takes("PQPOOL_ROUTE", "127.0.0.1:1", "route=127.0.0.1:1");
	takes("PQPOOL_ROUTE", "db:65535", "route=db:65535");
	takes("PQPOOL_ROUTE", "[::1]", "route=[::1]");
	takes("PQPOOL_ROUTE", "[fe80::1%eth0]:6432", "route=[fe80::1%eth0]:6432");
	takes("PQPOOL_ROUTE", "/run/pgbouncer", "route=/run/pgbouncer");
	takes("PQPOOL_ROUTE", LONGEST, "route=" LONGEST);
	refuses("PQPOOL_ROUTE", LONGEST "h", NULL);
	takes("PQPOOL_ROUTE", "/run/pgbouncer:6432", "route=/run/pgbouncer:6432");
	refuses("PQPOOL_ROUTE", "db:", ":5432", "db:0", "db:65536", "db:-1", "db:x", "db:5432x",
	        "db: 5432", "db:99999999999999999999", "::1", "a:b:1", "db ", " db", "d b",
	        "d\tb", "d\nb", "'db'", "d\"b", "d`b", "d\\b", "a,b", "[::1", "[]", "[]:1",
	        "[db]", "[127.0.0.1]", "[::1]5432", "[::1]:", "[::1]:0", "[%eth0]", "/a:b/c",
	        "[", "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]");
}

static void test_share(void **state)
{
	(void)state;
	takes("PQPOOL_SHARE", "on", "share=on");
	takes("PQPOOL_SHARE", "off", "share=off");
	takes("PQPOOL_SHARE", "/run/keeper.socket", "share=/run/keeper.socket");
	refuses("PQPOOL_SHARE", "yes", "keeper.socket", "./keeper.socket", NULL);
}

static void test_log_level_follows_log(void **state)
{
	(void)state;
	assert_int_equal(load_good("PQPOOL_LOG=stderr")->log_level, LEVEL_WARNING);
	assert_int_equal(load_good("PQPOOL_LOG=syslog")->log_level, LEVEL_WARNING);
	assert_int_equal(load_good("PQPOOL_LOG=/tmp/x.log")->log_level, LEVEL_INFO);
	assert_int_equal(load_good("PQPOOL_LOG=stderr.log")->log_level, LEVEL_INFO);
	assert_int_equal(load_good("PQPOOL_LOG=/tmp/x", "PQPOOL_LOG_LEVEL=off")->log_level,
	                 LEVEL_OFF);
	assert_int_equal(load_good("PQPOOL_LOG_LEVEL=debug")->log_level, LEVEL_DEBUG);
}

/* ---- complaints ---- */

#define TIMES ", such as 30, 0.5, 500ms, 5min or 1h"
#define UPTO  "a time up to 1000000h" TIMES
#define FLAGS "on, off, true, false, yes, no, 1 or 0"
#define NAMES                                                                                  \
	"names of programs separated by commas, with *, ? and [...], each at most 255 bytes"

static void test_complaint_of_every_variable(void **state)
{
	static const struct {
		const char *name;
		const char *value;
		const char *must;
	} cases[] = {
		{"PROFILE", "x", "dev, test or prod"},
		{"SIZE", "abc", "a whole number from 0 to 10000 (0 = no limit)"},
		{"MAX_OVERFLOW", "-2", "a whole number from -1 to 10000 (-1 = no limit)"},
		{"TIMEOUT", "x", UPTO " (0 = do not wait)"},
		{"RECYCLE", "x", UPTO " (-1 = never)"},
		{"PRE_PING", "x", "on, auto or off"},
		{"PING_TIMEOUT", "0", "a time above 0 and up to 1000000h" TIMES},
		{"CONNECT_TIMEOUT", "0.5",
	         "whole seconds from 0 to 86400 (0 = leave it to libpq)"},
		{"RESET", "x", "discard, auto, rollback or off"},
		{"PREWARM", "x", "a whole number from 0 to 256"},
		{"IDLE_TIMEOUT", "x", UPTO " (0 = off)"},
		{"KEEPALIVE", "-1", UPTO " (0 = off)"},
		{"SHARE_LINGER", "x", UPTO " (0 = not at all)"},
		{"ORDER", "x", "lifo or fifo"},
		{"DISABLE", "x", FLAGS},
		{"ONLY", ",", NAMES},
		{"SKIP", ",", NAMES},
		{"ROUTE", "a b",
	         "host, host:port, [IPv6 address]:port or /socket/directory:port, with a port "
	         "from "
	         "1 to 65535 and without blanks, quotes, backslashes or commas"},
		{"LOG", "%",
	         "stderr, syslog or a file name, where %p, %n, %h and %% are the only uses of "
	         "%"},
		{"LOG_LEVEL", "x", "debug, info, warning, error or off"},
		{"STACK_DEPTH", "65", "a whole number from 0 to 64 (0 = the call site only)"},
		{"REPORT", "x", "on, all or off"},
		{"LEAK_EXITCODE", "256",
	         "a whole number from 0 to 255 (0 = keep the program's)"},
	};
	char name[64];
	char want[600];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "PQPOOL_%s", cases[i].name);
		snprintf(want, sizeof(want),
		         "pqpool: %s=\"%s\": must be %s; this program runs unpooled", name,
		         cases[i].value, cases[i].must);
		load_one(name, cases[i].value, false);
		assert_string_equal(lines[0], want);
	}
}

static void test_all_bad_values_are_told(void **state)
{
	struct config *c =
		load("PQPOOL_ORDER=x", "PQPOOL_SIZE=-3", "PQPOOL_NOTHING_LIKE_IT=1",
	             "PQPOOL_PROFILE=dev", "PQPOOL_LOG=/tmp/x", "PQPOOL_LOG_LEVEL=x");

	(void)state;
	assert_false(loaded);
	assert_int_equal(lines_used, 4);
	assert_string_equal(lines[0], "pqpool: PQPOOL_NOTHING_LIKE_IT is not a variable of "
	                              "pqpool; see pqpool run --help");
	assert_non_null(strstr(lines[1], "PQPOOL_SIZE=\"-3\": must be "));
	assert_non_null(strstr(lines[2], "PQPOOL_ORDER=\"x\": must be "));
	assert_non_null(strstr(lines[3], "PQPOOL_LOG_LEVEL=\"x\": must be "));
	/* In their places, the defaults. */
	assert_int_equal(c->size, 5);
	assert_int_equal(c->order, ORDER_LIFO);
	assert_int_equal(c->log_level, LEVEL_INFO);
}

static void test_complaint_is_one_short_line(void **state)
{
	char value[5000];

	(void)state;
	load_one("PQPOOL_SIZE", "a\nb\tc\"d\\e\x01\x7f\x1b[0m\xc3\xa4", false);
	assert_string_equal(
		lines[0],
		"pqpool: PQPOOL_SIZE=\"a\\nb\\tc\\\"d\\\\e\\x01\\x7f\\x1b[0m\xc3\xa4\":"
		" must be a whole number from 0 to 10000 (0 = no limit); this program "
		"runs unpooled");

	memset(value, 'v', sizeof(value));
	value[80] = '\0';
	load_one("PQPOOL_ORDER", value, false);
	assert_null(strstr(lines[0], "..."));
	value[80] = 'v';
	value[sizeof(value) - 1] = '\0';
	load_one("PQPOOL_ORDER", value, false);
	assert_int_equal(strlen(lines[0]), strlen("pqpool: PQPOOL_ORDER=\"\": must be lifo or "
	                                          "fifo; this program runs unpooled") +
	                                           80 + 3);
	assert_non_null(strstr(lines[0], "v...\": must be lifo"));

	/* Not cut inside a character, and whole though every byte is escaped. */
	memcpy(value + 79, "\xc3\xa4", 2);
	load_one("PQPOOL_ORDER", value, false);
	assert_non_null(strstr(lines[0], "v...\": must be lifo"));
	memset(value, '\x01', 200);
	load_one("PQPOOL_ROUTE", value, false);
	assert_non_null(strstr(lines[0], "\\x01...\": must be host"));
	assert_non_null(strstr(lines[0], "; this program runs unpooled"));
}

static void assert_suggests(const char *name, const char *nearest)
{
	char entry[100];
	char want[400];

	snprintf(want, sizeof(want), "pqpool: %s is not a variable of pqpool; %s%s%s", name,
	         nearest != NULL ? "did you mean " : "see pqpool run --help",
	         nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
	snprintf(entry, sizeof(entry), "%s=1", name);
	assert_profile(load(entry), PROFILE_NONE, 10, 20, 3600, 0);
	assert_true(loaded);
	assert_int_equal(lines_used, 1);
	assert_string_equal(lines[0], want);
}

static void test_unknown_names(void **state)
{
	(void)state;
	assert_suggests("PQPOOL_SIZ", "PQPOOL_SIZE");
	assert_suggests("PQPOOL_SIEZ", "PQPOOL_SIZE");
	assert_suggests("PQPOOL_SIZES", "PQPOOL_SIZE");
	assert_suggests("PQPOOL_size", "PQPOOL_SIZE");
	assert_suggests("PQPOOL_OVERFLOW", NULL);
	assert_suggests("PQPOOL_MAXOVERFLOW", "PQPOOL_MAX_OVERFLOW");
	assert_suggests("PQPOOL_PREPING", "PQPOOL_PRE_PING");
	assert_suggests("PQPOOL_LOGLEVEL", "PQPOOL_LOG_LEVEL");
	assert_suggests("PQPOOL_TIME_OUT", "PQPOOL_TIMEOUT");
	assert_suggests("PQPOOL_LOG_FILE", NULL);
	assert_suggests("PQPOOL_FOO", NULL);
	assert_suggests("PQPOOL_", NULL);
	assert_suggests("PQPOOL_A", NULL);
	assert_suggests("PQPOOL_PROFILE_OF_A_NAME_TOO_LONG_TO_COMPARE", NULL);
	/* Known to later versions, not to this one. */
	load("PQPOOL_X\n=1");
	assert_string_equal(lines[0], "pqpool: PQPOOL_X\\n is not a variable of pqpool; "
	                              "see pqpool run --help");
}

static void test_long_unknown_name_is_cut(void **state)
{
	char entry[400];

	(void)state;
	snprintf(entry, sizeof(entry), "PQPOOL_%0300d=1", 0);
	load(entry);
	assert_true(loaded);
	assert_int_equal(lines_used, 1);
	assert_int_equal(strlen(lines[0]), 8 + 80 + 3 +
	                                           strlen(" is not a variable of pqpool; "
	                                                  "see pqpool run --help"));
}

static void test_out_of_memory(void **state)
{
	struct config *c;

	(void)state;
	no_memory = true;
	c = load("PQPOOL_LOG=/tmp/x", "PQPOOL_ONLY=psql", "PQPOOL_SIZE=4");
	no_memory = false;
	assert_false(loaded);
	assert_int_equal(lines_used, 2);
	assert_string_equal(lines[0], "pqpool: out of memory; this program runs unpooled");
	assert_string_equal(c->log, "stderr");
	assert_null(c->only);
	assert_int_equal(c->size, 4);
}

/* ---- asking ---- */

static void test_wants_program(void **state)
{
	struct config *c;

	(void)state;
	c = load_good("HOME=/");
	assert_true(config_wants_program(c, "psql"));
	assert_true(config_wants_program(c, ""));
	c = load_good("PQPOOL_DISABLE=on", "PQPOOL_ONLY=psql");
	assert_false(config_wants_program(c, "psql"));
	c = load_good("PQPOOL_ONLY=psql, pg_* ,,python3.[0-9]*", "PQPOOL_SKIP=pg_dump*");
	assert_true(config_wants_program(c, "psql"));
	assert_true(config_wants_program(c, "/usr/bin/psql"));
	assert_true(config_wants_program(c, "pg_restore"));
	assert_true(config_wants_program(c, "python3.11"));
	assert_false(config_wants_program(c, "python3"));
	assert_false(config_wants_program(c, "psql2"));
	assert_false(config_wants_program(c, "psq"));
	assert_false(config_wants_program(c, "pg_dumpall"));
	assert_false(config_wants_program(c, "/pg_x/app"));
	c = load_good("PQPOOL_SKIP=b?sh,php");
	assert_false(config_wants_program(c, "bash"));
	assert_false(config_wants_program(c, "php"));
	assert_true(config_wants_program(c, "basher"));
	errno = EXDEV;
	config_wants_program(c, "bash");
	assert_int_equal(errno, EXDEV);
}

static void test_longest_glob(void **state)
{
	char value[300];
	char program[256];
	struct config *c;

	(void)state;
	memset(program, 'g', 255);
	program[255] = '\0';
	snprintf(value, sizeof(value), "x,%s", program);
	c = load_one("PQPOOL_ONLY", value, true);
	assert_true(config_wants_program(c, program));
	snprintf(value, sizeof(value), "x,%sg", program);
	load_one("PQPOOL_ONLY", value, false);
}

static void test_describe(void **state)
{
	struct config *c;

	(void)state;
	assert_string_equal(
		described(load_good("HOME=/")),
		"profile=none size=10 max_overflow=20 timeout_ms=30000 "
		"recycle_ms=3600000 pre_ping=on ping_query=\"\" "
		"ping_timeout_ms=5000 connect_timeout_s=10 reset=discard prewarm=0 "
		"idle_timeout_ms=0 keepalive_ms=60000 order=lifo disable=off share=off "
		"share_linger_ms=20 "
		"log=stderr "
		"log_level=warning log_max_bytes=104857600 log_keep=5 "
		"long_hold_ms=60000 warn_at=80 stack_depth=16 report=on "
		"leak_exitcode=0");
	c = load_good("PQPOOL_PROFILE=prod", "PQPOOL_MAX_OVERFLOW=-1",
	              "PQPOOL_PING_QUERY=SELECT '\"\\\n\t\x02'", "PQPOOL_ONLY=a,b",
	              "PQPOOL_SKIP=c d", "PQPOOL_ROUTE=[::1]:6432", "PQPOOL_LOG=/l",
	              "PQPOOL_DISABLE=1", "PQPOOL_REPORT=no", "PQPOOL_RECYCLE=-1");
	assert_string_equal(
		described(c),
		"profile=prod size=20 max_overflow=-1 timeout_ms=30000 "
		"recycle_ms=-1 pre_ping=on "
		"ping_query=\"SELECT '\\\"\\\\\\n\\t\\x02'\" "
		"ping_timeout_ms=5000 connect_timeout_s=10 reset=discard prewarm=0 "
		"idle_timeout_ms=600000 keepalive_ms=60000 order=lifo disable=on only=a,b "
		"skip=\"c d\" "
		"route=[::1]:6432 share=off share_linger_ms=20 log=/l log_level=info "
		"log_max_bytes=104857600 "
		"log_keep=5 "
		"long_hold_ms=60000 warn_at=80 stack_depth=16 report=off leak_exitcode=0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_rows_agree_with_themselves),
		cmocka_unit_test(test_single_variable_beats_profile),
		cmocka_unit_test(test_prod_refuses_pre_ping_off),
		cmocka_unit_test(test_empty_is_unset),
		cmocka_unit_test(test_first_of_two_counts),
		cmocka_unit_test(test_other_names_are_not_ours),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bad_durations),
		cmocka_unit_test(test_whole_seconds),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_log_level_follows_log),
		cmocka_unit_test(test_complaint_of_every_variable),
		cmocka_unit_test(test_all_bad_values_are_told),
		cmocka_unit_test(test_complaint_is_one_short_line),
		cmocka_unit_test(test_unknown_names),
		cmocka_unit_test(test_long_unknown_name_is_cut),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_wants_program),
		cmocka_unit_test(test_longest_glob),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
