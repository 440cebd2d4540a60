/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool run`: starts a program with the pool preloaded, in this process's place.
 *
 * It replaces itself with execvp(3), so that pid, exit status, signals and terminal
 * are the program's own.
 */
#include "run.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "inspect.h"
#include "options.h"
#include "preload.h"
#include "status.h"

static void print_help(void)
{
	puts("Usage: pqpool run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	     "\n"
	     "Runs PROGRAM with a pool of PostgreSQL connections hidden below its libpq.\n"
	     "The program takes the place of pqpool: process id, exit status and signals\n"
	     "are its own.\n"
	     "\n"
	     "Each option sets the environment variable beside it, which works without\n"
	     "`pqpool run`, too, once libpqpool.so is in LD_PRELOAD. An empty value counts\n"
	     "as unset. A plain number where a time is allowed is in seconds.\n");
	options_help();
	puts("Exit status: that of PROGRAM; 2 if an option or a value was bad, 125 if pqpool\n"
	     "could not do its part, 126 if PROGRAM cannot be run, 127 if it was not found.");
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

/* Returns 0 if the file `path` can be executed as far as permissions go, or the errno. */
static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return errno;
	}
	return S_ISREG(st.st_mode) && eaccess(path, X_OK) == 0 ? 0 : EACCES;
}

/*
 * The file that execvp(3) would run for `name`, in `buf`; NULL with errno if none. The
 * caller executes this very file, so that no other one than was inspected is run.
 */
static const char *find_program(const char *name, char *buf, size_t size)
{
	const char *path = getenv("PATH");
	int why = ENOENT;

	if (name[0] == '\0' || strchr(name, '/') != NULL) {
		errno = ENOENT;
		return name[0] != '\0' ? name : NULL;
	}
	path = path != NULL ? path : "/bin:/usr/bin";
	for (;;) {
		size_t len = strcspn(path, ":");
		int n = snprintf(buf, size, "%.*s/%s", len > 0 ? (int)len : 1,
		                 len > 0 ? path : ".", name);

		if (n > 0 && (size_t)n < size) {
			int error = check_executable(buf);

			if (error == 0) {
				return buf;
			}
			why = error == EACCES ? EACCES : why;
		}
		if (path[len] == '\0') {
			errno = why;
			return NULL;
		}
		path += len + 1;
	}
}

static int cannot_run(const char *name)
{
	int status = errno == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;

	warn("%s", name);
	return status;
}

/* Returns only if it failed. */
static int replace_self(char **argv)
{
	char buf[PATH_MAX];
	const char *program = find_program(argv[0], buf, sizeof(buf));
	char *library;
	int status;

	if (program == NULL) {
		return cannot_run(argv[0]);
	}
	library = preload_find();
	if (library == NULL) {
		return STATUS_FAILED;
	}
	status = inspect_program(program, library);
	if (status == 0 && !preload_set(library)) {
		warn("LD_PRELOAD");
		status = STATUS_FAILED;
	}
	free(library);
	if (status != 0) {
		return status;
	}
	execvp(program, argv);
	return cannot_run(argv[0]);
}

int run_main(int argc, char **argv)
{
	static struct config config; /* what it points to is kept, too */
	int program = 0;

	switch (options_take(argc, argv, &program)) {
	case OPTIONS_HELP:
		print_help();
		return 0;
	case OPTIONS_BAD:
		fputs("Try 'pqpool run --help'.\n", stderr);
		return STATUS_USAGE;
	case OPTIONS_RUN:
		break;
	}
	if (program >= argc) {
		warnx("run: no program given; see pqpool run --help");
		return STATUS_USAGE;
	}
	if (!config_load(&config, environ, print_complaint, NULL)) {
		return STATUS_USAGE;
	}
	return replace_self(argv + program);
}
