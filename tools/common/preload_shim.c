/* SPDX-License-Identifier: PostgreSQL */
/* Finds libpqpool.so and has the dynamic linker load it into the next program. */
#include "common/preload_shim.h"

#include <err.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/version.h"
#include "base/elf/elf_note.h"

#define LIBRARY "libpqpool.so"

/* Where `make install` puts the library, from where it puts this tool. */
#ifndef PQPOOL_LIBDIR
#define PQPOOL_LIBDIR "../lib"
#endif

/* What separates names in LD_PRELOAD, and white space that would not survive a shell. */
#define SEPARATORS ": \t\n\v\f\r"

/* The library in the directory `base`/`name`; NULL if it is not there. */
static char *look_in(const char *base, const char *name)
{
	char path[2 * PATH_MAX];
	char *real;
	char *found = NULL;

	snprintf(path, sizeof(path), "%s/%s", base, name);
	/* The directory's real name, but the library's own: it may be a link to a version. */
	real = realpath(path, NULL);
	if (real == NULL) {
		return NULL;
	}
	if (asprintf(&found, "%s/" LIBRARY, real) < 0) {
		found = NULL;
	} else if (access(found, R_OK) != 0) {
		free(found);
		found = NULL;
	}
	free(real);
	return found;
}

/* This tool's directory in `buf`; false if the system does not tell. */
static bool own_directory(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n <= 0) {
		return false;
	}
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (slash == NULL) {
		return false;
	}
	*slash = '\0';
	return true;
}

static char *find_anywhere(void)
{
	char own[PATH_MAX];
	char *found;

	if (!own_directory(own, sizeof(own))) {
		return NULL;
	}
	found = look_in(own, ".");
	return found != NULL ? found : look_in(own, PQPOOL_LIBDIR);
}

char *preload_shim_find(void)
{
	char *found = find_anywhere();

	if (found == NULL) {
		warnx(LIBRARY " is neither beside this tool nor in " PQPOOL_LIBDIR
		              " from there: install both together");
		return NULL;
	}
	if (strpbrk(found, SEPARATORS) != NULL) {
		warnx("%s cannot be preloaded: its path has a colon or white space", found);
		free(found);
		return NULL;
	}
	return found;
}

static bool is_listed(const char *list, const char *library)
{
	size_t wanted = strlen(library);

	while (*list != '\0') {
		size_t len = strcspn(list, ": ");

		if (len == wanted && strncmp(list, library, len) == 0) {
			return true;
		}
		list += len;
		list += strspn(list, ": ");
	}
	return false;
}

bool preload_shim_set(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	char *list;
	bool done;

	if (before == NULL || before[0] == '\0') {
		return setenv("LD_PRELOAD", library, 1) == 0;
	}
	if (is_listed(before, library)) {
		return true;
	}
	if (asprintf(&list, "%s:%s", library, before) < 0) {
		return false;
	}
	done = setenv("LD_PRELOAD", list, 1) == 0;
	free(list);
	return done;
}

char *preload_shim_version(const char *library)
{
	char notes[ELF_NOTES_BYTES];
	struct elf_file elf;
	const char *version;
	char *found = NULL;
	size_t len;

	if (!elf_file_open(&elf, library)) {
		return NULL;
	}
	version = elf_note_of_file(&elf, notes, VERSION_NOTE_OWNER, NT_VERSION, &len);
	if (version != NULL) {
		found = strndup(version, len);
	}
	elf_file_close(&elf);
	return found;
}
