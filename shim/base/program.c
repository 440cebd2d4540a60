/* SPDX-License-Identifier: PostgreSQL */
/* What is known of the program: its environment, its names, its threads. */
#include "base/program.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/late.h"

#define PREFIX      "PQPOOL_"
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

/*
 * What was there when the library was loaded. The name lies beside what the dynamic linker
 * writes anyway: a page less to be touched in programs that never connect.
 */
static char name_at_start[256] __attribute__((section(".data"))) = "";
static struct {
	size_t used;
	bool cut;
	char bytes[16384]; /* "NAME=value", each with its NUL */
} settings_at_start;

static char **settings;

/* ---- when the library is loaded ---- */

/* Not made a call of the C library's by the compiler: the linker would have to look for it. */
#define OURSELVES() __asm__ volatile("" : : : "memory")

static void note_name(const char *path)
{
	const char *from = path;
	size_t n = 0;

	for (; *path != '\0'; path++) {
		OURSELVES();
		from = *path == '/' ? path + 1 : from;
	}
	for (; from[n] != '\0' && n < sizeof(name_at_start) - 1; n++) {
		OURSELVES();
		name_at_start[n] = from[n];
	}
}

static bool is_setting(const char *variable)
{
	for (size_t i = 0; i < PREFIX_SIZE; i++) {
		OURSELVES();
		if (variable[i] != PREFIX[i]) {
			return false;
		}
	}
	return true;
}

static void note_setting(const char *variable)
{
	size_t used = settings_at_start.used;

	do {
		OURSELVES();
		if (used == sizeof(settings_at_start.bytes)) {
			settings_at_start.cut = true;
			return;
		}
		settings_at_start.bytes[used++] = *variable;
	} while (*variable++ != '\0');
	settings_at_start.used = used;
}

/*
 * What runs when the library is loaded (the Makefile names it to the linker), with what the C
 * library gives to all such functions. Allocates, opens and calls nothing.
 */
__attribute__((used)) void program_begin(int argc, char **argv, char **envp);
void program_begin(int argc, char **argv, char **envp)
{
	if (argc > 0 && argv[0] != NULL) {
		note_name(argv[0]);
	}
	for (; envp != NULL && *envp != NULL; envp++) {
		if (is_setting(*envp)) {
			note_setting(*envp);
		}
	}
}

/* ---- later ---- */

char *const *program_environ(void)
{
	static char *const nothing[] = {NULL};
	char *const *const *variable = late(LATE_environ);

	return variable != NULL && *variable != NULL ? *variable : nothing;
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
	char *at = settings_at_start.bytes;
	char *end = at + settings_at_start.used;
	size_t most = 1;

	if (settings != NULL || settings_at_start.cut) {
		return settings;
	}
	for (char *const *e = program_environ(); *e != NULL; e++) {
		most += strncmp(*e, PREFIX, PREFIX_SIZE) == 0;
	}
	for (char *variable = at; variable < end; variable += strlen(variable) + 1) {
		most++;
	}
	settings = calloc(most, sizeof(*settings));
	if (settings == NULL) {
		return NULL;
	}
	for (char *const *e = program_environ(); *e != NULL; e++) {
		if (strncmp(*e, PREFIX, PREFIX_SIZE) == 0) {
			add(settings, *e);
		}
	}
	for (; at < end; at += strlen(at) + 1) {
		add(settings, at);
	}
	return settings;
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

static const char *name(enum late which)
{
	const char *const *variable = late(which);

	return variable != NULL && *variable != NULL ? *variable : "";
}

const char *program_name(void)
{
	return name(LATE_program_invocation_name);
}

const char *program_short_name(void)
{
	return name_at_start[0] != '\0' ? name_at_start
	                                : name(LATE_program_invocation_short_name);
}

bool program_is_single_threaded(void)
{
	const char *variable = late(LATE___libc_single_threaded);

	return variable != NULL && *variable != 0;
}
