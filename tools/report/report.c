/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool report`: everything that logs tell, as one page to look at. */
#include "report/report.h"

#include <err.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/exit_status.h"
#include "report/document.h"
#include "report/output_file.h"
#include "report/page_template.h"

static void print_help(void)
{
	puts("Usage: pqpool report LOG... -o FILE.html\n"
	     "       pqpool report LOG... --json [-o FILE]\n"
	     "\n"
	     "Makes one page of all that logs tell: sessions in use over time and the limit, "
	     "waits,\n"
	     "timeouts, how long connections were held, where and what for, leaks, the lives "
	     "of\n"
	     "sessions, and how pools of other sizes would do (see pqpool replay). The page is "
	     "one\n"
	     "file, for a browser; it needs no network and asks for nothing.\n"
	     "\n"
	     "LOG is a file that PQPOOL_LOG named, written at level info, or what a program\n"
	     "wrote to stderr or syslog. Its rotated files (LOG.1, LOG.2 and so on) are read\n"
	     "first; do not name them. Torn lines and lines of other programs are skipped and\n"
	     "counted. Processes in different logs are different processes.\n"
	     "\n"
	     "The page shows statements up to their first literal, and names of programs, "
	     "files\n"
	     "and databases, as the log does. Only its owner may read it.\n"
	     "\n"
	     "  -o, --output FILE  where it goes; a file that is there is replaced, a link "
	     "and\n"
	     "                     a log of these are not\n"
	     "  --json             the data alone, as one JSON document\n"
	     "  -h, --help         this text\n"
	     "\n"
	     "Exit status: 0, 2 after bad usage, 125 if a log could not be read or the file "
	     "not\n"
	     "be written.");
}

static void put_page(FILE *to, const struct history *history, const struct log_files *files)
{
	size_t n;
	const char *part = page_template_before(&n);

	fwrite(part, 1, n, to);
	document_write(to, history, files);
	part = page_template_behind(&n);
	fwrite(part, 1, n, to);
}

static bool write_report(const struct history *history, const struct log_files *files,
                         const char *output, bool json)
{
	struct output_file file;

	if (output == NULL) {
		document_write(stdout, history, files);
		return true; /* pqpool.c looks at standard output */
	}
	if (!output_file_open(&file, output)) {
		return false;
	}
	if (json) {
		document_write(file.to, history, files);
	} else {
		put_page(file.to, history, files);
	}
	return output_file_finish(&file);
}

/* Whether the page would take the place of a log that it is made of. */
static bool is_log(const struct log_files *files, const char *output)
{
	struct stat there;
	struct stat log;

	for (size_t i = 0; i < files->count && stat(output, &there) == 0; i++) {
		if (stat(files->all[i].name, &log) == 0 && log.st_dev == there.st_dev &&
		    log.st_ino == there.st_ino) {
			warnx("%s: not replaced, as it is a log that was named", output);
			return true;
		}
	}
	return false;
}

int report_main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
	                                        {"output", required_argument, NULL, 'o'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	struct history history = {0};
	struct log_files files;
	const char *output = NULL;
	bool json = false;
	bool done;
	int option;

	while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'o':
			output = optarg;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			fputs("Try 'pqpool report --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind >= argc || (output == NULL && !json)) {
		warnx("report: no %s given; see pqpool report --help",
		      optind >= argc ? "log" : "file to write (-o FILE.html)");
		return EXIT_USAGE;
	}
	done = history_read(&history, &files, argv + optind, (size_t)(argc - optind)) &&
	       !(output != NULL && is_log(&files, output)) &&
	       write_report(&history, &files, output, json);
	log_files_free(&files);
	return done ? 0 : EXIT_FAILED;
}
