/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool replay`: how pools of other sizes would have done. */
#include "replay/replay.h"

#include <err.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/value.h"
#include "common/exit_status.h"
#include "common/replay/what_if.h"
#include "common/xalloc.h"
#include "replay/replay_table.h"

#define SIZES_MAX    100
#define SIZE_ALLOWED "whole numbers from 0 to 10000 (0 = no limit), as in 5,10,20"
#define TIME_ALLOWED "a time from 0 to 1000000h, as in 30, 500ms or 5min"

struct request {
	int64_t sizes[SIZES_MAX];
	size_t size_count;
	bool has_overflow;
	int64_t max_overflow;
	int64_t timeout_ms; /* -1: as recorded */
	int64_t wait_ms;    /* -1: what opening a session takes */
};

static void print_help(void)
{
	puts("Usage: pqpool replay [OPTION]... LOG...\n"
	     "\n"
	     "Runs what a log recorded once more, in pools of other sizes, and tells how many\n"
	     "sessions would be in use at once, how long connects would wait in line for one, "
	     "and\n"
	     "how many would time out. Nothing is executed, and no server is asked.\n"
	     "\n"
	     "LOG is a file that PQPOOL_LOG named, written at level info. Its rotated files\n"
	     "(LOG.1, LOG.2 and so on) are read first; do not name them. Each process has a\n"
	     "pool of its own, unless it shares sessions: then all have one.\n"
	     "\n"
	     "Each connect comes when it came in the log, and holds its session for as long.\n"
	     "In truth a program that waits longer asks later: with fewer sessions than were\n"
	     "recorded the waits are shorter than shown, unless connects come from outside, "
	     "as\n"
	     "requests do.\n"
	     "\n"
	     "  --size N[,N...]   these values of PQPOOL_SIZE; else six limits around the "
	     "present\n"
	     "                    one, divided into size and overflow as that is\n"
	     "  --max-overflow N  with --size: this PQPOOL_MAX_OVERFLOW; else the recorded "
	     "one\n"
	     "  --timeout TIME    this PQPOOL_TIMEOUT; else the recorded one\n"
	     "  --wait TIME       the smallest limit is sought with which 99 of 100 connects\n"
	     "                    wait at most so long, and none times out. Default: as long "
	     "as\n"
	     "                    opening a session took in the log (the median), for nobody\n"
	     "                    who waits less is worse off than without a pool\n"
	     "  -h, --help        this text\n"
	     "\n"
	     "Exit status: 0, 2 after bad usage, 125 if a log could not be read or has no\n"
	     "connect in it.");
}

/* The settings as the user changes them. */
static struct history_settings changed(const struct request *request,
                                       struct history_settings settings)
{
	if (request->has_overflow) {
		settings.max_overflow = request->max_overflow;
	}
	if (request->timeout_ms >= 0) {
		settings.timeout_us = (uint64_t)request->timeout_ms * 1000;
	}
	return settings;
}

static void replay_sizes(const struct request *request, const struct history *history,
                         struct pool_trace *trace, uint64_t recorded)
{
	struct what_if rows[SIZES_MAX];

	for (size_t i = 0; i < request->size_count; i++) {
		struct history_settings settings = changed(request, trace->present);

		settings.known = true;
		settings.size = (uint64_t)request->sizes[i];
		what_if_run(trace, &settings, &rows[i]);
	}
	replay_table_rows(history, trace, rows, request->size_count, recorded);
}

static void replay_pool(const struct request *request, const struct history *history,
                        size_t pool, struct pool_trace *trace)
{
	uint64_t wait_us =
		request->wait_ms >= 0 ? (uint64_t)request->wait_ms * 1000 : what_if_wait(trace);
	uint64_t recorded = settings_limit(&trace->present);

	replay_table_head(history, pool, trace);
	trace->present = changed(request, trace->present);
	if (request->size_count > 0) {
		replay_sizes(request, history, trace, recorded);
	} else {
		struct what_if rows[WHAT_IF_ROWS];

		what_if_around(trace, rows);
		replay_table_rows(history, trace, rows, WHAT_IF_ROWS, recorded);
	}
	replay_table_smallest(trace, what_if_smallest(trace, wait_us), wait_us);
}

static int replay(const struct request *request, char *const *names, size_t count)
{
	struct history history = {0};
	struct log_files files;
	bool read = history_read(&history, &files, names, count);
	bool any = false;

	log_files_free(&files);
	if (!read) {
		return EXIT_FAILED;
	}
	for (size_t pool = 0; pool < history.pool_count; pool++) {
		struct pool_trace trace;

		if (!history.pools[pool]->pooled) {
			continue;
		}
		pool_trace_make(&trace, &history, pool);
		if (trace.count > 0) {
			replay_pool(request, &history, pool, &trace);
			any = true;
		}
		pool_trace_free(&trace);
	}
	if (!any) {
		warnx("no pooled connect in the log: is its level info?");
		return EXIT_FAILED;
	}
	replay_table_caveat();
	return 0;
}

static bool bad_value(const char *option, const char *value, const char *allowed)
{
	warnx("replay: %s \"%s\": allowed: %s", option, value, allowed);
	return false;
}

static bool take_sizes(struct request *request, const char *value)
{
	const struct value_rule rule = {.kind = VALUE_NUMBER, .min = 0, .max = 10000};
	char *copy = xalloc_copy(value, strlen(value));
	char *rest = copy;
	bool good = true;

	request->size_count = 0;
	for (char *word = strsep(&rest, ","); word != NULL && good; word = strsep(&rest, ",")) {
		good = request->size_count < SIZES_MAX &&
		       value_parse(&rule, word, &request->sizes[request->size_count++]);
	}
	free(copy);
	return good || bad_value("--size", value, SIZE_ALLOWED);
}

static bool take_overflow(struct request *request, const char *value)
{
	const struct value_rule rule = {
		.kind = VALUE_NUMBER, .min = VALUE_NO_LIMIT, .max = 10000};

	request->has_overflow = true;
	return value_parse(&rule, value, &request->max_overflow) ||
	       bad_value("--max-overflow", value,
	                 "a whole number from -1 to 10000 (-1 = no limit)");
}

static bool take_time(int64_t *ms, const char *option, const char *value)
{
	const struct value_rule rule = {.kind = VALUE_DURATION, .min = 0, .max = TIME_LIMIT_MS};

	return value_parse(&rule, value, ms) || bad_value(option, value, TIME_ALLOWED);
}

int replay_main(int argc, char **argv)
{
	static const struct option options[] = {{"size", required_argument, NULL, 's'},
	                                        {"max-overflow", required_argument, NULL, 'o'},
	                                        {"timeout", required_argument, NULL, 't'},
	                                        {"wait", required_argument, NULL, 'w'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	struct request request = {.timeout_ms = -1, .wait_ms = -1};
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			good = take_sizes(&request, optarg);
			break;
		case 'o':
			good = take_overflow(&request, optarg);
			break;
		case 't':
			good = take_time(&request.timeout_ms, "--timeout", optarg);
			break;
		case 'w':
			good = take_time(&request.wait_ms, "--wait", optarg);
			break;
		case 'h':
			print_help();
			return 0;
		default:
			fputs("Try 'pqpool replay --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (good && optind >= argc) {
		warnx("replay: no log given; see pqpool replay --help");
		good = false;
	}
	return good ? replay(&request, argv + optind, (size_t)(argc - optind)) : EXIT_USAGE;
}
