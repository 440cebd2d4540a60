/* SPDX-License-Identifier: PostgreSQL */
/* The command `pqpool`: chooses the subcommand, which has a file of its own. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/version.h"
#include "check/check.h"
#include "common/exit_status.h"
#include "common/preload_shim.h"
#include "doctor/doctor.h"
#include "drain/drain.h"
#include "keep/keep.h"
#include "leaks/leaks.h"
#include "metrics/metrics.h"
#include "replay/replay.h"
#include "report/report.h"
#include "run/run.h"
#include "top/top.h"
#include "trace/status/status_format.h"

static const struct command {
	const char *name;
	char *title; /* argv[0] of the subcommand: getopt(3)'s messages begin with it */
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", "pqpool run", run_main, "run a program with a hidden connection pool"},
	{"leaks", "pqpool leaks", leaks_main, "report from a log what was never given back"},
	{"top", "pqpool top", top_main, "show the pools of running programs, live"},
	{"check", "pqpool check", check_main, "show who uses a server's connections"},
	{"metrics", "pqpool metrics", metrics_main,
         "write the state of the pools for Prometheus"},
	{"report", "pqpool report", report_main, "make a page of all that logs tell"},
	{"replay", "pqpool replay", replay_main,
         "tell from a log how pools of other sizes would do"},
	{"doctor", "pqpool doctor", doctor_main, "tell whether a program would be pooled"},
	{"keep", "pqpool keep", keep_main, "hold the idle sessions of all programs of a user"},
	{"drain", "pqpool drain", drain_main, "have programs close their sessions"},
	{"pause", "pqpool pause", drain_main, "let new connects wait"},
	{"resume", "pqpool resume", drain_main, "end pause"},
	{"wait", "pqpool wait", drain_main, "wait for the end of drain or pause"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *to)
{
	fputs("Usage: pqpool COMMAND [ARGUMENT]...\n"
	      "       pqpool --help | --version\n"
	      "\n"
	      "Commands:\n",
	      to);
	for (size_t i = 0; i < COMMANDS; i++) {
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
	}
	fputs("\n"
	      "See `pqpool COMMAND --help`.\n",
	      to);
}

/* Of the tool, of the library that it would preload, and of what both write. */
static void print_versions(void)
{
	char *library = preload_shim_find();
	char *version = library != NULL ? preload_shim_version(library) : NULL;

	puts("pqpool " PQPOOL_VERSION);
	if (library != NULL) {
		printf("libpqpool.so %s, %s\n",
		       version != NULL ? version : "of no known version", library);
	}
	printf("formats: log %d, JSON %d, report %d, status page %d\n", LOG_VERSION,
	       JSON_VERSION, REPORT_VERSION, STATUS_VERSION);
	free(version);
	free(library);
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		print_versions();
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			argv[1] = commands[i].title;
			return commands[i].main(argc - 1, argv + 1);
		}
	}
	warnx("%s is not a command; see pqpool --help", argv[1]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status = dispatch(argc, argv);

	/* Output that went to a full disk or a closed pipe is no success. */
	if (fflush(stdout) != 0) {
		warn("standard output");
	} else if (ferror(stdout)) {
		warnx("standard output: a part could not be written");
	} else {
		return status;
	}
	return status == 0 ? EXIT_FAILED : status;
}
