/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool run`: starts a program with the pool preloaded, in this process's place.
 *
 * It replaces itself with execvp(3), so that pid, exit status, signals and terminal
 * are the program's own; or, asked to, stays to tell whether the pool was of any use.
 */
#include "run/run.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/config.h"
#include "common/exit_status.h"
#include "common/preload_shim.h"
#include "common/preloadable.h"
#include "common/program_path.h"
#include "run/call_probe.h"
#include "run/options.h"
#include "run/start_keeper.h"
#include "run/supervise.h"

/* As the leak checkers of compilers have it, so that it is known for what it is. */
#define LEAK_EXITCODE "23"

static void print_help(void)
{
	puts("Usage: pqpool run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	     "\n"
	     "Runs PROGRAM with a pool of PostgreSQL connections below its libpq. pqpool\n"
	     "replaces itself with the program: process id, exit status and signals are the\n"
	     "program's own.\n"
	     "\n"
	     "  --wait\n"
	     "      Stay as the program's parent, and say so at its end if no libpq call was\n"
	     "      intercepted, neither the program's nor one of its children. Signals are\n"
	     "      passed on, and the exit status is the program's; if a signal ended it, "
	     "the\n"
	     "      same signal ends pqpool. A signal to the whole process group may reach "
	     "the\n"
	     "      program twice.\n"
	     "\n"
	     "  --fail-on-leak\n"
	     "      Exit status 23 if connections leaked, unless --leak-exitcode says another\n"
	     "      one. If a signal ends the program, its status cannot say so; `pqpool "
	     "leaks`\n"
	     "      reports its connections.\n"
	     "\n"
	     "With --share a keeper (`pqpool keep`) is started if none runs; it ends by "
	     "itself\n"
	     "when nobody has shared for a minute.\n"
	     "\n"
	     "Each further option sets the environment variable beside it. The variable also\n"
	     "works without `pqpool run`, if libpqpool.so is in LD_PRELOAD. An empty value\n"
	     "counts as unset. A time without a unit is in seconds. PQPOOL_REPORT is all "
	     "unless\n"
	     "it is set.\n");
	options_help();
	puts("Exit status: that of PROGRAM; 2 if an option or a value was bad, 125 if pqpool\n"
	     "failed, 126 if PROGRAM cannot be run, 127 if it was not found.");
}

/* Here a bad value ends the matter: nothing is left to run unpooled. */
static void print_complaint(void *arg, const char *line)
{
	size_t len = strlen(line);
	size_t end = strlen(CONFIG_UNPOOLED);

	(void)arg;
	if (len > end && strcmp(line + len - end, CONFIG_UNPOOLED) == 0) {
		len -= end;
	}
	fprintf(stderr, "%.*s\n", (int)len, line);
}

static int cannot_run(const char *name)
{
	int status = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;

	warn("%s", name);
	return status;
}

/* 0, with the library in the environment, or an exit status. */
static int prepare(const char *program)
{
	char why[3 * PATH_MAX];
	char *library = preload_shim_find();
	int status;

	if (library == NULL) {
		return EXIT_FAILED;
	}
	status = preloadable_check(program, library, why, sizeof(why));
	if (status != 0) {
		warnx("%s", why);
	} else if (!preload_shim_set(library)) {
		warn("LD_PRELOAD");
		status = EXIT_FAILED;
	}
	free(library);
	return status;
}

static int run_and_wait(const char *program, char **argv)
{
	struct call_probe probe;
	int wait_status;
	bool done;
	bool called;
	int saved_errno;

	call_probe_place(&probe);
	done = supervise(program, argv, &wait_status);
	saved_errno = errno;
	called = call_probe_remove(&probe);
	if (!done) {
		errno = saved_errno;
		return cannot_run(argv[0]);
	}
	if (!called) {
		warnx("%s: no libpq call was intercepted: it uses no libpq, or one that is "
		      "linked into it; pqpool doctor tells which",
		      argv[0]);
	}
	return supervise_end(wait_status);
}

/* Without waiting it returns only if it failed. */
static int run(char **argv, bool wait)
{
	char buf[PATH_MAX];
	const char *program = program_path_find(argv[0], buf, sizeof(buf));
	int status;

	if (program == NULL) {
		return cannot_run(argv[0]);
	}
	status = prepare(program);
	if (status != 0) {
		return status;
	}
	if (wait) {
		return run_and_wait(program, argv);
	}
	execvp(program, argv);
	return cannot_run(argv[0]);
}

/* Who runs a program in this way looks for what it holds. */
static bool set_report(void)
{
	const char *said = getenv("PQPOOL_REPORT");

	if ((said == NULL || said[0] == '\0') && setenv("PQPOOL_REPORT", "all", 1) != 0) {
		warn("PQPOOL_REPORT");
		return false;
	}
	return true;
}

/* What --fail-on-leak means where --leak-exitcode says nothing else. */
static bool set_leak_exitcode(const struct config *config)
{
	if (config->leak_exitcode != 0) {
		return true;
	}
	if (setenv("PQPOOL_LEAK_EXITCODE", LEAK_EXITCODE, 1) != 0) {
		warn("PQPOOL_LEAK_EXITCODE");
		return false;
	}
	return true;
}

int run_main(int argc, char **argv)
{
	static struct config config; /* what it points to is kept, too */
	struct options options;

	switch (options_take(argc, argv, &options)) {
	case OPTIONS_HELP:
		print_help();
		return 0;
	case OPTIONS_BAD:
		fputs("Try 'pqpool run --help'.\n", stderr);
		return EXIT_USAGE;
	case OPTIONS_RUN:
		break;
	}
	if (options.program >= argc) {
		warnx("run: no program given; see pqpool run --help");
		return EXIT_USAGE;
	}
	if (!config_load(&config, environ, print_complaint, NULL)) {
		return EXIT_USAGE;
	}
	if (!set_report() || (options.fail_on_leak && !set_leak_exitcode(&config))) {
		return EXIT_FAILED;
	}
	if (strcmp(config.share, "off") != 0) {
		start_keeper();
	}
	return run(argv + options.program, options.wait);
}
