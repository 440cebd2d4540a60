/* SPDX-License-Identifier: PostgreSQL */
/* A file that is there whole, or as it was before. */
#include "report/output_file.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

/* Another kind of file there would be lost, or what a link names written by whoever made it. */
static bool may_replace(const char *name)
{
	struct stat st;

	if (lstat(name, &st) != 0 && errno != ENOENT) {
		warn("%s", name);
		return false;
	}
	if (lstat(name, &st) == 0 && !S_ISREG(st.st_mode)) {
		warnx("%s: not replaced, as it is not a file%s", name,
		      S_ISLNK(st.st_mode) ? " but a link" : "");
		return false;
	}
	return true;
}

bool output_file_open(struct output_file *file, const char *name)
{
	int fd;

	*file = (struct output_file){.name = name};
	if (!may_replace(name)) {
		return false;
	}
	if (asprintf(&file->temporary, "%s.XXXXXX", name) < 0) {
		xalloc_added(NULL);
	}
	fd = mkostemp(file->temporary, O_CLOEXEC);
	if (fd >= 0) {
		file->to = fdopen(fd, "w");
	}
	if (file->to == NULL) {
		warn("%s", fd < 0 ? name : file->temporary);
		free(file->temporary);
		return false;
	}
	return true;
}

bool output_file_finish(struct output_file *file)
{
	bool written = ferror(file->to) == 0;

	written = fclose(file->to) == 0 && written;
	written = written && rename(file->temporary, file->name) == 0;
	if (!written) {
		warn("%s", file->name);
		unlink(file->temporary);
	}
	free(file->temporary);
	return written;
}
