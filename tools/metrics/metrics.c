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
#include "metrics/exposition.h"
#include "metrics/http_request.h"
#include "metrics/http_server.h"
#include "metrics/keeper_text.h"
#include "metrics/listen_address.h"
#include "metrics/pool_text.h"

static void print_help(void)
{
	puts("Usage: pqpool metrics [-o FILE | --listen ADDRESS:PORT]\n"
	     "\n"
	     "Writes the state of the pools of this user's running programs, for root of all\n"
	     "users', as text for Prometheus. Prometheus scrapes it itself with --listen:\n"
	     "\n"
	     "    pqpool metrics --listen 127.0.0.1:9719\n"
	     "\n"
	     "-o is for the node exporter's textfile collector:\n"
	     "\n"
	     "    pqpool metrics -o /var/lib/prometheus/node-exporter/pqpool.prom\n"
	     "\n"
	     "Labels: program, pid, pool (user@host:port/database), and reason for closed\n"
	     "sessions. The keeper's (`pqpool keep`) have pool only.\n"
	     "\n"
	     "  -o, --output FILE     to FILE, which is replaced atomically\n"
	     "  -l, --listen ADDRESS  over HTTP, at /metrics, to whoever can connect there:\n"
	     "                        127.0.0.1:9719, [::1]:9719, or 9719 for 127.0.0.1:9719\n"
	     "  -h, --help            this text\n"
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

/* The state of the moment, of everything that there is. */
struct moment {
	struct pages pages;
	struct show_lines keeper;
};

static bool moment_read(struct moment *moment, pages_complain *complain)
{
	pages_tidy();
	if (!pages_read(&moment->pages, 0, PAGES_OF_ALL, complain)) {
		pages_free(&moment->pages);
		return false;
	}
	show_lines_parse(&moment->keeper, keeper_show());
	return true;
}

static void moment_free(struct moment *moment)
{
	show_lines_free(&moment->keeper);
	pages_free(&moment->pages);
}

static void write_all(const struct exposition *out, const struct moment *moment)
{
	pool_text_write(out, &moment->pages);
	keeper_text_write(out, &moment->keeper);
	exposition_end(out);
}

/* Writes and closes; false, with errno, if not all of it got there. */
static bool fill(int fd, const struct moment *moment)
{
	FILE *to = fdopen(fd, "w");

	if (to == NULL) {
		close(fd);
		return false;
	}
	write_all(&(struct exposition){.to = to}, moment);
	if (ferror(to) || fchmod(fd, usual_mode()) != 0) {
		int saved_errno = errno;

		fclose(to);
		errno = saved_errno;
		return false;
	}
	return fclose(to) == 0;
}

static int replace(const char *file, const struct moment *moment)
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
	} else if (!fill(fd, moment) || rename(fresh, file) != 0) {
		warn("%s", file);
		unlink(fresh);
		status = EXIT_FAILED;
	}
	free(fresh);
	return status;
}

static int write_once(const char *file)
{
	struct moment moment;
	int status = 0;

	if (!moment_read(&moment, pages_warn)) {
		return EXIT_FAILED;
	}
	if (file != NULL) {
		status = replace(file, &moment);
	} else {
		write_all(&(struct exposition){.to = stdout}, &moment);
	}
	moment_free(&moment);
	return status;
}

/* For each scrape. What is wrong with a page is said the first time. */
static bool write_scrape(const struct exposition *out)
{
	static bool scraped;
	struct moment moment;
	bool read = moment_read(&moment, scraped ? NULL : pages_warn);

	scraped = true;
	if (read) {
		write_all(out, &moment);
		moment_free(&moment);
	}
	return read;
}

static int serve(const char *address)
{
	int status = 0;
	int signals = http_server_signals();
	int listener = listen_address_open(address, &status);
	char *where;

	if (listener < 0) {
		return status;
	}
	where = listen_address_of(listener);
	printf("http://%s%s\n", where, HTTP_REQUEST_PATH);
	fflush(stdout);
	free(where);
	if (signals < 0 || !http_server_run(signals, listener, write_scrape)) {
		warn(NULL);
		status = EXIT_FAILED;
	}
	close(listener);
	close(signals);
	return status;
}

int metrics_main(int argc, char **argv)
{
	static const struct option options[] = {{"output", required_argument, NULL, 'o'},
	                                        {"listen", required_argument, NULL, 'l'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	const char *file = NULL;
	const char *address = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "o:l:h", options, NULL)) != -1) {
		switch (option) {
		case 'o':
			file = optarg;
			break;
		case 'l':
			address = optarg;
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
	if (file != NULL && address != NULL) {
		warnx("metrics: either --output or --listen");
		return EXIT_USAGE;
	}
	return address != NULL ? serve(address) : write_once(file);
}
