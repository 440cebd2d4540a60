/* SPDX-License-Identifier: PostgreSQL */
/* The database drivers of interpreters. */
#include "doctor/modules/interpreter_drivers.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION_BYTES 16

/* Where a pattern begins. */
enum base {
	ROOT,
	PREFIX,   /* two directories above the interpreter: /usr */
	SCRIPT,   /* the script's directory */
	HOME,     /* the user's */
	VARIABLE, /* each directory that a variable lists */
};

/* In a pattern %v is the interpreter's version, "3.11", and %t the same without its dot. */
struct location {
	const char *interpreter; /* how its name begins */
	enum base base;
	const char *variable;
	const char *pattern;
	enum driver_kind kind;
};

#define PYTHON_LINKED                                                                          \
	"{{psycopg2,psycopg_c,psycopg_binary}/{_psycopg,pq},_pg}{.cpython-%t-*,.abi3,}.so"
#define PYTHON_CTYPES   "psycopg/pq/pq_ctypes.py"
#define PYTHON_PROTOCOL "{asyncpg,pg8000}/__init__.py"

#define PYTHON(base, variable, directory)                                                      \
	{"python", base, variable, directory PYTHON_LINKED, DRIVER_LINKED},                    \
		{"python", base, variable, directory PYTHON_CTYPES, DRIVER_CTYPES},            \
	{                                                                                      \
		"python", base, variable, directory PYTHON_PROTOCOL, DRIVER_PROTOCOL           \
	}

static const struct location locations[] = {
	PYTHON(VARIABLE, "PYTHONPATH", ""),
	PYTHON(SCRIPT, NULL, ""),
	PYTHON(PREFIX, NULL, "lib{,64}/python%v/{site,dist}-packages/"),
	PYTHON(PREFIX, NULL, "local/lib/python%v/{site,dist}-packages/"),
	PYTHON(PREFIX, NULL, "lib/python3/dist-packages/"),
	PYTHON(HOME, NULL, ".local/lib/python%v/site-packages/"),
	{"perl", VARIABLE, "PERL5LIB", "{,*/}auto/DBD/Pg/Pg.so", DRIVER_LINKED},
	{"perl", PREFIX, NULL,
         "{,local/}{lib,lib64,lib/*,share}/perl{,5}/{,*/}{,*/}auto/DBD/Pg/Pg.so",
         DRIVER_LINKED},
	{"perl", PREFIX, NULL, "{,local/}share/perl{,5}/{,*/}DBD/PgPP.pm", DRIVER_PROTOCOL},
	{"php", PREFIX, NULL, "lib{,64}/php/{,*/}{,*/}{pgsql,pdo_pgsql}.so", DRIVER_LINKED},
	{"ruby", VARIABLE, "RUBYLIB", "pg_ext.so", DRIVER_LINKED},
	{"ruby", VARIABLE, "GEM_HOME", "{gems/pg-*/lib,extensions/*/*/pg-*}/pg_ext.so",
         DRIVER_LINKED},
	{"ruby", PREFIX, NULL, "{,local/}lib/{,*/}ruby/{vendor,site}_ruby/%v.0/{,*/}pg_ext.so",
         DRIVER_LINKED},
	{"ruby", PREFIX, NULL, "lib/ruby/gems/*/{gems/pg-*/lib,extensions/*/*/pg-*}/pg_ext.so",
         DRIVER_LINKED},
	{"ruby", ROOT, NULL, "var/lib/gems/*/{gems/pg-*/lib,extensions/*/*/pg-*}/pg_ext.so",
         DRIVER_LINKED},
	{"node", VARIABLE, "NODE_PATH", "libpq/build/Release/addon.node", DRIVER_LINKED},
	{"node", SCRIPT, NULL, "{,../}node_modules/libpq/build/Release/addon.node",
         DRIVER_LINKED},
	{"node", SCRIPT, NULL, "{,../}node_modules/pg/package.json", DRIVER_PROTOCOL},
};

#define LOCATIONS (sizeof(locations) / sizeof(locations[0]))

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* "/usr/bin/python3" is a link to the one whose name tells the version. */
static void real_path(const char *path, char buf[PATH_MAX])
{
	if (realpath(path, buf) == NULL) {
		snprintf(buf, PATH_MAX, "%s", path);
	}
}

/* From the root, so that there are directories above it; what is a link itself stays one. */
static void whole_path(const char *path, char buf[PATH_MAX])
{
	const char *name = base_name(path);
	char folder[PATH_MAX];
	char real[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path), path);
	if (realpath(folder, real) == NULL ||
	    snprintf(buf, PATH_MAX, "%s/%s", real, name) >= PATH_MAX) {
		snprintf(buf, PATH_MAX, "%s", path);
	}
}

static bool is_named(const char *path, const char *name)
{
	return strncmp(base_name(path), name, strlen(name)) == 0;
}

bool drivers_is_interpreter(const char *interpreter)
{
	char real[PATH_MAX];

	real_path(interpreter, real);
	for (size_t i = 0; i < LOCATIONS; i++) {
		if (is_named(real, locations[i].interpreter)) {
			return true;
		}
	}
	return false;
}

/* The version in "python3.11" or "libperl.so.5.36", "*" if there is none. */
static void version_of(const char *real, char version[VERSION_BYTES])
{
	const char *name = base_name(real);
	const char *digits = name + strcspn(name, "0123456789");
	size_t len = strspn(digits, "0123456789.");

	while (len > 0 && digits[len - 1] == '.') {
		len--;
	}
	if (len > 0 && len < VERSION_BYTES) {
		snprintf(version, VERSION_BYTES, "%.*s", (int)len, digits);
	} else {
		snprintf(version, VERSION_BYTES, "*");
	}
}

bool drivers_embedded(const char *library, char interpreter[PATH_MAX])
{
	const char *name = base_name(library);
	char version[VERSION_BYTES];
	char real[PATH_MAX];
	const char *lib;

	/* /lib/x.so is /usr/lib/x.so, in whose folders the modules are. */
	real_path(library, real);
	lib = strstr(real, "/lib");
	lib = lib != NULL ? lib : real;
	version_of(library, version);
	for (size_t i = 0; i < LOCATIONS && strncmp(name, "lib", 3) == 0; i++) {
		const char *called = locations[i].interpreter;
		size_t len = strlen(called);

		if (strncmp(name + 3, called, len) == 0 && version[0] != '*' &&
		    strchr("0123456789.-", name[3 + len]) != NULL) {
			return snprintf(interpreter, PATH_MAX, "%.*s/bin/%s%s",
			                (int)(lib - real), real, called, version) < PATH_MAX;
		}
	}
	return false;
}

bool drivers_is_deepbound(const char *interpreter)
{
	char real[PATH_MAX];
	char version[VERSION_BYTES];
	int major = 0;
	int minor = 0;

	real_path(interpreter, real);
	version_of(real, version);
	/* PHP does it until 8.4; without a version in its name it is taken for one of them. */
	return is_named(real, "php") && (sscanf(version, "%d.%d", &major, &minor) != 2 ||
	                                 major < 8 || (major == 8 && minor < 5));
}

struct search {
	const struct location *location;
	const char *version;
	drivers_each *each;
	void *arg;
};

/* "%v" and "%t" put in; false if it does not fit. */
static bool fill_in(const char *directory, size_t len, const struct search *search,
                    char pattern[PATH_MAX])
{
	int n = snprintf(pattern, PATH_MAX, "%.*s/", (int)len, directory);
	const char *from = search->location->pattern;
	size_t at = (size_t)n;

	while (n >= 0 && at + VERSION_BYTES < PATH_MAX && *from != '\0') {
		if (from[0] == '%') {
			for (const char *v = search->version; *v != '\0'; v++) {
				if (*v != '.' || from[1] == 'v') {
					pattern[at++] = *v;
				}
			}
			from += 2;
		} else {
			pattern[at++] = *from++;
		}
	}
	pattern[at < PATH_MAX ? at : PATH_MAX - 1] = '\0';
	return *from == '\0';
}

static void look_in(const char *directory, size_t len, const struct search *search)
{
	char pattern[PATH_MAX];
	glob_t found;

	/* A directory whose own name is a pattern would be taken for one. */
	if (memchr(directory, '*', len) != NULL || memchr(directory, '{', len) != NULL ||
	    memchr(directory, '[', len) != NULL || !fill_in(directory, len, search, pattern)) {
		return;
	}
	/* "a{,b}" leaves what does not exist only with GLOB_NOMAGIC or GLOB_NOCHECK. */
	if (glob(pattern, GLOB_BRACE, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			if (access(found.gl_pathv[i], F_OK) == 0) {
				search->each(search->location->kind, found.gl_pathv[i],
				             search->arg);
			}
		}
	}
	globfree(&found);
}

static void look_in_each(const char *list, const struct search *search)
{
	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ":");

		if (len > 0) {
			look_in(list, len, search);
		}
		list += len + (list[len] == ':');
	}
}

/* The directory `levels` above a file. */
static void look_above(const char *file, int levels, const struct search *search)
{
	size_t len = strlen(file);

	for (; levels > 0 && len > 0; levels--) {
		const char *slash = memrchr(file, '/', len);

		if (slash == NULL) {
			return;
		}
		len = (size_t)(slash - file);
	}
	look_in(file, len, search);
}

/* Whether two files are in one directory. */
static bool is_beside(const char *a, const char *b)
{
	size_t a_len = (size_t)(base_name(a) - a);

	return a_len == (size_t)(base_name(b) - b) && strncmp(a, b, a_len) == 0;
}

static void look_at(const struct search *search, const char *called, const char *real,
                    const char *script)
{
	switch (search->location->base) {
	case ROOT:
		look_in("", 0, search);
		break;
	case PREFIX:
		look_above(real, 2, search);
		if (!is_beside(called, real)) {
			look_above(called, 2, search); /* a virtual environment */
		}
		break;
	case SCRIPT:
		if (script != NULL) {
			look_above(script, 1, search);
		}
		break;
	case HOME:
		look_in_each(getenv("HOME"), search);
		break;
	case VARIABLE:
		look_in_each(getenv(search->location->variable), search);
		break;
	}
}

void drivers_find(const char *interpreter, const char *script, drivers_each *each, void *arg)
{
	char called[PATH_MAX];
	char real[PATH_MAX];
	char version[VERSION_BYTES];

	whole_path(interpreter, called);
	real_path(interpreter, real);
	version_of(real, version);
	for (size_t i = 0; i < LOCATIONS; i++) {
		struct search search = {&locations[i], version, each, arg};

		if (is_named(real, locations[i].interpreter)) {
			look_at(&search, called, real, script);
		}
	}
}
