/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's socket, and the directory that it is in. */
#include "common/keeper/place.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text/path.h"
#include "common/xalloc.h"
#include "share/keeper_protocol.h"
#include "trace/status/page_dir.h"

/* A path, or a word. */
#define SHARE "PQPOOL_SHARE"

/* ---- the directory ---- */

/* Opens it if it is to be trusted. */
static int open_private(const char *path)
{
	int handle = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (handle < 0) {
		return -1;
	}
	if (fstat(handle, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		close(handle);
		errno = EACCES;
		return -1;
	}
	return handle;
}

static bool open_given(struct keeper_place *place, const char *path, bool make)
{
	char *copy = xalloc_copy(path, strlen(path));
	const char *folder = dirname(copy);

	place->path = xalloc_copy(path, strlen(path));
	if (!make || mkdir(folder, 0700) == 0 || errno == EEXIST) {
		place->directory = open_private(folder);
	}
	free(copy);
	return place->directory >= 0;
}

static bool has_socket(int directory)
{
	struct stat st;

	return fstatat(directory, KEEPER_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISSOCK(st.st_mode);
}

static bool open_usual(struct keeper_place *place, bool make)
{
	int places = make ? PAGE_DIR_MAKERS : PAGE_DIR_PLACES;
	char path[PAGE_DIR_PATH_BYTES];

	for (int i = 0; i < places; i++) {
		int directory = page_dir_open((enum page_dir_place)i, make, path);

		if (directory < 0) {
			continue;
		}
		if (make || has_socket(directory)) {
			place->directory = directory;
			place->path = path_join(path, KEEPER_SOCKET);
			return place->path != NULL;
		}
		close(directory);
	}
	errno = ENOENT;
	return false;
}

bool place_open(struct keeper_place *place, const char *path, bool make)
{
	const char *share = getenv(SHARE);
	const char *slash;

	*place = (struct keeper_place){.directory = -1};
	if (path == NULL && share != NULL && share[0] == '/') {
		path = share;
	}
	if (path != NULL ? !open_given(place, path, make) : !open_usual(place, make)) {
		return false;
	}
	slash = strrchr(place->path, '/');
	slash = slash != NULL ? slash + 1 : place->path;
	place->name = xalloc_copy(slash, strlen(slash));
	return true;
}

void place_complain(const struct keeper_place *place)
{
	if (place->path == NULL) {
		warnx("no keeper of this user's: no directory has its socket; see pqpool keep "
		      "--help");
	} else if (errno == EACCES || errno == ELOOP || errno == ENOTDIR) {
		warnx("%s: its directory must be this user's, closed to others", place->path);
	} else {
		warn("%s", place->path);
	}
}

void place_close(struct keeper_place *place)
{
	if (place->directory >= 0) {
		close(place->directory);
	}
	free(place->path);
	free(place->name);
}

/* ---- the socket ---- */

bool place_name(const struct keeper_place *place, struct sockaddr_un *address)
{
	int n;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
	             place->directory, place->name);
	errno = ENAMETOOLONG;
	return n > 0 && (size_t)n < sizeof(address->sun_path);
}

int place_connect(const struct keeper_place *place)
{
	struct sockaddr_un address;
	struct ucred other;
	socklen_t n = sizeof(other);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return -1;
	}
	if (!place_name(place, &address) ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &n) != 0) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		return -1;
	}
	if (other.uid != geteuid()) {
		close(fd);
		errno = EACCES;
		return -1;
	}
	return fd;
}
