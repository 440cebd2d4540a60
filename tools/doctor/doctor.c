/* SPDX-License-Identifier: PostgreSQL */
/*
 * `pqpool doctor`: would a program be pooled, and if not, why not.
 *
 * It is only read, never run: not even by ldd(1), which has the program's own linker run.
 */
#include "doctor/doctor.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/version.h"
#include "common/exit_status.h"
#include "common/preload_shim.h"
#include "common/preloadable.h"
#include "common/program_path.h"
#include "common/terminal_text.h"
#include "doctor/diagnosis.h"
#include "doctor/effective_settings.h"
#include "doctor/live/live.h"
#include "doctor/program_habits.h"

#define SCRIPT_LINE   256
#define SCRIPT_LEVELS 5

static void print_help(void)
{
	puts("Usage: pqpool doctor PROGRAM\n"
	     "       pqpool doctor --live PID\n"
	     "\n"
	     "Tells from its files whether pqpool run would pool PROGRAM, or the interpreter "
	     "of\n"
	     "a script: which libpq it finds and how, what prevents preloading, what else is\n"
	     "preloaded, the effective configuration, and how to set it up. PROGRAM is not "
	     "run.\n"
	     "Of a program without a libpq, modules that need one are looked for: an\n"
	     "interpreter's in its default folders, others in the folders that the program, "
	     "its\n"
	     "libraries and its modules name. What it loads from elsewhere is not seen.\n"
	     "\n"
	     "  -l, --live  of a process that runs: whether libpqpool.so and a libpq are "
	     "loaded,\n"
	     "              in the right order, what is pooled since when, with which "
	     "settings,\n"
	     "              and if nothing is, why\n"
	     "  -h, --help  this text\n"
	     "\n"
	     "Lines that begin with ! are reasons why connections are not pooled.\n"
	     "\n"
	     "Exit status: 0 if PROGRAM would be pooled, also if that depends on which of the\n"
	     "modules it loads; 1 if not or only in part, 2 after bad usage, 125 if pqpool\n"
	     "failed, 126 if PROGRAM cannot be run, 127 if it was not found. With --live: 0 "
	     "if\n"
	     "the process pools, 1 if not, 125 if it may not be looked at, 127 if there is "
	     "none.");
}

/* ---- scripts ---- */

/* The next word of `*rest`, which moves behind it; NULL at the end. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");
	size_t len = strcspn(word, " \t");

	*rest = word + len + (word[len] != '\0');
	word[len] = '\0';
	return len > 0 ? word : NULL;
}

/* The program that "/usr/bin/env -S NAME=VALUE program" looks for. */
static char *word_of_env(char **rest)
{
	char *word = next_word(rest);

	while (word != NULL && (word[0] == '-' || strchr(word, '=') != NULL)) {
		word = next_word(rest);
	}
	return word;
}

/* The interpreter of the script `path` in `buf`; false if it is none, or cannot be found. */
static bool find_interpreter(const char *path, char buf[PATH_MAX])
{
	char line[SCRIPT_LINE + 1];
	char found[PATH_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, line, SCRIPT_LINE) : -1;
	char *rest = line + 2;
	const char *name;

	if (fd >= 0) {
		close(fd);
	}
	if (n < 2 || memcmp(line, "#!", 2) != 0) {
		return false;
	}
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	name = next_word(&rest);
	if (name != NULL && strcmp(name, "/usr/bin/env") == 0) {
		name = word_of_env(&rest);
	}
	name = name != NULL ? program_path_find(name, found, sizeof(found)) : NULL;
	if (name == NULL) {
		return false;
	}
	snprintf(buf, PATH_MAX, "%s", name);
	return true;
}

/* Goes from the script to the program that is executed in the end. */
static void follow_scripts(struct diagnosis *diagnosis, const char *path)
{
	snprintf(diagnosis->program, sizeof(diagnosis->program), "%s", path);
	for (int level = 0; level < SCRIPT_LEVELS; level++) {
		char interpreter[PATH_MAX];

		if (!find_interpreter(diagnosis->program, interpreter)) {
			break;
		}
		diagnosis->script = path;
		memcpy(diagnosis->program, interpreter, sizeof(interpreter));
	}
}

/* ---- the examination ---- */

static void examine_shim(const char *shim)
{
	char *version = preload_shim_version(shim);

	puts("Library");
	if (version != NULL && strcmp(version, PQPOOL_VERSION) == 0) {
		diagnosis_ok("%s is of version %s", shim, version);
	} else {
		diagnosis_note("%s is of %s%s, this command of " PQPOOL_VERSION
		               ": install both from one build",
		               shim, version != NULL ? "version " : "an unknown version",
		               version != NULL ? version : "");
	}
	free(version);
}

/* Returns 0, or the exit status for a program into which nothing can be preloaded. */
static int examine_program(struct diagnosis *diagnosis, const char *path)
{
	char why[3 * PATH_MAX];
	int status = preloadable_check(path, diagnosis->shim, why, sizeof(why));

	puts("Program");
	if (status == 0 && diagnosis->script != NULL) {
		status = preloadable_check(diagnosis->program, diagnosis->shim, why,
		                           sizeof(why));
	}
	if (status != 0) {
		diagnosis_trouble(diagnosis, "%s", why);
		return status;
	}
	if (diagnosis->script != NULL) {
		diagnosis_ok("%s is a script, %s can be preloaded into", path,
		             diagnosis->program);
		diagnosis_note("programs that a script runs are pooled as well: check those");
	} else {
		diagnosis_ok("%s can be preloaded into", diagnosis->program);
	}
	return 0;
}

static void examine_settings(struct diagnosis *diagnosis)
{
	static struct config config; /* what it points to is kept, too */
	const char *slash = strrchr(diagnosis->program, '/');
	const char *name = slash != NULL ? slash + 1 : diagnosis->program;

	puts("Configuration");
	if (!effective_settings_print(&config)) {
		diagnosis_obstacle(diagnosis, "with such a value programs run unpooled");
	} else if (config.disable) {
		diagnosis_obstacle(diagnosis, "PQPOOL_DISABLE is on");
	} else if (!config_wants_program(&config, name)) {
		diagnosis_obstacle(diagnosis, "PQPOOL_ONLY or PQPOOL_SKIP leaves %s out", name);
	}
	puts("Files");
	effective_settings_print_files(&config, name);
}

static void print_limits(void)
{
	puts("Never pooled, but passed through: replication connections, those with\n"
	     "  load_balance_hosts=random or oauth_issuer, and what libpq refuses to parse");
}

static void print_verdict(const struct diagnosis *diagnosis, const char *name)
{
	fputs("Verdict: ", stdout);
	terminal_text_put(stdout, name);
	if (diagnosis->troubles == 0 && diagnosis->depends) {
		puts(" depends on what it loads: with a module named above it would be pooled");
	} else if (diagnosis->troubles == 0) {
		puts(" would be pooled");
	} else {
		printf(" would %s be pooled: %d reason%s above\n",
		       diagnosis->pooled > 0 ? "perhaps not, or only in part," : "not",
		       diagnosis->troubles, diagnosis->troubles > 1 ? "s" : "");
	}
}

/* The exit status. */
static int examine(struct diagnosis *diagnosis, const char *path)
{
	int status = examine_program(diagnosis, path);

	if (status == EXIT_CANNOT_RUN || status == EXIT_NOT_FOUND) {
		return status;
	}
	examine_shim(diagnosis->shim);
	if (status == 0) {
		diagnosis_libpq(diagnosis);
	}
	if (diagnosis->first != NULL) {
		diagnosis_preloads(diagnosis);
	}
	examine_settings(diagnosis);
	program_habits_print(path, diagnosis->shim);
	if (diagnosis->pooled > 0) {
		print_limits();
	}
	print_verdict(diagnosis, path);
	return diagnosis->troubles > 0 ? EXIT_NOT_POOLED : 0;
}

static int cannot_run(const char *name)
{
	int status = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;

	warn("%s", name);
	return status;
}

int doctor_main(int argc, char **argv)
{
	static const struct option table[] = {{"help", no_argument, NULL, 'h'},
	                                      {"live", no_argument, NULL, 'l'},
	                                      {NULL, 0, NULL, 0}};
	static struct diagnosis diagnosis;
	char buf[PATH_MAX];
	const char *path;
	char *shim;
	int status;
	bool live = false;
	int value;

	while ((value = getopt_long(argc, argv, "+hl", table, NULL)) != -1) {
		switch (value) {
		case 'l':
			live = true;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			fputs("Try 'pqpool doctor --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 1) {
		warnx("doctor: name one %s; see pqpool doctor --help",
		      live ? "process" : "program");
		return EXIT_USAGE;
	}
	if (live) {
		return live_examine(argv[optind]);
	}
	path = program_path_find(argv[optind], buf, sizeof(buf));
	if (path == NULL || access(path, X_OK) != 0) {
		return cannot_run(argv[optind]);
	}
	shim = preload_shim_find();
	if (shim == NULL) {
		return EXIT_FAILED;
	}
	diagnosis.shim = shim;
	follow_scripts(&diagnosis, path);
	status = examine(&diagnosis, path);
	load_order_free(&diagnosis.order);
	free(shim);
	return status;
}
