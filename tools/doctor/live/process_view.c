/* SPDX-License-Identifier: PostgreSQL */
/* A running process as /proc shows it. */
#include "doctor/live/process_view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "doctor/live/link_list.h"

/* Nobody has more; a process could have any number. */
#define FILES_MAX         4096
#define ENVIRONMENT_BYTES (1 << 20)
#define AUXV_MAX          64

#define DELETED " (deleted)"

static int open_of(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* As many bytes as there are, `max` at most, with a NUL behind; NULL: errno says why. */
static char *read_of(pid_t pid, const char *what, size_t max, size_t *bytes)
{
	int fd = open_of(pid, what);
	size_t room = 4096;
	char *text;
	ssize_t n;

	*bytes = 0;
	if (fd < 0) {
		return NULL;
	}
	text = xalloc_new(room, 1);
	while ((n = read(fd, text + *bytes, room - *bytes - 1)) > 0 && *bytes < max) {
		*bytes += (size_t)n;
		if (room - *bytes < 2) {
			room *= 2;
			text = xalloc_resize(text, room, 1);
		}
	}
	text[*bytes] = '\0';
	n = n < 0 ? errno : 0;
	close(fd);
	if (n != 0) {
		free(text);
		errno = (int)n;
		return NULL;
	}
	return text;
}

/* ---- files ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void add_file(struct process_view *view, char *path)
{
	size_t len = strlen(path);
	bool deleted =
		len > strlen(DELETED) && strcmp(path + len - strlen(DELETED), DELETED) == 0;

	if (deleted) {
		path[len - strlen(DELETED)] = '\0';
	}
	for (size_t i = 0; i < view->count; i++) {
		if (strcmp(view->files[i].path, path) == 0 &&
		    view->files[i].deleted == deleted) {
			return;
		}
	}
	if (view->count < FILES_MAX) {
		view->files = xalloc_resize(view->files, view->count + 1, sizeof(*view->files));
		view->files[view->count++] =
			(struct mapped_file){.path = xalloc_copy(path, strlen(path)),
		                             .deleted = deleted,
		                             .place = -1};
	}
}

/* Lines of maps: a path begins with a slash, and a newline in it is written as \012. */
static enum process_view_outcome read_files(struct process_view *view)
{
	size_t bytes;
	char *text = read_of(view->pid, "maps", (size_t)16 << 20, &bytes);
	char *rest = NULL;

	if (text == NULL) {
		return errno == ENOENT || errno == ESRCH ? PROCESS_VIEW_GONE
		                                         : PROCESS_VIEW_DENIED;
	}
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *path = strchr(line, '/');

		if (path != NULL) {
			add_file(view, path);
		}
	}
	free(text);
	return bytes > 0 ? PROCESS_VIEW_DONE : PROCESS_VIEW_GONE;
}

/* The file that the linker calls so: by its path, or what that leads to by its last part. */
static void place_file(const char *name, int place, void *arg)
{
	struct process_view *view = arg;

	for (size_t i = 0; i < view->count; i++) {
		const char *path = view->files[i].path;

		if (view->files[i].place < 0 &&
		    (strcmp(path, name) == 0 ||
		     strncmp(base_name(path), base_name(name), strlen(base_name(name))) == 0) &&
		    base_name(name)[0] != '\0') {
			view->files[i].place = place;
			return;
		}
	}
}

/* ---- how it was started ---- */

static void read_auxv(struct process_view *view)
{
	struct {
		unsigned long type;
		unsigned long value;
	} entries[AUXV_MAX];
	unsigned long headers = 0;
	unsigned long count = 0;
	int fd = open_of(view->pid, "auxv");
	ssize_t n = fd >= 0 ? read(fd, entries, sizeof(entries)) : -1;

	if (fd >= 0) {
		close(fd);
	}
	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(entries[0]); i++) {
		switch (entries[i].type) {
		case AT_SECURE:
			view->secure = entries[i].value != 0;
			break;
		case AT_PHDR:
			headers = entries[i].value;
			break;
		case AT_PHNUM:
			count = entries[i].value;
			break;
		default:
			break;
		}
	}
	view->order_known = link_list_read(view->pid, headers, count, place_file, view);
}

static void read_status(struct process_view *view)
{
	size_t bytes;
	char *text = read_of(view->pid, "status", 65536, &bytes);
	char *rest = NULL;

	for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL; line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		int parent;

		if (strncmp(line, "Name:\t", 6) == 0 && view->name == NULL) {
			view->name = xalloc_copy(line + 6, strlen(line + 6));
		}
		sscanf(line, "Uid: %*u %u", &view->user);
		if (sscanf(line, "PPid: %d", &parent) == 1) {
			view->parent = parent;
		}
	}
	free(text);
}

static bool differs(pid_t pid, const char *what)
{
	struct stat own;
	struct stat other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/%s", what);
	if (stat(path, &own) != 0) {
		return false;
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	return stat(path, &other) == 0 &&
	       (own.st_dev != other.st_dev || own.st_ino != other.st_ino);
}

enum process_view_outcome process_view_read(struct process_view *view, pid_t pid)
{
	enum process_view_outcome outcome;

	*view = (struct process_view){.pid = pid};
	outcome = read_files(view);
	read_status(view);
	if (outcome == PROCESS_VIEW_DONE) {
		read_auxv(view);
		view->namespaces = differs(pid, "ns/mnt") || differs(pid, "root");
		view->environment =
			read_of(pid, "environ", ENVIRONMENT_BYTES, &view->environment_bytes);
	}
	return outcome;
}

void process_view_free(struct process_view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		free(view->files[i].path);
	}
	free(view->files);
	free(view->name);
	free(view->environment);
}

/* ---- asking ---- */

const char *process_view_next(const struct process_view *view, const char *string)
{
	const char *end;

	if (view->environment == NULL) {
		return NULL;
	}
	end = view->environment + view->environment_bytes;
	string = string != NULL ? string + strlen(string) + 1 : view->environment;
	return string < end ? string : NULL;
}

const char *process_view_variable(const struct process_view *view, const char *name)
{
	const char *string = NULL;
	size_t len = strlen(name);

	while ((string = process_view_next(view, string)) != NULL) {
		if (strncmp(string, name, len) == 0 && string[len] == '=') {
			return string + len + 1;
		}
	}
	return NULL;
}

const struct mapped_file *process_view_find(const struct process_view *view, const char *name)
{
	for (size_t i = 0; i < view->count; i++) {
		if (strncmp(base_name(view->files[i].path), name, strlen(name)) == 0) {
			return &view->files[i];
		}
	}
	return NULL;
}
