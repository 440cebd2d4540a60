/* SPDX-License-Identifier: PostgreSQL */
/* Against the shim's own tables, shim/trace/script. */
#include "doctor/interpreter_versions.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/diagnosis.h"

#define VERSION_BYTES 32

struct version {
	int major;
	int minor;
};

#define VERSION_PUBLISHED                VERSION_TABLE
#define VERSION_TABLE(major, minor, ...) {major, minor},
static const struct version pythons[] = {
#include "trace/script/tables/python.def"
};
static const struct version rubies[] = {
#include "trace/script/tables/ruby.def"
};
#undef VERSION_TABLE
#define VERSION_TABLE(minor, ...) {5, minor},
static const struct version perls[] = {
#include "trace/script/tables/perl.def"
};
#undef VERSION_TABLE
#define VERSION_TABLE(version, ...) version,
static const char *const phps[] = {
#include "trace/script/tables/php.def"
};
#undef VERSION_TABLE
#undef VERSION_PUBLISHED

#define IN(list, version) is_in(list, sizeof(list) / sizeof((list)[0]), version)

static bool is_in(const struct version *list, size_t count, struct version version)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].major == version.major && list[i].minor == version.minor) {
			return true;
		}
	}
	return false;
}

static void say(bool known, const char *name, const char *version)
{
	if (known) {
		diagnosis_ok("leaks are reported with the script's line (%s %s)", name,
		             version);
	} else {
		diagnosis_note("%s %s is not known: leaks are reported with the C stack alone, "
		               "without the script's line",
		               name, version);
	}
}

static void say_number(bool known, const char *name, struct version version)
{
	char text[VERSION_BYTES];

	snprintf(text, sizeof(text), "%d.%d", version.major, version.minor);
	say(known, name, text);
}

/* The version in the name of a file, "php8.2"; what comes before it is cut off, too. */
static void version_in(const char *path, char version[VERSION_BYTES])
{
	char real[PATH_MAX];
	const char *name = realpath(path, real) != NULL ? real : path;
	const char *slash = strrchr(name, '/');
	const char *digits;

	name = slash != NULL ? slash + 1 : name;
	digits = name + strcspn(name, "0123456789");
	snprintf(version, VERSION_BYTES, "%.*s",
	         (int)(strspn(digits, "0123456789.") % VERSION_BYTES), digits);
}

/* Before 3.11 no variable has the version. */
static void judge_python(const struct elf_object *object, const char *path)
{
	unsigned long number = 0;
	struct version version = {0, 0};
	char text[VERSION_BYTES];

	if (elf_object_constant(object, "Py_Version", &number, sizeof(number))) {
		version =
			(struct version){(int)(number >> 24 & 255), (int)(number >> 16 & 255)};
	} else {
		version_in(path, text);
		sscanf(text, "%d.%d", &version.major, &version.minor);
	}
	say_number(IN(pythons, version), "CPython", version);
}

static void judge_perl(const struct elf_object *object, unsigned char minor)
{
	const struct version version = {5, minor};

	if (elf_object_symbol(object, "PL_thr_key") == SYMBOL_DEFINED) {
		say_number(IN(perls, version), "Perl", version);
	} else {
		say(false, "Perl", "without threads");
	}
}

static void judge_php(const struct elf_object *object, const char *path)
{
	char version[VERSION_BYTES];
	bool known = false;

	if (elf_object_symbol(object, "executor_globals") != SYMBOL_DEFINED) {
		say(false, "PHP", "with thread safety");
		return;
	}
	version_in(path, version);
	for (size_t i = 0; i < sizeof(phps) / sizeof(phps[0]); i++) {
		known = known || strncmp(version, phps[i], strlen(phps[i])) == 0;
	}
	say(known, "PHP",
	    version[0] != '\0' ? version : "of a version that its name does not show");
}

void interpreter_versions_print(const struct elf_object *object, const char *path)
{
	int ruby[2];
	unsigned char perl;

	if (elf_object_symbol(object, "Py_FinalizeEx") == SYMBOL_DEFINED) {
		judge_python(object, path);
	}
	if (elf_object_constant(object, "PL_version", &perl, sizeof(perl))) {
		judge_perl(object, perl);
	}
	if (elf_object_symbol(object, "get_zend_version") == SYMBOL_DEFINED) {
		judge_php(object, path);
	}
	if (elf_object_constant(object, "ruby_api_version", ruby, sizeof(ruby))) {
		const struct version version = {ruby[0], ruby[1]};

		say_number(IN(rubies, version), "Ruby", version);
	}
}
