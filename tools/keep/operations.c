/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool drain`, `pause`, `resume` and `wait`: the keeper's commands for a switchover. */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/exit_status.h"
#include "keep/client.h"
#include "keep/keep.h"

static const struct operation {
	const char *name;
	const char *help; /* behind "Usage: pqpool " */
	int words;        /* that it takes */
} operations[] = {
	{"drain",
         "drain [--socket PATH] PID | POOL | all\n"
         "\n"
         "Has the keeper close the sessions that a process has, those of a pool\n"
         "(user@host:port/database), or all: idle ones at once, others when they are given\n"
         "back. New connects get new sessions. `pqpool wait` waits for the end of it.\n",
         1},
	{"pause",
         "pause [--socket PATH]\n"
         "\n"
         "Has the keeper let new connects wait, up to their timeouts, until `pqpool resume`.\n"
         "`pqpool wait` waits until no session is in use any more.\n",
         0},
	{"resume",
         "resume [--socket PATH]\n"
         "\n"
         "Ends `pqpool pause`: those that wait are served.\n",
         0},
	{"wait",
         "wait [--socket PATH]\n"
         "\n"
         "Waits until the sessions that were drained are closed and, while the keeper is\n"
         "paused, none is in use.\n",
         0},
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void print_help(const struct operation *operation)
{
	printf("Usage: pqpool %s\n"
	       "  -s, --socket PATH  the keeper's; default as of `pqpool keep`\n"
	       "  -h, --help         this text\n"
	       "\n"
	       "Exit status: 0; 2 after bad usage; 125 if something failed.\n",
	       operation->help);
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

int keep_operation_main(int argc, char **argv)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	const struct operation *operation = find_operation(argv[0]);
	const char *path = NULL;
	const char *words[2] = {operation->name};
	int option;

	while ((option = getopt_long(argc, argv, "s:h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			path = optarg;
			break;
		case 'h':
			print_help(operation);
			return 0;
		default:
			fprintf(stderr, "Try '%s --help'.\n", argv[0]);
			return EXIT_USAGE;
		}
	}
	if (argc - optind != operation->words) {
		warnx(operation->words > 0 ? "%s: one argument is expected"
		                           : "%s: no argument is expected",
		      operation->name);
		return EXIT_USAGE;
	}
	words[1] = argv[optind];
	return client_words(path, 1 + operation->words, words);
}
