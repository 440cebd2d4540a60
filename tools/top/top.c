/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool top`: all pools of this user's processes, for root of everybody's, live. */
#include "top/top.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/config/value.h"
#include "common/exit_status.h"
#include "common/keeper/command.h"
#include "common/keeper/show_lines.h"
#include "common/pages/status_pages.h"
#include "common/xalloc.h"
#include "top/pool_table.h"
#include "top/screen.h"

#define INTERVAL_ALLOWED "a time from 100ms to 1h, as in 2, 0.5 or 500ms"

struct request {
	int64_t interval_ms;
	bool once;
	pid_t *pids;
	size_t count;
};

static void print_help(void)
{
	puts("Usage: pqpool top [OPTION]... [PID]...\n"
	     "\n"
	     "Shows the pools of this user's running programs, or of the given processes:\n"
	     "sessions in use, idle, and allowed; callers that wait now, that ever waited, "
	     "and\n"
	     "that waited until the timeout; age and place of the oldest lease. Root sees the\n"
	     "programs of all users.\n"
	     "\n"
	     "On a terminal the view is refreshed until q is pressed. To a file or a pipe it "
	     "is\n"
	     "written once.\n"
	     "\n"
	     "  -i, --interval TIME  time between refreshes. Default: 1s. Allowed:\n"
	     "                       " INTERVAL_ALLOWED "\n"
	     "  -1, --once           once, also on a terminal\n"
	     "  -h, --help           this text\n"
	     "\n"
	     "Exit status: 0; 1 if one of the given processes has no pools; 2 after bad "
	     "usage;\n"
	     "125 if something failed.");
}

static bool take_interval(struct request *request, const char *value)
{
	static const struct value_rule rule = {
		.kind = VALUE_DURATION, .min = 100, .max = 3600000};

	if (value_parse(&rule, value, &request->interval_ms)) {
		return true;
	}
	warnx("top: --interval \"%s\": allowed is " INTERVAL_ALLOWED, value);
	return false;
}

static bool take_pids(struct request *request, char **args, int count)
{
	static const struct value_rule rule = {
		.kind = VALUE_NUMBER, .min = 1, .max = INT32_MAX};

	request->pids = xalloc_new((size_t)count, sizeof(*request->pids));
	for (int i = 0; i < count; i++) {
		int64_t pid;

		if (!value_parse(&rule, args[i], &pid)) {
			warnx("top: \"%s\" is not a process id", args[i]);
			return false;
		}
		request->pids[request->count++] = (pid_t)pid;
	}
	return true;
}

static bool take_arguments(struct request *request, int argc, char **argv, bool *help)
{
	static const struct option options[] = {{"interval", required_argument, NULL, 'i'},
	                                        {"once", no_argument, NULL, '1'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "i:1h", options, NULL)) != -1) {
		switch (option) {
		case 'i':
			if (!take_interval(request, optarg)) {
				return false;
			}
			break;
		case '1':
			request->once = true;
			break;
		case 'h':
			*help = true;
			return true;
		default:
			fputs("Try 'pqpool top --help'.\n", stderr);
			return false;
		}
	}
	return take_pids(request, argv + optind, argc - optind);
}

static bool is_shown(const struct pages *pages, pid_t pid)
{
	for (size_t i = 0; i < pages->count; i++) {
		if (pages->all[i].pid == pid && pages->all[i].live) {
			return true;
		}
	}
	return false;
}

/* The table at this moment, of what is in `pages`, which are freed. */
static char *make_table(const struct request *request, struct pages *pages, unsigned lines,
                        unsigned columns)
{
	struct show_lines keeper;
	char *text;

	show_lines_parse(&keeper, request->count == 0 ? keeper_show() : NULL);
	text = pool_table_make(pages, &keeper, request->pids, request->count, lines, columns);
	show_lines_free(&keeper);
	pages_free(pages);
	return text;
}

static int show_once(const struct request *request)
{
	struct pages pages;
	int status = 0;
	char *text;

	if (!pages_read(&pages, 0, PAGES_OF_ALL, pages_warn)) {
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < request->count; i++) {
		if (!is_shown(&pages, request->pids[i])) {
			warnx("top: process %d has no pools; pqpool doctor --live %d tells why",
			      (int)request->pids[i], (int)request->pids[i]);
			status = EXIT_NOTHING;
		}
	}
	text = make_table(request, &pages, POOL_TABLE_ENDLESS, POOL_TABLE_ENDLESS);
	if (text == NULL) {
		warn("top");
		return EXIT_FAILED;
	}
	fputs(text, stdout);
	free(text);
	return status;
}

/* Without warnings about files that are no pages, which would spoil the picture. */
static bool draw(const struct request *request)
{
	struct screen_size size = screen_size();
	struct pages pages;
	char *text;

	if (!pages_read(&pages, 0, PAGES_OF_ALL, NULL)) {
		return false;
	}
	text = make_table(request, &pages, size.lines, size.columns);
	if (text == NULL) {
		return false;
	}
	screen_draw(text);
	free(text);
	return true;
}

static int show_live(const struct request *request)
{
	uint64_t due_ns = 0;
	bool going = screen_open();

	if (!going) {
		warnx("top: this kind of terminal (TERM) is not known");
		return EXIT_FAILED;
	}
	while (going) {
		char key = '\0';

		if (clock_monotonic_ns() >= due_ns) {
			due_ns = clock_monotonic_ns() +
			         (uint64_t)request->interval_ms * NS_PER_MS;
			going = draw(request);
		}
		if (going) {
			switch (screen_wait(due_ns, &key)) {
			case SCREEN_TIME:
				break;
			case SCREEN_RESIZED:
				due_ns = 0;
				break;
			case SCREEN_KEY:
				going = key != 'q' && key != 'Q';
				break;
			case SCREEN_END:
				going = false;
				break;
			}
		}
	}
	screen_close();
	return 0;
}

int top_main(int argc, char **argv)
{
	struct request request = {.interval_ms = 1000};
	bool help = false;
	int status;

	if (!take_arguments(&request, argc, argv, &help)) {
		status = EXIT_USAGE;
	} else if (help) {
		print_help();
		status = 0;
	} else {
		/* What we write is UTF-8 in every locale. */
		if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
			setlocale(LC_CTYPE, "");
		}
		pages_tidy();
		status = request.once || !screen_is_there() ? show_once(&request)
		                                            : show_live(&request);
	}
	free(request.pids);
	return status;
}
