/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool leaks`: the leak report, from logs or from a status page. */
#include "leaks/leaks.h"

#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/config/version.h"
#include "common/exit_status.h"
#include "common/leases/kept_rule.h"
#include "common/leases/lease_ends.h"
#include "common/leases/lease_lines.h"
#include "common/log/log_lines.h"
#include "common/terminal_text.h"
#include "leaks/findings_by_place.h"
#include "leaks/input/keeper_reader.h"
#include "leaks/input/page_reader.h"
#include "leaks/report/report.h"

static void print_help(void)
{
	puts("Usage: pqpool leaks [--json] LOG...\n"
	     "       pqpool leaks [--json] PID\n"
	     "       pqpool leaks [--json] --keeper\n"
	     "\n"
	     "Reports the connections that were never given back, and where they were taken.\n"
	     "This is the report that a program prints at its end, with source files and "
	     "lines,\n"
	     "also for programs that could not print it (kill -9, exec).\n"
	     "\n"
	     "LOG is a file that PQPOOL_LOG named, written at level info, or what a program\n"
	     "wrote to stderr or syslog. Its rotated files (LOG.1, LOG.2 and so on) are read\n"
	     "first; do not name them. Torn lines and lines of other programs are skipped and\n"
	     "counted. Processes in different logs are different processes.\n"
	     "\n"
	     "PID is a process of yours. Its status page shows what it holds; a process that\n"
	     "was killed leaves its page behind. (A log whose name is a number: ./123.) Of a\n"
	     "process without a page the keeper tells, if it shares.\n"
	     "\n"
	     "A connection that was not given back by the end of the log is a leak if its\n"
	     "process has ended, as far as this machine can tell. It is no leak but kept if "
	     "it\n"
	     "is the only one that its thread holds of a place, and none of that place was\n"
	     "given back. What a running process holds is shown, but is no leak. If a process\n"
	     "ended without saying so, its connections count as held until its last line.\n"
	     "\n"
	     "Source lines come from debug information, in the program's files or in separate\n"
	     "ones (by build id or debug link). A file that was rebuilt since is not used.\n"
	     "\n"
	     "  --json        one JSON document instead of text\n"
	     "  -k, --keeper  what the keeper has lent: which process has it, since when, and "
	     "where\n"
	     "                it was taken\n"
	     "  -h, --help    this text\n"
	     "\n"
	     "Exit status: 0 if nothing leaked, 1 if something did, 2 after bad usage, 125 if\n"
	     "a log or a status page could not be read, or no keeper answers.");
}

static bool take_line(void *list, unsigned family, const struct log_line *line)
{
	return lease_lines_take(list, family, line) != NULL;
}

static bool read_logs(struct lease_list *list, char *const *names, size_t count)
{
	struct log_lines lines = {.take = take_line, .arg = list};
	struct log_files files;
	bool done = log_lines_read(&lines, &files, names, count);

	list->foreign = lines.foreign;
	log_files_free(&files);
	if (done) {
		lease_ends_tell_lost(list);
	}
	return done;
}

/* The process that is meant; 0 if it is the name of a log. */
static pid_t as_pid(const char *name)
{
	char *end;
	long pid = name[strspn(name, "0123456789")] == '\0' ? strtol(name, &end, 10) : 0;

	return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static bool read_process(struct lease_list *list, pid_t pid)
{
	bool found = page_reader_read(list, pid) || keeper_reader_read(list, pid);

	if (!found) {
		warnx("process %d has no status page: it ended normally, has no pool, or "
		      "belongs to another user; of one that runs, pqpool doctor --live %d "
		      "tells "
		      "which",
		      (int)pid, (int)pid);
	}
	return found;
}

static bool read_keeper(struct lease_list *list)
{
	bool found = keeper_reader_read(list, 0);

	if (!found) {
		warnx("no keeper of this user's answers; see pqpool keep --help");
	}
	return found;
}

/* Without names what the keeper has lent. */
static int report(char *const *names, size_t count, bool json)
{
	struct lease_list list = {0};
	struct findings findings;
	pid_t pid = count == 1 ? as_pid(names[0]) : 0;
	bool logs = count > 0 && pid == 0;

	if (logs       ? !read_logs(&list, names, count)
	    : pid != 0 ? !read_process(&list, pid)
	               : !read_keeper(&list)) {
		return EXIT_FAILED;
	}
	lease_list_settle(&list);
	if (logs) {
		lease_ends_settle(&list);
	}
	kept_rule_apply(&list);
	findings_make(&findings, &list);
	if (json) {
		report_json(&findings, &list);
	} else {
		report_text(&findings, &list);
	}
	return findings_leaked(&findings) > 0 ? EXIT_LEAKS : 0;
}

int leaks_main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
	                                        {"keeper", no_argument, NULL, 'k'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	bool json = false;
	bool keeper = false;
	int option;

	while ((option = getopt_long(argc, argv, "kh", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'k':
			keeper = true;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			fputs("Try 'pqpool leaks --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (keeper && optind < argc) {
		warnx("leaks: \"%s\": with --keeper neither a log nor a process is allowed",
		      argv[optind]);
		return EXIT_USAGE;
	}
	if (!keeper && optind >= argc) {
		warnx("leaks: neither a log nor a process given; see pqpool leaks --help");
		return EXIT_USAGE;
	}
	return report(argv + optind, (size_t)(argc - optind), json);
}
