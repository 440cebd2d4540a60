/* SPDX-License-Identifier: PostgreSQL */
/*
 * The options of `pqpool run`: one for each PQPOOL_* variable, two of its own, and their
 * help.
 *
 * Those of variables are made of config.def's rows, so that a new one needs nothing here.
 */
#include "run/options.h"

#include <err.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/config.h"

#define NAME_BYTES 32
#define COLUMNS    80
#define INDENT     6

/* getopt_long(3)'s values: a variable's is its row's number after these. */
enum { VALUE_HELP = 'h', VALUE_WAIT = 'w', VALUE_FAIL_ON_LEAK = 'l', VALUE_FIRST = 1000 };

static const char *const profile_names[PROFILES] = {
	[PROFILE_DEV] = "dev", [PROFILE_TEST] = "test", [PROFILE_PROD] = "prod"};

/* "PQPOOL_MAX_OVERFLOW" is --max-overflow. */
static void option_name(const char *variable, char *buf, size_t size)
{
	snprintf(buf, size, "%s", variable + strlen("PQPOOL_"));
	for (char *p = buf; *p != '\0'; p++) {
		*p = (char)(*p == '_' ? '-' : (*p >= 'A' && *p <= 'Z') ? *p - 'A' + 'a' : *p);
	}
}

static const struct option own_options[] = {
	{"wait", no_argument, NULL, VALUE_WAIT},
	{"fail-on-leak", no_argument, NULL, VALUE_FAIL_ON_LEAK},
	{"help", no_argument, NULL, VALUE_HELP},
	{NULL, 0, NULL, 0},
};
#define OWN_OPTIONS (sizeof(own_options) / sizeof(own_options[0]))

/* One option for each row, then our own and the end; NULL if memory ran out. */
static struct option *make_table(void)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);
	struct option *table = calloc(count + OWN_OPTIONS, sizeof(*table));
	char *names = calloc(count, NAME_BYTES);

	if (table == NULL || names == NULL) {
		free(table);
		free(names);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		char *name = names + i * NAME_BYTES;

		option_name(rows[i].name, name, NAME_BYTES);
		table[i] = (struct option){name, required_argument, NULL, VALUE_FIRST + (int)i};
	}
	memcpy(table + count, own_options, sizeof(own_options));
	return table;
}

static void free_table(struct option *table)
{
	free((char *)table[0].name); /* where all names are */
	free(table);
}

static enum options_outcome take_all(int argc, char **argv, const struct option *table,
                                     struct options *options)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);

	for (;;) {
		/* "+": what follows the program's name is the program's. */
		int value = getopt_long(argc, argv, "+h", table, NULL);

		if (value == -1) {
			return OPTIONS_RUN;
		}
		switch (value) {
		case VALUE_HELP:
			return OPTIONS_HELP;
		case VALUE_WAIT:
			options->wait = true;
			continue;
		case VALUE_FAIL_ON_LEAK:
			options->fail_on_leak = true;
			continue;
		default:
			break;
		}
		if (value < VALUE_FIRST) {
			return OPTIONS_BAD; /* getopt has said why */
		}
		if (setenv(rows[value - VALUE_FIRST].name, optarg, 1) != 0) {
			warn("%s", rows[value - VALUE_FIRST].name);
			return OPTIONS_BAD;
		}
	}
}

enum options_outcome options_take(int argc, char **argv, struct options *options)
{
	struct option *table = make_table();
	enum options_outcome outcome;

	if (table == NULL) {
		warn(NULL);
		return OPTIONS_BAD;
	}
	*options = (struct options){0};
	outcome = take_all(argc, argv, table, options);
	options->program = optind;
	free_table(table);
	return outcome;
}

/* ---- help ---- */

/* Breaks `s` into lines between words; the first begins with `label`. */
static void print_wrapped(const char *label, const char *s)
{
	size_t column = (size_t)printf("%*s%s", INDENT, "", label);
	bool first = true;

	while (*s != '\0') {
		size_t word = strcspn(s, " ");

		if (!first && column + 1 + word >= COLUMNS) {
			printf("\n%*s", INDENT, "");
			column = INDENT;
			first = true;
		}
		column += (size_t)printf("%s%.*s", first ? "" : " ", (int)word, s);
		first = false;
		s += word + strspn(s + word, " ");
	}
	putchar('\n');
}

/* "Default: 10 (dev 5, test 10, prod 20)"; profiles that keep the default have no say. */
static void print_default(const struct config_variable *row)
{
	const char *before = " (";

	printf("%*sDefault: %s", INDENT, "",
	       row->fallback[0] != '\0' ? row->fallback : "unset");
	for (size_t i = 0; i < PROFILES; i++) {
		if (row->by_profile[i][0] != '\0') {
			printf("%s%s %s", before, profile_names[i], row->by_profile[i]);
			before = ", ";
		}
	}
	puts(before[0] == ',' ? ")" : "");
}

void options_help(void)
{
	size_t count;
	const struct config_variable *rows = config_variables(&count);

	for (size_t i = 0; i < count; i++) {
		char name[NAME_BYTES];
		int column;

		option_name(rows[i].name, name, sizeof(name));
		column = printf("  --%s VALUE", name);
		printf("%*s\n", COLUMNS - 1 - column, rows[i].name);
		print_wrapped("", rows[i].meaning);
		print_wrapped("Allowed: ", rows[i].allowed);
		print_default(&rows[i]);
		putchar('\n');
	}
}
