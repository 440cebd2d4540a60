/* SPDX-License-Identifier: PostgreSQL */
/* The folders from which a program may load modules at run time, as its files tell. */
#include "doctor/modules/module_folders.h"

#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- paths among the constants of an object ---- */

static bool is_path_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("/._+-@", c) != NULL);
}

/* The folder of that path, or the one that its last component is in: "/usr/lib/x/%s.so" ends
 * at the %. */
static void pass_path(const char *begin, size_t len, module_folders_each *each, void *arg)
{
	char path[PATH_MAX];
	struct stat st;
	char *slash;

	if (len >= sizeof(path)) {
		return;
	}
	memcpy(path, begin, len);
	path[len] = '\0';
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		slash = strrchr(path, '/');
		*slash = '\0';
	}
	if (strchr(path + (path[0] != '\0'), '/') != NULL) {
		each(path, arg);
	}
}

/* A path begins with a slash that no letter is before. */
static void pass_paths(const char *bytes, size_t count, module_folders_each *each, void *arg)
{
	const char *end = bytes + count;
	const char *at = bytes;

	while ((at = memchr(at, '/', (size_t)(end - at))) != NULL) {
		const char *begin = at;

		while (at < end && is_path_byte(*at)) {
			at++;
		}
		if ((begin == bytes || !is_path_byte(begin[-1])) && at - begin > 2 &&
		    begin[1] != '/' && memmem(begin, (size_t)(at - begin), "..", 2) == NULL) {
			pass_path(begin, (size_t)(at - begin), each, arg);
		}
	}
}

void module_folders_named(const struct elf_object *object, size_t limit,
                          module_folders_each *each, void *arg)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	/* Constants, variables with a value (Tcl's path), and DT_RUNPATH among the names. */
	while ((section = elf_nextscn(object->elf, section)) != NULL) {
		Elf_Data *data;

		if (gelf_getshdr(section, &header) == NULL ||
		    (header.sh_type != SHT_PROGBITS && header.sh_type != SHT_STRTAB) ||
		    (header.sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) != SHF_ALLOC) {
			continue;
		}
		data = elf_getdata(section, NULL);
		if (data != NULL && data->d_buf != NULL && data->d_size <= limit) {
			limit -= data->d_size;
			pass_paths(data->d_buf, data->d_size, each, arg);
		}
	}
}

/* ---- the table ---- */

/*
 * Only where the general way does not lead there. The pattern begins above the folder bin, sbin
 * or lib that the program or library is in.
 */
static const struct known {
	const char *name; /* without a version at its end */
	const char *pattern;
} table[] = {
	/* apache2.conf names each module, and envvars the folder. */
	{"apache2", "lib/apache2/modules"},
	{"httpd", "lib{,64}/httpd/modules"},
	/* A shell script sets R_HOME. */
	{"R", "{,local/}lib{,64}/R/{site-library,library}"},
	{"Rscript", "{,local/}lib{,64}/R/{site-library,library}"},
	/* odbcinst.ini names the drivers. */
	{"libodbc.so", "lib{,64}{,/*}/odbc"},
};

/* "apache2", "tclsh8.6" and "libodbc.so.2": a version may follow. */
static bool has_name(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	size_t len = strlen(name);

	return strncmp(base, name, len) == 0 &&
	       base[len + strspn(base + len, ".-0123456789")] == '\0';
}

/* The length of "/usr" in "/usr/lib/x.so"; 0 is the root. */
static size_t prefix_length(const char *path)
{
	static const char *const folders[] = {"/bin/", "/sbin/", "/lib/", "/lib64/"};

	const char *first = NULL;

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		const char *found = strstr(path, folders[i]);

		if (found != NULL && (first == NULL || found < first)) {
			first = found;
		}
	}
	return first != NULL ? (size_t)(first - path) : 0;
}

void module_folders_known(const char *path, module_folders_each *each, void *arg)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char pattern[PATH_MAX];
		glob_t found;

		if (!has_name(path, table[i].name) ||
		    snprintf(pattern, sizeof(pattern), "%.*s/%s", (int)prefix_length(path),
		             path, table[i].pattern) >= (int)sizeof(pattern)) {
			continue;
		}
		if (glob(pattern, GLOB_BRACE, NULL, &found) == 0) {
			for (size_t n = 0; n < found.gl_pathc; n++) {
				each(found.gl_pathv[n], arg);
			}
		}
		globfree(&found);
	}
}
