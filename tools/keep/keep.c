/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool keep`: holds the idle sessions of all processes of a user. */
#include "keep/keep.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/exit_status.h"
#include "common/keeper/place.h"
#include "common/terminal_text.h"
#include "keep/client.h"
#include "keep/listen.h"
#include "keep/notify.h"
#include "keep/server/command.h"
#include "keep/server/keeper.h"
#include "keep/settings.h"

static void print_help(void)
{
	puts("Usage: pqpool keep [OPTION]...\n"
	     "       pqpool keep [--socket PATH] COMMAND\n"
	     "\n"
	     "Holds the idle sessions of all programs of this user that share (PQPOOL_SHARE), "
	     "and\n"
	     "hands them from one to the other. No query passes through it.\n"
	     "\n"
	     "  -s, --socket PATH         the socket, in a directory that is closed to others "
	     "and\n"
	     "                            in memory; default: in the directory of status "
	     "pages\n"
	     "  -c, --config FILE         PQPOOL_NAME=VALUE lines, which take precedence over "
	     "the\n"
	     "                            environment; read again on SIGHUP\n"
	     "  -d, --daemon              in the background, once programs can connect to it\n"
	     "  -q, --quiet-exit SECONDS  ends when nobody has shared for so long\n"
	     "  -h, --help                this text\n"
	     "\n"
	     "Limits hold for each set of connection parameters, over all programs: "
	     "PQPOOL_SIZE,\n"
	     "PQPOOL_MAX_OVERFLOW, PQPOOL_TIMEOUT, PQPOOL_RECYCLE, PQPOOL_IDLE_TIMEOUT,\n"
	     "PQPOOL_PING_TIMEOUT, PQPOOL_KEEPALIVE, PQPOOL_ORDER. SIGTERM closes the idle\n"
	     "sessions and ends.\n"
	     "\n"
	     "Commands to a keeper that runs (`pqpool drain` and so on are for it and for "
	     "programs\n"
	     "without one):\n"
	     "\n"
	     "  show                    its pools, sessions, and who has them or waits\n"
	     "  set NAME=VALUE          changes a limit, such as size=5, until the next "
	     "SIGHUP\n"
	     "  drain PID | POOL | all  closes sessions: idle ones now, others when given "
	     "back\n"
	     "  pause, resume           new connects wait meanwhile\n"
	     "  wait                    until drained sessions are closed and, while paused, "
	     "all\n"
	     "                          are idle\n"
	     "\n"
	     "Exit status: 0; 2 after bad usage, or if a value or FILE was bad; 125 if "
	     "something\n"
	     "failed.");
}

static void complain(void *arg, const char *line)
{
	const char *end = strstr(line, CONFIG_UNPOOLED);

	(void)arg;
	fprintf(stderr, "%.*s\n", (int)(end != NULL ? (size_t)(end - line) : strlen(line)),
	        line);
}

/*
 * The keeper lives on where the program is long gone that it was started for: what its
 * environment says that is not for the keeper, passwords perhaps, is not to be found in it.
 */
static void wipe_environment(void)
{
	char **kept = environ;

	for (char **e = environ; e != NULL && *e != NULL; e++) {
		if (strncmp(*e, "PQPOOL_", 7) == 0 || strncmp(*e, "TZ=", 3) == 0) {
			*kept++ = *e;
		} else {
			explicit_bzero(*e, strlen(*e));
		}
	}
	if (kept != NULL) {
		*kept = NULL;
	}
}

/* The parent ends; false: there is no child. */
static bool go_into_background(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = null >= 0 ? fork() : -1;

	if (pid < 0) {
		warn("keep");
		return false;
	}
	if (pid > 0) {
		_exit(0);
	}
	setsid();
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		dup2(null, fd);
	}
	close(null);
	return true;
}

static int serve(const char *path, bool daemon, const struct keeper_options *options)
{
	int status = EXIT_FAILED;
	struct keeper_place place;

	if (daemon) {
		/* What the starter left open is not to stay open for as long as the keeper. */
		close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	}
	if (!settings_load(options->settings_file, complain, NULL)) {
		return EXIT_USAGE;
	}
	if (!place_open(&place, path, true)) {
		place_complain(&place);
	} else {
		int listener = listen_at(&place);

		if (!daemon) {
			notify_begin();
		}
		wipe_environment();
		if (listener >= 0 && (!daemon || go_into_background())) {
			status = keeper_serve(&place, listener, options);
		}
	}
	place_close(&place);
	return status;
}

/* Seconds of a --quiet-exit, as nanoseconds; false: it is none. */
static bool take_seconds(const char *text, uint64_t *ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds > 0 && seconds <= 1e9)) {
		return false;
	}
	*ns = (uint64_t)(seconds * (double)NS_PER_SEC);
	return true;
}

int keep_main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"socket", required_argument, NULL, 's'},
		{"config", required_argument, NULL, 'c'},
		{"daemon", no_argument, NULL, 'd'},
		{"quiet-exit", required_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct keeper_options options = {.quiet_exit_ns = UINT64_MAX};
	const char *path = NULL;
	bool daemon = false;
	int option;

	while ((option = getopt_long(argc, argv, "s:c:dq:h", long_options, NULL)) != -1) {
		switch (option) {
		case 's':
			path = optarg;
			break;
		case 'c':
			options.settings_file = optarg;
			break;
		case 'd':
			daemon = true;
			break;
		case 'q':
			if (!take_seconds(optarg, &options.quiet_exit_ns)) {
				warnx("keep: --quiet-exit \"%s\": must be a number of seconds",
				      optarg);
				return EXIT_USAGE;
			}
			break;
		case 'h':
			print_help();
			return 0;
		default:
			fputs("Try 'pqpool keep --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc && !command_exists(argv[optind])) {
		warnx("keep: \"%s\": allowed is show, set, drain, pause, resume or wait",
		      terminal_text(argv[optind]));
		return EXIT_USAGE;
	}
	if (optind < argc) {
		return client_words(path, argc - optind, (const char *const *)argv + optind);
	}
	return serve(path, daemon, &options);
}
