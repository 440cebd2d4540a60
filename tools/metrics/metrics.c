/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool metrics`: the pools of this user's processes for a monitoring system. */
#include "metrics/metrics.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/exit_status.h"
#include "common/keeper/command.h"
#include "common/keeper/show_lines.h"
#include "common/pages/status_pages.h"
#include "metrics/keeper_text.h"
#include "metrics/prometheus_text.h"

static void print_help(void)
{
	puts("Usage: pqpool metrics [-o FILE]\n"
	     "\n"
	     "Writes the state of the pools of this user's running programs, for root of all\n"
	     "users', as OpenMetrics text for Prometheus. -o is for the node exporter's "
	     "textfile\n"
	     "collector:\n"
	     "\n"
	     "    pqpool metrics -o /var/lib/prometheus/node-exporter/pqpool.prom\n"
	     "\n"
	     "Labels: program, pid, pool (user@host:port/database), and reason for closed\n"
	     "sessions. The keeper's (`pqpool keep`) have pool only.\n"
	     "\n"
	     "  -o, --output FILE  to FILE, which is replaced atomically\n"
	     "  -h, --help         this text\n"
	     "\n"
	     "Exit status: 0; 2 after bad usage; 125 if something failed.");
}

/* What everybody may read who may read files that one makes. */
static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static void write_all(FILE *to, const struct pages *pages, const struct show_lines *keeper)
{
	prometheus_text_write(to, pages);
	keeper_text_write(to, keeper);
	fputs("# EOF\n", to);
}

/* Writes and closes; false, with errno, if not all of it got there. */
static bool fill(int fd, const struct pages *pages, const struct show_lines *keeper)
{
	FILE *to = fdopen(fd, "w");

	if (to == NULL) {
		close(fd);
		return false;
	}
	write_all(to, pages, keeper);
	if (ferror(to) || fchmod(fd, usual_mode()) != 0) {
		int saved_errno = errno;

		fclose(to);
		errno = saved_errno;
		return false;
	}
	return fclose(to) == 0;
}

static int replace(const char *file, const struct pages *pages, const struct show_lines *keeper)
{
	char *fresh;
	int status = 0;
	int fd;

	/* Not a name that ends in .prom: a collector reads those. */
	if (asprintf(&fresh, "%s.XXXXXX", file) < 0) {
		warn(NULL);
		return EXIT_FAILED;
	}
	fd = mkstemp(fresh);
	if (fd < 0) {
		warn("%s", file);
		status = EXIT_FAILED;
	} else if (!fill(fd, pages, keeper) || rename(fresh, file) != 0) {
		warn("%s", file);
		unlink(fresh);
		status = EXIT_FAILED;
	}
	free(fresh);
	return status;
}

static int write_metrics(const char *file)
{
	struct show_lines keeper;
	struct pages pages;
	int status = 0;

	pages_tidy();
	if (!pages_read(&pages, 0, PAGES_OF_ALL, pages_warn)) {
		return EXIT_FAILED;
	}
	show_lines_parse(&keeper, keeper_show());
	if (file != NULL) {
		status = replace(file, &pages, &keeper);
	} else {
		write_all(stdout, &pages, &keeper);
	}
	show_lines_free(&keeper);
	pages_free(&pages);
	return status;
}

int metrics_main(int argc, char **argv)
{
	static const struct option options[] = {{"output", required_argument, NULL, 'o'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	const char *file = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		switch (option) {
		case 'o':
			file = optarg;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			fputs("Try 'pqpool metrics --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		warnx("metrics: \"%s\": no argument is expected", argv[optind]);
		return EXIT_USAGE;
	}
	return write_metrics(file);
}
