/* SPDX-License-Identifier: PostgreSQL */
/* What known programs do with their environment, and the line that has them preloaded. */
#include "doctor/program_habits.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/terminal_text.h"

/* ---- known programs ---- */

static const struct habit {
	const char *name;   /* of the program, before its version; or "/FOLDER/" */
	const char *does;   /* a sentence */
	const char *before; /* the line to write, around the shim's path; NULL = without that */
	const char *after;
} habits[] = {
	{"apache2",
         "apachectl, by which the service is started, reads /etc/apache2/envvars; write there "
         "(Debian's 2.4):",
         "export LD_PRELOAD=", ""},
	{"php-fpm",
         "clear_env hides the service's variables from scripts only: LD_PRELOAD and PQPOOL_ "
         "variables of the service count all the same; for one pool, write into its file:",
         NULL, "env[PQPOOL_SIZE] = 5"},
	{"postfix",
         "master clears the environment of all that it starts; what import_environment names "
         "with a value stays (3.7). Run:",
         "postconf -e \"import_environment = $(postconf -dh import_environment) LD_PRELOAD=",
         "\""},
	{"/postfix/",
         "master clears the environment of all that it starts; what import_environment names "
         "with a value stays (3.7). Run:",
         "postconf -e \"import_environment = $(postconf -dh import_environment) LD_PRELOAD=",
         "\""},
	{"dovecot",
         "dovecot clears the environment of all that it starts; what import_environment names "
         "stays (2.3). Write into its configuration:",
         "import_environment = $import_environment LD_PRELOAD=", ""},
	{"/dovecot/",
         "dovecot clears the environment of all that it starts; what import_environment names "
         "stays (2.3). Write into its configuration:",
         "import_environment = $import_environment LD_PRELOAD=", ""},
	{"exim",
         "exim clears its environment when it starts, and executes itself to deliver; write "
         "into its configuration (4.96):",
         NULL, "keep_environment = LD_PRELOAD : ^PQPOOL_"},
	{"cron",
         "cron gives its jobs an environment of their own; write above them in the crontab:",
         "LD_PRELOAD=", ""},
	{"sudo",
         "sudo removes LD_PRELOAD from the environment of what it runs; name it again behind "
         "sudo:",
         "sudo env LD_PRELOAD=", " PROGRAM"},
	{"su",
         "su is setuid, so the linker removes LD_PRELOAD from its environment unless root runs "
         "it; name it again:",
         "su USER -c 'LD_PRELOAD=", " exec PROGRAM'"},
};

/* "apache2", "php-fpm8.2", "exim4": a version may follow. */
static bool is_meant(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	size_t len = strlen(name);

	if (name[0] == '/') {
		return strstr(path, name) != NULL;
	}
	return strncmp(base, name, len) == 0 &&
	       base[len + strspn(base + len, ".0123456789")] == '\0';
}

static const struct habit *find_habit(const char *path)
{
	for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++) {
		if (is_meant(path, habits[i].name)) {
			return &habits[i];
		}
	}
	return NULL;
}

static void print_habit(const struct habit *habit, const char *shim)
{
	printf("  note: %s\n      %s", habit->does, habit->before != NULL ? habit->before : "");
	if (habit->before != NULL) {
		terminal_text_put(stdout, shim);
	}
	puts(habit->after);
}

/* ---- systemd ---- */

#define UNIT_LINE 1024

struct unit {
	char name[NAME_MAX + 1];
	bool starts;      /* its ExecStart= names the program */
	bool private_tmp; /* PrivateTmp= */
};

static bool is_yes(const char *value)
{
	return strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 ||
	       strcmp(value, "on") == 0 || strcmp(value, "1") == 0;
}

/* Whether "-/usr/sbin/x -f" executes that path; special characters may come first. */
static bool executes(const char *command, const char *path)
{
	size_t len = strlen(path);

	command += strspn(command, "@-:+!|");
	return strncmp(command, path, len) == 0 &&
	       (command[len] == '\0' || command[len] == ' ' || command[len] == '\t');
}

static void read_unit(struct unit *unit, const char *folder, const char *path)
{
	char file_name[PATH_MAX];
	char line[UNIT_LINE];
	FILE *file;

	if (snprintf(file_name, sizeof(file_name), "%s/%s", folder, unit->name) >=
	    (int)sizeof(file_name)) {
		return;
	}
	file = fopen(file_name, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "ExecStart=", 10) == 0) {
			unit->starts = unit->starts || executes(line + 10, path);
		} else if (strncmp(line, "PrivateTmp=", 11) == 0) {
			unit->private_tmp = is_yes(line + 11);
		}
	}
	if (file != NULL) {
		fclose(file);
	}
}

static bool find_unit(struct unit *unit, const char *path)
{
	static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system",
	                                      "/usr/lib/systemd/system", "/lib/systemd/system"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		DIR *dir = opendir(folders[i]);
		const struct dirent *entry;

		while (dir != NULL && (entry = readdir(dir)) != NULL) {
			size_t len = strlen(entry->d_name);

			if (len <= 8 || strcmp(entry->d_name + len - 8, ".service") != 0) {
				continue;
			}
			*unit = (struct unit){.starts = false};
			snprintf(unit->name, sizeof(unit->name), "%s", entry->d_name);
			read_unit(unit, folders[i], path);
			if (unit->starts) {
				closedir(dir);
				return true;
			}
		}
		if (dir != NULL) {
			closedir(dir);
		}
	}
	return false;
}

static void print_unit(const struct unit *unit, const char *shim)
{
	fputs("  note: its service's environment is systemd's; run systemctl edit ", stdout);
	terminal_text_put(stdout, unit->name);
	fputs(" and write:\n      [Service]\n      Environment=LD_PRELOAD=", stdout);
	terminal_text_put(stdout, shim);
	putchar('\n');
	if (unit->private_tmp) {
		puts("  note: PrivateTmp= gives it a /tmp of its own: a log there, and status "
		     "pages there, are seen by root only (pqpool top, leaks PID)");
	}
}

void program_habits_print(const char *path, const char *shim)
{
	const struct habit *habit = find_habit(path);
	struct unit unit;
	bool service = find_unit(&unit, path);

	if (habit == NULL && !service) {
		return;
	}
	puts("Setting up");
	if (habit != NULL) {
		print_habit(habit, shim);
	}
	if (service) {
		print_unit(&unit, shim);
	}
}
