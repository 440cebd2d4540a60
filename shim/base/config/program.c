/* SPDX-License-Identifier: PostgreSQL */
/* The program: its environment and settings, its name, its threads. */
#include "base/config/program.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include "base/cold.h"

#define PREFIX      "PQPOOL_"
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

/* What was there when the library was loaded. */
static char name_at_start[256] = "";
static char settings_at_start[16384] SPARSE; /* "NAME=value", each with its NUL */
static size_t settings_used;
static bool settings_cut;

static char **settings;

static bool is_ours(const char *variable)
{
	return strncmp(variable, PREFIX, PREFIX_SIZE) == 0;
}

/* ---- when the library is loaded ---- */

static void note_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t n = strnlen(name, sizeof(name_at_start) - 1);

	memcpy(name_at_start, name, n);
	name_at_start[n] = '\0';
}

static void note_setting(const char *variable)
{
	size_t size = strlen(variable) + 1;

	if (size > sizeof(settings_at_start) - settings_used) {
		settings_cut = true;
		return;
	}
	memcpy(settings_at_start + settings_used, variable, size);
	settings_used += size;
}

void program_begin(int argc, char **argv, char **envp)
{
	settings_used = 0;
	if (argc > 0 && argv[0] != NULL) {
		note_name(argv[0]);
	}
	for (; envp != NULL && *envp != NULL; envp++) {
		if (is_ours(*envp)) {
			note_setting(*envp);
		}
	}
}

/* ---- later ---- */

char *const *program_environ(void)
{
	static char *const nothing[] = {NULL};

	return environ != NULL ? environ : nothing;
}

static bool is_same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && (b[n] == '=' || b[n] == '\0');
}

/* Adds one whose name is not there yet. */
static void add(char **list, char *variable)
{
	for (; *list != NULL; list++) {
		if (is_same_name(*list, variable)) {
			return;
		}
	}
	*list = variable;
}

char *const *program_settings(void)
{
	char *at = settings_at_start;
	char *end = at + settings_used;
	size_t most = 1;

	if (settings != NULL || settings_cut) {
		return settings;
	}
	for (char *const *e = program_environ(); *e != NULL; e++) {
		most += is_ours(*e);
	}
	for (char *variable = at; variable < end; variable += strlen(variable) + 1) {
		most++;
	}
	settings = calloc(most, sizeof(*settings));
	if (settings == NULL) {
		return NULL;
	}
	for (char *const *e = program_environ(); *e != NULL; e++) {
		if (is_ours(*e)) {
			add(settings, *e);
		}
	}
	for (; at < end; at += strlen(at) + 1) {
		add(settings, at);
	}
	return settings;
}

bool program_settings_are_cut(void)
{
	return settings_cut;
}

const char *program_setting(const char *name)
{
	for (char **list = settings; list != NULL && *list != NULL; list++) {
		if (is_same_name(*list, name)) {
			const char *value = *list + strcspn(*list, "=");

			return *value == '=' ? value + 1 : NULL;
		}
	}
	return NULL;
}

const char *program_name(void)
{
	return program_invocation_name;
}

const char *program_short_name(void)
{
	return name_at_start[0] != '\0' ? name_at_start : program_invocation_short_name;
}

bool program_is_single_threaded(void)
{
	return __libc_single_threaded != 0;
}
