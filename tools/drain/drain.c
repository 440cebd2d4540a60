/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool drain`, `pause`, `resume` and `wait`: to programs by their status pages, and to the
 * keeper if one runs.
 */
#include "drain/drain.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/config/value.h"
#include "common/exit_status.h"
#include "common/keeper/command.h"
#include "common/keeper/show_lines.h"
#include "common/pages/status_pages.h"
#include "common/terminal_text.h"
#include "drain/page_orders.h"
#include "drain/remaining.h"

#define ANSWER_SECONDS 5
/* How often to look, and when to tell why it takes long. */
#define LOOK_NS        (100 * NS_PER_MS)
#define TELL_NS        NS_PER_SEC

#define TARGET_ALLOWED  "a process id, a pool's name (user@host:port/database), or all"
#define TIMEOUT_ALLOWED "a time from 0 to 1000000h, as in 30, 500ms or 5min"

struct request {
	const char *socket; /* the keeper's; NULL: the usual one, if it runs */
	const char *target; /* of drain */
	pid_t pid;          /* 0: it is no process */
	const char *label;  /* NULL: it is no pool */
	int64_t timeout_ms; /* of wait; -1: none */
	enum pages_whose whose;
};

/* ---- the keeper ---- */

/* Without --socket there need not be one. */
static bool is_missing(const struct request *request)
{
	return request->socket == NULL && (errno == ENOENT || errno == ECONNREFUSED);
}

/* Its answer, malloc'ed; NULL: there is none. False, after a line on stderr: it failed. */
static bool ask_keeper(const struct request *request, const char *text, char **answer)
{
	struct keeper_place place;
	bool failed = false;
	bool done;

	*answer = NULL;
	errno = 0;
	if (place_open(&place, request->socket, false)) {
		*answer = keeper_execute(&place, text, ANSWER_SECONDS, &failed);
	}
	done = *answer != NULL ? !failed : is_missing(request);
	if (!done && *answer != NULL) {
		warnx("keeper: %s", *answer);
	} else if (!done) {
		place_complain(&place);
	}
	place_close(&place);
	return done;
}

/* The same where the answer says nothing. */
static bool tell_keeper(const struct request *request, const char *text)
{
	char *answer;
	bool done = ask_keeper(request, text, &answer);

	free(answer);
	return done;
}

/* ---- drain ---- */

static void put_count(const char *program, pid_t pid, uint64_t count)
{
	terminal_text_put(stdout, program);
	if (pid != 0) {
		printf(" (pid %d)", (int)pid);
	}
	printf(": %" PRIu64 " %s\n", count, count == 1 ? "session" : "sessions");
}

static bool drain_keeper(const struct request *request, bool *found)
{
	char text[8192];
	char *answer = NULL;
	uint64_t count;
	int n = snprintf(text, sizeof(text), "drain %s", request->target);
	bool done = n > 0 && (size_t)n < sizeof(text) && ask_keeper(request, text, &answer);

	if (done && answer != NULL && sscanf(answer, "drained=%" SCNu64, &count) == 1 &&
	    count > 0) {
		put_count("keeper", 0, count);
		*found = true;
	}
	free(answer);
	return done;
}

static bool has_pool(const struct page *page, const char *label)
{
	for (size_t i = 0; i < page->pool_count; i++) {
		if (label == NULL || strcmp(page->pools[i].label, label) == 0) {
			return true;
		}
	}
	return false;
}

static uint64_t sessions_of(const struct page *page, const char *label)
{
	uint64_t count = 0;

	for (size_t i = 0; i < page->session_count; i++) {
		const struct page_session *session = &page->sessions[i];

		count += session->pool != NULL &&
		         (label == NULL || strcmp(session->label, label) == 0);
	}
	return count;
}

/* True if the page is that of a program that is meant, and can be told. */
static bool takes_orders(const struct page *page, bool *done)
{
	if (page->live && !page_orders_are_taken(page)) {
		warnx("process %d runs with an earlier pqpool, which takes no orders",
		      (int)page->pid);
		*done = false;
	}
	return page->live && page_orders_are_taken(page);
}

static bool drain_page(const struct page *page, const char *label)
{
	if (!page_orders_drain(page, label)) {
		warn("%s", page->path);
		return false;
	}
	put_count(page->program, page->pid, sessions_of(page, label));
	return true;
}

static bool drain_pages(const struct request *request, bool *found)
{
	struct pages pages;
	bool done = pages_read(&pages, request->pid, request->whose, pages_warn);

	for (size_t i = 0; i < pages.count; i++) {
		const struct page *page = &pages.all[i];

		if (has_pool(page, request->label) && takes_orders(page, &done)) {
			done &= drain_page(page, request->label);
			*found = true;
		}
	}
	pages_free(&pages);
	return done;
}

static int drain(const struct request *request)
{
	bool found = false;
	bool done = drain_keeper(request, &found);

	done &= drain_pages(request, &found);
	if (!done) {
		return EXIT_FAILED;
	}
	if (!found && request->pid != 0) {
		warnx("drain: process %d has no pool", (int)request->pid);
		return EXIT_NOTHING;
	}
	if (!found && request->label != NULL) {
		warnx("drain: no program has a pool \"%s\"; pqpool top shows their names",
		      request->label);
		return EXIT_NOTHING;
	}
	return 0;
}

/* ---- pause and resume ---- */

/* Has all programs look whether they are paused. */
static bool tell_pages(const struct request *request)
{
	struct pages pages;
	bool done = pages_read(&pages, 0, request->whose, pages_warn);

	for (size_t i = 0; i < pages.count; i++) {
		const struct page *page = &pages.all[i];

		if (takes_orders(page, &done) && !page_orders_look(page)) {
			warn("%s", page->path);
			done = false;
		}
	}
	pages_free(&pages);
	return done;
}

static int pause_programs(const struct request *request)
{
	bool done = page_orders_pause(request->whose, true) && tell_pages(request);

	return tell_keeper(request, "pause") && done ? 0 : EXIT_FAILED;
}

static int resume_programs(const struct request *request)
{
	bool done = tell_keeper(request, "resume");

	done &= page_orders_pause(request->whose, false);
	return tell_pages(request) && done ? 0 : EXIT_FAILED;
}

/* ---- wait ---- */

/* What is left, malloc'ed; NULL, after a line on stderr: it cannot be known. */
static char *look(const struct request *request)
{
	struct show_lines keeper;
	struct pages pages = {0};
	char *answer;
	char *left = NULL;

	if (ask_keeper(request, "show", &answer)) {
		show_lines_parse(&keeper, answer);
		if (pages_read(&pages, 0, request->whose, NULL)) {
			left = remaining_lines(&pages, &keeper);
		}
		pages_free(&pages);
		show_lines_free(&keeper);
	} else {
		free(answer);
	}
	return left;
}

static int wait_for_end(const struct request *request)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	uint64_t began_ns = clock_monotonic_ns();
	uint64_t limit_ns = request->timeout_ms < 0 ? DEADLINE_NEVER
	                                            : (uint64_t)request->timeout_ms * NS_PER_MS;
	bool told = false;
	bool known;
	char *left;

	while ((left = look(request)) != NULL && left[0] != '\0') {
		uint64_t waited_ns = clock_monotonic_ns() - began_ns;

		if (waited_ns >= limit_ns) {
			warnx("wait: still there:");
			fputs(left, stderr);
			free(left);
			return EXIT_REMAINING;
		}
		if (waited_ns >= TELL_NS && !told) {
			told = true;
			warnx("wait: waits for");
			fputs(left, stderr);
		}
		free(left);
		nanosleep(&pause, NULL);
	}
	known = left != NULL;
	free(left);
	return known ? 0 : EXIT_FAILED;
}

/* ---- the command line ---- */

static const struct operation {
	const char *name;
	int (*run)(const struct request *request);
	const char *help; /* behind "Usage: pqpool " */
} operations[] = {
	{"drain", drain,
         "drain [OPTION]... PID | POOL | all\n"
         "\n"
         "Has the sessions closed that a process has, those of a pool\n"
         "(user@host:port/database, as `pqpool top` shows it), or all, in every program of\n"
         "this user's and in the keeper. Idle ones are closed at the program's next connect\n"
         "or finish, by the keeper at once; others when they are given back. New connects\n"
         "get new sessions. `pqpool wait` waits for the end of it.\n"
         "\n"
         "A program that makes its first connect just now has no status page yet, and does\n"
         "not hear it.\n"},
	{"pause", pause_programs,
         "pause [OPTION]...\n"
         "\n"
         "New connects of all programs of this user's wait until `pqpool resume`, and fail\n"
         "after their PQPOOL_TIMEOUT. `pqpool wait` waits until no session is in use any\n"
         "more. Connects that are not pooled do not wait, nor does the first one of a\n"
         "program that does not share.\n"},
	{"resume", resume_programs,
         "resume [OPTION]...\n"
         "\n"
         "Ends `pqpool pause`: those that wait are served.\n"},
	{"wait", wait_for_end,
         "wait [OPTION]...\n"
         "\n"
         "Waits until the sessions that were drained are closed and, while connects are\n"
         "paused, none is in use. After a second it tells on standard error what it waits\n"
         "for, and who has it.\n"},
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void print_help(const struct operation *operation)
{
	bool waits = operation->run == wait_for_end;

	printf("Usage: pqpool %s\n"
	       "  -A, --all-users     for root: the programs of all users, not their keepers\n"
	       "  -s, --socket PATH   the keeper's; default as of `pqpool keep`, if it runs\n"
	       "%s"
	       "  -h, --help          this text\n"
	       "\n"
	       "Exit status: 0; %s2 after bad usage; 125 if something failed.\n",
	       operation->help,
	       waits ? "  -t, --timeout TIME  then it tells what is left, and ends. Allowed:\n"
	               "                      " TIMEOUT_ALLOWED "\n"
	             : "",
	       waits                     ? "1 if the time was up; "
	       : operation->run == drain ? "1 if there is no such process or pool; "
	                                 : "");
}

/* By argv[0], "pqpool drain". */
static const struct operation *find_operation(const char *title)
{
	size_t i = 0;

	while (i < OPERATIONS - 1 && strcmp(strchr(title, ' ') + 1, operations[i].name) != 0) {
		i++;
	}
	return &operations[i];
}

static bool take_timeout(struct request *request, const char *value)
{
	static const struct value_rule rule = {
		.kind = VALUE_DURATION, .min = 0, .max = TIME_LIMIT_MS};

	if (!value_parse(&rule, value, &request->timeout_ms)) {
		warnx("wait: --timeout \"%s\": allowed is " TIMEOUT_ALLOWED, value);
		return false;
	}
	return true;
}

static bool take_target(struct request *request, const char *target)
{
	static const struct value_rule rule = {
		.kind = VALUE_NUMBER, .min = 1, .max = INT32_MAX};
	int64_t pid;

	request->target = target;
	if (value_parse(&rule, target, &pid)) {
		request->pid = (pid_t)pid;
	} else if (strchr(target, '@') != NULL) {
		request->label = target;
	} else if (strcmp(target, "all") != 0) {
		warnx("drain: \"%s\": allowed is " TARGET_ALLOWED, target);
		return false;
	}
	return true;
}

static bool take_words(struct request *request, const struct operation *operation, char **words,
                       int count)
{
	if (operation->run != drain) {
		if (count > 0) {
			warnx("%s: \"%s\": no argument is allowed", operation->name, words[0]);
		}
		return count == 0;
	}
	if (count != 1) {
		warnx("drain: %s; allowed is " TARGET_ALLOWED,
		      count == 0 ? "of what?" : "one at a time");
		return false;
	}
	return take_target(request, words[0]);
}

int drain_main(int argc, char **argv)
{
	static const struct option options[] = {{"all-users", no_argument, NULL, 'A'},
	                                        {"socket", required_argument, NULL, 's'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {"timeout", required_argument, NULL, 't'},
	                                        {NULL, 0, NULL, 0}};
	static const struct option without_timeout[] = {
		{"all-users", no_argument, NULL, 'A'},
		{"socket", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	const struct operation *operation = find_operation(argv[0]);
	bool waits = operation->run == wait_for_end;
	struct request request = {.timeout_ms = -1};
	int option;

	while ((option = getopt_long(argc, argv, waits ? "As:t:h" : "As:h",
	                             waits ? options : without_timeout, NULL)) != -1) {
		switch (option) {
		case 'A':
			request.whose = PAGES_OF_ALL;
			break;
		case 's':
			request.socket = optarg;
			break;
		case 't':
			if (!take_timeout(&request, optarg)) {
				return EXIT_USAGE;
			}
			break;
		case 'h':
			print_help(operation);
			return 0;
		default:
			fprintf(stderr, "Try '%s --help'.\n", argv[0]);
			return EXIT_USAGE;
		}
	}
	if (!take_words(&request, operation, argv + optind, argc - optind)) {
		return EXIT_USAGE;
	}
	pages_tidy();
	return operation->run(&request);
}
