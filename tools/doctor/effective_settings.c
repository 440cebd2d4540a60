/* SPDX-License-Identifier: PostgreSQL */
/* The effective configuration of a program: each variable, its value, and who says so. */
#include "doctor/effective_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/terminal_text.h"
#include "trace/status/page_dir.h"

static const char *const profiles[PROFILES] = {
	[PROFILE_DEV] = "dev", [PROFILE_TEST] = "test", [PROFILE_PROD] = "prod"};

static void print_complaint(void *arg, const char *line)
{
	(void)arg;
	fputs("  ! ", stdout);
	terminal_text_put(stdout, line);
	putchar('\n');
}

static void print_row(const struct config_variable *row, const struct config *config)
{
	const char *set = getenv(row->name);
	const char *by_profile = row->by_profile[config->profile];
	const char *value = row->fallback;
	char source[32] = "default";

	if (set != NULL && set[0] != '\0') {
		value = set;
		snprintf(source, sizeof(source), "environment");
	} else if (by_profile[0] != '\0') {
		value = by_profile;
		snprintf(source, sizeof(source), "profile %s", profiles[config->profile]);
	}
	printf("  %-23s %-12s ", row->name, source);
	terminal_text_put(stdout, value[0] != '\0' ? value : "(unset)");
	putchar('\n');
}

bool effective_settings_print(struct config *config)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);
	bool good = config_load(config, environ, print_complaint, NULL);

	for (size_t i = 0; i < count; i++) {
		print_row(&rows[i], config);
	}
	return good;
}

/* ---- where files go ---- */

/* The log's name with %n and %h put in; %p stays, as nobody knows it yet. */
static void expand_log(const char *log, const char *program, char path[PATH_MAX])
{
	char host[HOST_NAME_MAX + 1] = "";
	size_t at = 0;

	gethostname(host, sizeof(host) - 1);
	for (; *log != '\0' && at + 1 < PATH_MAX; log++) {
		const char *put = log[0] != '%'   ? NULL
		                  : log[1] == 'n' ? program
		                  : log[1] == 'h' ? host
		                  : log[1] == '%' ? "%"
		                                  : NULL;

		if (put == NULL) {
			path[at++] = *log;
			continue;
		}
		at += (size_t)snprintf(path + at, PATH_MAX - at, "%s", put);
		at = at < PATH_MAX ? at : PATH_MAX - 1;
		log++;
	}
	path[at] = '\0';
}

static void print_log(const char *log, const char *program)
{
	char path[PATH_MAX];
	char copy[PATH_MAX];
	const char *folder;
	struct stat st;

	if (strcmp(log, "stderr") == 0 || strcmp(log, "syslog") == 0) {
		printf("  log: %s\n", log);
		return;
	}
	expand_log(log, program, path);
	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	fputs("  log: ", stdout);
	terminal_text_put(stdout, path);
	if (lstat(path, &st) == 0 && strncmp(path, "/dev/", 5) != 0 &&
	    strncmp(path, "/proc/", 6) != 0 &&
	    (S_ISLNK(st.st_mode) || st.st_uid != geteuid())) {
		puts(S_ISLNK(st.st_mode) ? ", which is a symbolic link: stderr instead"
		                         : ", which belongs to another user: stderr instead");
	} else if (access(path, F_OK) == 0) {
		puts(access(path, W_OK) == 0 ? ", exists and is writable"
		                             : ", exists but is not writable: stderr instead");
	} else if (access(folder, W_OK | X_OK) == 0) {
		puts(", will be created");
	} else {
		printf(", which cannot be created (%s): stderr instead\n", strerror(errno));
	}
}

/* Whether the directory could be made: nothing is in its place, and there is room in memory. */
static bool can_make(const char *path)
{
	char copy[PAGE_DIR_PATH_BYTES];
	const char *folder;
	struct stat st;
	bool memory;
	int above;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	if (lstat(path, &st) == 0 || errno != ENOENT || access(folder, W_OK | X_OK) != 0) {
		return false;
	}
	above = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	memory = above >= 0 && page_dir_is_memory(above);
	if (above >= 0) {
		close(above);
	}
	return memory;
}

static void print_page(void)
{
	for (int place = 0; place < PAGE_DIR_MAKERS; place++) {
		char path[PAGE_DIR_PATH_BYTES] = "";
		int dir = page_dir_open((enum page_dir_place)place, false, path);
		bool there = dir >= 0 && page_dir_is_memory(dir);

		if (dir >= 0) {
			close(dir);
		}
		/* Without XDG_RUNTIME_DIR there is nothing before the last slash. */
		if (there || (strrchr(path, '/') > path && can_make(path))) {
			fputs("  status page: in ", stdout);
			terminal_text_put(stdout, path);
			puts(there ? "" : ", will be created");
			return;
		}
	}
	puts("  status page: none; neither XDG_RUNTIME_DIR, /dev/shm nor /tmp has a directory "
	     "in memory (tmpfs) that only this user can use");
}

void effective_settings_print_files(const struct config *config, const char *program)
{
	print_log(config->log, program);
	print_page();
}
