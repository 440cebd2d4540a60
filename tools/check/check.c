/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool check`: a server's connections, as a monitoring plugin.
 *
 * What is alarming must be so in every one of several samples. So the first one that is
 * not ends the sampling, and a server that is well is asked once.
 */
#include "check/check.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/config/config.h"
#include "check/advice.h"
#include "check/server_conn.h"
#include "check/server_sessions.h"
#include "check/session_tables.h"
#include "check/threshold.h"
#include "common/terminal_text.h"

struct options {
	struct threshold warning;
	struct threshold critical;
	int64_t idle_warning_ms; /* CONFIG_NO_LIMIT = never */
	int64_t idle_critical_ms;
	int64_t samples;
	int64_t interval_ms;
	int64_t timeout_ms;
	bool advice;
	const char *conninfo;
};

/* ---- options ---- */

enum {
	VALUE_IDLE_WARNING = 1000,
	VALUE_IDLE_CRITICAL,
	VALUE_SAMPLES,
	VALUE_INTERVAL,
	VALUE_ADVICE
};

static void print_help(void)
{
	puts("Usage: pqpool check [OPTION]... [CONNINFO]\n"
	     "\n"
	     "A monitoring plugin. Counts a server's connections by state, user and\n"
	     "application; the exit status says whether there are too many. Names sessions "
	     "that\n"
	     "are idle in transaction for too long, and which session waits for which. For\n"
	     "connections that this user's processes hold through pqpool, names the program,\n"
	     "the lease and the line that took it. Only reads. CONNINFO is as for psql; the\n"
	     "PG* variables supply what it leaves out.\n"
	     "\n"
	     "  -w, --warning N[%]      WARNING with more than N connections, or N percent of\n"
	     "                          those that ordinary users can have. Default: 80%\n"
	     "  -c, --critical N[%]     CRITICAL likewise. Default: 95%\n"
	     "      --idle-warning TIME WARNING if a session is idle in transaction for "
	     "longer;\n"
	     "                          -1 = never. Default: 5min\n"
	     "      --idle-critical TIME\n"
	     "                          CRITICAL likewise. Default: -1\n"
	     "      --samples N         A threshold must be exceeded in N samples one after\n"
	     "                          another. Default: 1\n"
	     "      --interval TIME     From sample to sample. Default: 1s\n"
	     "  -t, --timeout TIME      The longest wait for an answer. Default: 10s\n"
	     "      --advice            For the database: tables overdue for VACUUM or "
	     "ANALYZE,\n"
	     "                          unused and duplicate indexes, with reason and "
	     "statement\n"
	     "  -h, --help              This text\n"
	     "\n"
	     "A time without a unit is in seconds. Without the rights of pg_monitor the "
	     "states\n"
	     "of other users' sessions are hidden, and the output says so.\n"
	     "\n"
	     "Exit status: 0 OK, 1 WARNING, 2 CRITICAL (also if the server refused because "
	     "all\n"
	     "connections are in use), 3 UNKNOWN (no answer, bad usage).");
}

static bool take_time(const char *option, const char *s, int64_t min, int64_t *ms)
{
	const struct value_rule rule = {
		.kind = VALUE_DURATION, .min = min, .max = TIME_LIMIT_MS};

	if (value_parse(&rule, s, ms)) {
		return true;
	}
	warnx("--%s=\"%s\": must be a time such as 30, 500ms, 5min or 1h%s", option, s,
	      min < 0 ? " (-1 = never)" : "");
	return false;
}

static bool take_number(const char *option, const char *s, int64_t *number)
{
	const struct value_rule rule = {.kind = VALUE_NUMBER, .min = 1, .max = 1000};

	if (value_parse(&rule, s, number)) {
		return true;
	}
	warnx("--%s=\"%s\": must be a whole number from 1 to 1000", option, s);
	return false;
}

static bool take_threshold(const char *option, const char *s, struct threshold *threshold)
{
	if (threshold_parse(s, threshold)) {
		return true;
	}
	warnx("--%s=\"%s\": must be a number of connections, such as 90, or a percentage, such "
	      "as 80%%",
	      option, s);
	return false;
}

static bool take_option(int value, struct options *to)
{
	switch (value) {
	case 'w':
		return take_threshold("warning", optarg, &to->warning);
	case 'c':
		return take_threshold("critical", optarg, &to->critical);
	case 't':
		return take_time("timeout", optarg, 1, &to->timeout_ms);
	case VALUE_IDLE_WARNING:
		return take_time("idle-warning", optarg, CONFIG_NO_LIMIT, &to->idle_warning_ms);
	case VALUE_IDLE_CRITICAL:
		return take_time("idle-critical", optarg, CONFIG_NO_LIMIT,
		                 &to->idle_critical_ms);
	case VALUE_SAMPLES:
		return take_number("samples", optarg, &to->samples);
	case VALUE_INTERVAL:
		return take_time("interval", optarg, 1, &to->interval_ms);
	case VALUE_ADVICE:
		to->advice = true;
		return true;
	default:
		return false; /* getopt has said why */
	}
}

/* Everything but --help, which is 'h'; 0 if all is well, -1 if not. */
static int take_options(int argc, char **argv, struct options *to)
{
	static const struct option table[] = {
		{"warning", required_argument, NULL, 'w'},
		{"critical", required_argument, NULL, 'c'},
		{"idle-warning", required_argument, NULL, VALUE_IDLE_WARNING},
		{"idle-critical", required_argument, NULL, VALUE_IDLE_CRITICAL},
		{"samples", required_argument, NULL, VALUE_SAMPLES},
		{"interval", required_argument, NULL, VALUE_INTERVAL},
		{"timeout", required_argument, NULL, 't'},
		{"advice", no_argument, NULL, VALUE_ADVICE},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int value;

	while ((value = getopt_long(argc, argv, "w:c:t:h", table, NULL)) != -1) {
		if (value == 'h') {
			return 'h';
		}
		if (!take_option(value, to)) {
			return -1;
		}
	}
	if (optind + 1 < argc) {
		warnx("check: more than one CONNINFO: %s", argv[optind + 1]);
		return -1;
	}
	to->conninfo = optind < argc ? argv[optind] : "";
	return 0;
}

/* ---- judging ---- */

/* What was so in each of the samples. */
struct verdict {
	enum state connections;
	enum state idle;
};

/* Connections that ordinary users can have. */
static int64_t usable(const struct connection_counts *counts)
{
	return counts->max_connections - counts->reserved;
}

static bool is_over(int64_t limit_ms, int64_t ms)
{
	return limit_ms != CONFIG_NO_LIMIT && ms > limit_ms;
}

static struct verdict judge(const struct options *options,
                            const struct connection_counts *counts)
{
	int64_t whole = usable(counts);
	struct verdict verdict = {STATE_OK, STATE_OK};

	if (counts->used > threshold_of(&options->critical, whole)) {
		verdict.connections = STATE_CRITICAL;
	} else if (counts->used > threshold_of(&options->warning, whole)) {
		verdict.connections = STATE_WARNING;
	}
	if (is_over(options->idle_critical_ms, counts->longest_ms)) {
		verdict.idle = STATE_CRITICAL;
	} else if (is_over(options->idle_warning_ms, counts->longest_ms)) {
		verdict.idle = STATE_WARNING;
	}
	return verdict;
}

static enum state lesser(enum state a, enum state b)
{
	return a < b ? a : b;
}

static void pause_for(int64_t ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR) {
	}
}

/* Leaves the moment of the last sample open. False with server_conn_error. */
static bool take_samples(struct server_conn *conn, const struct options *options,
                         struct connection_counts *counts, struct verdict *verdict)
{
	*verdict = (struct verdict){STATE_CRITICAL, STATE_CRITICAL};
	for (int64_t n = 1;; n++) {
		struct verdict now;

		if (!server_conn_begin(conn) || !server_sessions_count(conn, counts)) {
			return false;
		}
		now = judge(options, counts);
		verdict->connections = lesser(verdict->connections, now.connections);
		verdict->idle = lesser(verdict->idle, now.idle);
		if (n == options->samples ||
		    (verdict->connections == STATE_OK && verdict->idle == STATE_OK)) {
			return true;
		}
		if (!server_conn_end(conn)) {
			return false;
		}
		pause_for(options->interval_ms);
	}
}

/* ---- telling ---- */

static enum state say_unknown(const char *why)
{
	fputs("POOL UNKNOWN - ", stdout);
	terminal_text_put(stdout, why);
	putchar('\n');
	return STATE_UNKNOWN;
}

static enum state say_refused(const char *why)
{
	fputs("POOL CRITICAL - no connection is left: ", stdout);
	terminal_text_put(stdout, why);
	putchar('\n');
	return STATE_CRITICAL;
}

/* "value;warning;critical", where a threshold may be missing. */
static void print_seconds(const char *label, int64_t ms, int64_t warning_ms,
                          int64_t critical_ms)
{
	printf(" %s=%.3fs;", label, (double)ms / 1000);
	if (warning_ms != CONFIG_NO_LIMIT) {
		printf("%.3f", (double)warning_ms / 1000);
	}
	putchar(';');
	if (critical_ms != CONFIG_NO_LIMIT) {
		printf("%.3f", (double)critical_ms / 1000);
	}
	fputs(";0", stdout);
}

static void print_first_line(enum state state, const struct options *options,
                             const struct connection_counts *counts)
{
	int64_t whole = usable(counts);

	printf("POOL %s - %lld of %lld connections in use", state_name(state),
	       (long long)counts->used, (long long)whole);
	if (counts->idle_in_transaction > 0) {
		printf(", %lld idle in transaction, the longest for ",
		       (long long)counts->idle_in_transaction);
		terminal_text_put_span(stdout, counts->longest_ms);
	}
	if (counts->hidden > 0) {
		printf(", the state of %lld is not visible", (long long)counts->hidden);
	}
	printf(" | connections=%lld;%lld;%lld;0;%lld active=%lld;;;0 idle=%lld;;;0"
	       " idle_in_transaction=%lld;;;0 waiting=%lld;;;0",
	       (long long)counts->used, (long long)threshold_of(&options->warning, whole),
	       (long long)threshold_of(&options->critical, whole), (long long)whole,
	       (long long)counts->active, (long long)counts->idle,
	       (long long)counts->idle_in_transaction, (long long)counts->waiting);
	print_seconds("longest_idle_in_transaction", counts->longest_ms,
	              options->idle_warning_ms, options->idle_critical_ms);
	putchar('\n');
}

/* Sessions are listed from the lower of the two on. */
static int64_t idle_limit_ms(const struct options *options)
{
	if (options->idle_warning_ms == CONFIG_NO_LIMIT ||
	    (options->idle_critical_ms != CONFIG_NO_LIMIT &&
	     options->idle_critical_ms < options->idle_warning_ms)) {
		return options->idle_critical_ms;
	}
	return options->idle_warning_ms;
}

/* What comes below the first line, which has said the state: nothing changes that now. */
static void print_body(struct server_conn *conn, const struct options *options,
                       const struct connection_counts *counts)
{
	bool good = session_tables_print(conn, counts, idle_limit_ms(options)) &&
	            server_conn_end(conn);

	if (good && options->advice) {
		good = server_conn_begin(conn) && advice_print(conn) && server_conn_end(conn);
	}
	if (!good) {
		fputs("The rest could not be read: ", stdout);
		terminal_text_put(stdout, server_conn_error(conn));
		putchar('\n');
	}
}

static enum state check(struct server_conn *conn, const struct options *options)
{
	struct connection_counts counts;
	struct verdict verdict;
	enum state state;

	if (!take_samples(conn, options, &counts, &verdict)) {
		return say_unknown(server_conn_error(conn));
	}
	state = verdict.connections > verdict.idle ? verdict.connections : verdict.idle;
	print_first_line(state, options, &counts);
	print_body(conn, options, &counts);
	return state;
}

int check_main(int argc, char **argv)
{
	struct options options = {
		.warning = {80, true},
		.critical = {95, true},
		.idle_warning_ms = 5 * 60 * 1000,
		.idle_critical_ms = CONFIG_NO_LIMIT,
		.samples = 1,
		.interval_ms = 1000,
		.timeout_ms = 10 * 1000,
	};
	int taken = take_options(argc, argv, &options);
	struct server_conn *conn;
	enum state state;

	if (taken == 'h') {
		print_help();
		return 0;
	}
	if (taken != 0) {
		return say_unknown("wrong usage; see pqpool check --help");
	}
	/* A connection of the tool's own has no business in a pool. */
	setenv("PQPOOL_DISABLE", "on", 1);
	switch (server_conn_open(&conn, options.conninfo, options.timeout_ms)) {
	case SERVER_CONN_OPEN:
		state = check(conn, &options);
		break;
	case SERVER_CONN_FULL:
		state = say_refused(server_conn_error(conn));
		break;
	default:
		state = say_unknown(server_conn_error(conn));
	}
	server_conn_close(conn);
	return state;
}
