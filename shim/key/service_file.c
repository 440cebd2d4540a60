/* SPDX-License-Identifier: PostgreSQL */
/* The service files that a connect depends on. */
#include "key/service_file.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dl.h"
#include "base/fd.h"
#include "base/text/path.h"
#include "key/home_folder.h"

/* A larger one is not read, nor its service pooled. */
#define FILE_MAX ((size_t)16 << 20)

/* Absolute paths among the constants of a libpq: Debian's has three. */
#define FOLDERS_MAX 12

enum finding {
	ABSENT,  /* there is no such file */
	WITHOUT, /* the service is not in it */
	FOUND,
	BARRED, /* not to be relied upon */
};

/* ---- a service file ---------------------------------------------------------------- */

/* "[name]", whatever follows. */
static bool is_heading_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strchr(name, '\n') == NULL && strncmp(line + 1, name, len) == 0 &&
	       line[len + 1] == ']';
}

/* What a locale may take for a blank, and libpq leaves out, is one here. */
static const char *skip_blanks(const char *line)
{
	while (*line != '\0' && *line != '\n' && (*line <= ' ' || *line >= 0x7f)) {
		line++;
	}
	return line;
}

/* Line by line as libpq reads it, up to the end of the service's group. */
static enum finding find_group(const char *text, const char *name)
{
	bool inside = false;

	while (*text != '\0') {
		text += strspn(text, " \t\r\n\v\f");
		if (*text == '[') {
			if (inside) {
				return FOUND;
			}
			inside = is_heading_of(text, name);
		} else if (inside && strncmp(skip_blanks(text), "ldap", 4) == 0) {
			return BARRED;
		}
		text += strcspn(text, "\n");
	}
	return inside ? FOUND : WITHOUT;
}

static enum finding look_into(const char *path, const char *name)
{
	struct stat st;
	char *text;
	enum finding finding = BARRED;

	if (stat(path, &st) != 0) {
		return ABSENT;
	}
	text = fd_read_text(path, FILE_MAX);
	if (text != NULL) {
		size_t len = strlen(text);

		/* libpq reads on behind a NUL. */
		finding = len == (size_t)st.st_size ? find_group(text, name) : BARRED;
		/* There may be passwords in it. */
		explicit_bzero(text, len);
		free(text);
	}
	return finding;
}

static enum finding look_into_folder(struct file_stamp_list *watches, const char *folder,
                                     const char *name)
{
	char *path = path_join(folder, "pg_service.conf");
	enum finding finding = BARRED;

	if (path != NULL) {
		file_stamp_add(watches, path);
		finding = look_into(path, name);
		free(path);
	}
	return finding;
}

/* ---- the compiled-in folder ---------------------------------------------------------- */

struct folders {
	uintptr_t base; /* of the libpq */
	char *paths[FOLDERS_MAX];
	size_t count;
	bool failed;
};

static void note_path(struct folders *folders, const char *path)
{
	for (size_t i = 0; i < folders->count; i++) {
		if (strcmp(folders->paths[i], path) == 0) {
			return;
		}
	}
	if (folders->count == FOLDERS_MAX ||
	    (folders->paths[folders->count] = strdup(path)) == NULL) {
		folders->failed = true;
		return;
	}
	folders->count++;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A constant that may name a folder: an absolute path, of printable characters. */
static bool may_be_folder(const char *text, const char *end)
{
	const char *c = text;

	while (c < end && (unsigned char)*c > ' ' && (unsigned char)*c < 0x7f) {
		c++;
	}
	return c < end && *c == '\0' && c - text > 3 && is_letter(text[1]);
}

static void collect_paths(struct folders *folders, const char *from, const char *to)
{
	const char *slash = from;

	while ((slash = memchr(slash, '/', (size_t)(to - slash))) != NULL) {
		if (slash > from && slash[-1] == '\0' && may_be_folder(slash, to)) {
			note_path(folders, slash);
		}
		slash++;
	}
}

/* Constants are in a segment that cannot be written; older linkers put the code with them. */
static int collect_of_libpq(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct folders *folders = arg;

	(void)size;
	if (info->dlpi_addr != folders->base) {
		return 0;
	}
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const char *from = (const char *)info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type == PT_LOAD && (segment->p_flags & (PF_R | PF_W)) == PF_R) {
			collect_paths(folders, from, from + segment->p_filesz);
		}
	}
	return 1;
}

static enum finding look_into_system(struct file_stamp_list *watches, const struct conninfo *ci,
                                     const char *name)
{
	const char *folder = getenv("PGSYSCONFDIR");
	struct folders folders = {.base = ci->libpq->base};
	enum finding finding = ABSENT;

	if (folder != NULL) {
		return look_into_folder(watches, folder, name);
	}
	dl_iterate(collect_of_libpq, &folders);
	/* Which of them it is cannot be told: all are watched. */
	for (size_t i = 0; i < folders.count; i++) {
		enum finding one = look_into_folder(watches, folders.paths[i], name);

		finding = one > finding ? one : finding;
		free(folders.paths[i]);
	}
	return folders.failed ? BARRED : finding;
}

/* ---- all of them --------------------------------------------------------------------- */

/* The file that is named; NULL if none is. */
static const char *named_file(const struct conninfo *ci)
{
	size_t row = conninfo_row(ci, "servicefile");

	return row < ci->count && ci->given[row] != NULL ? ci->given[row]
	                                                 : getenv("PGSERVICEFILE");
}

static enum finding look_into_own(struct file_stamp_list *watches, const struct conninfo *ci,
                                  const char *name)
{
	const char *named = named_file(ci);
	char *home = named == NULL ? home_folder_find(ci->libpq) : NULL;
	char *path = home != NULL ? path_join(home, ".pg_service.conf") : NULL;
	/* Where memory is out libpq may find a home that we do not. */
	enum finding finding = BARRED;

	if (named != NULL || path != NULL) {
		file_stamp_add(watches, named != NULL ? named : path);
		finding = look_into(named != NULL ? named : path, name);
	}
	free(home);
	free(path);
	/* libpq fails without the file that is named. */
	return named != NULL && finding == ABSENT ? BARRED : finding;
}

bool service_file_watch(struct file_stamp_list *watches, const struct conninfo *ci)
{
	const char *name = conninfo_service(ci);
	enum finding finding;

	if (name == NULL) {
		return true;
	}
	finding = look_into_own(watches, ci, name);
	if (finding == ABSENT || finding == WITHOUT) {
		finding = look_into_system(watches, ci, name);
	}
	return finding == FOUND;
}
