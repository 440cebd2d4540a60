/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's socket, and the directory that it is in. */
#include "keep/place.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "share/keeper_protocol.h"
#include "trace/status/page_dir.h"

#define LISTEN_FD      3 /* the first that a service manager passes (sd_listen_fds(3)) */
#define LISTEN_BACKLOG 4096

static bool made_socket;

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

static bool open_given(struct place *place, const char *path, bool make)
{
	char *copy = xalloc_copy(path, strlen(path));
	const char *folder = dirname(copy);

	if (make && mkdir(folder, 0700) != 0 && errno != EEXIST) {
		warn("keep: %s", folder);
		free(copy);
		return false;
	}
	place->path = xalloc_copy(path, strlen(path));
	place->directory = open_private(folder);
	if (place->directory < 0) {
		warn("keep: %s must be a directory of this user's, closed to others", folder);
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

static bool open_usual(struct place *place, bool make)
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
			if (asprintf(&place->path, "%s/" KEEPER_SOCKET, path) < 0) {
				err(125, NULL);
			}
			return true;
		}
		close(directory);
	}
	warnx(make ? "keep: no directory in memory for the socket; see --socket"
	           : "no keeper runs for this user; see --socket");
	return false;
}

bool place_open(struct place *place, const char *path, bool make)
{
	const char *slash;

	*place = (struct place){.directory = -1};
	if (path != NULL ? !open_given(place, path, make) : !open_usual(place, make)) {
		return false;
	}
	slash = strrchr(place->path, '/');
	slash = slash != NULL ? slash + 1 : place->path;
	place->name = xalloc_copy(slash, strlen(slash));
	return true;
}

void place_close(struct place *place)
{
	if (place->directory >= 0) {
		close(place->directory);
	}
	free(place->path);
	free(place->name);
}

/* ---- the socket ---- */

/*
 * The socket's address by way of the open directory, whatever its path leads to by now, and
 * however long that is.
 */
static bool name_socket(const struct place *place, struct sockaddr_un *address)
{
	int n;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
	             place->directory, place->name);
	errno = ENAMETOOLONG;
	return n > 0 && (size_t)n < sizeof(address->sun_path);
}

/* Taken until the process ends; false: complained of. */
static bool lock_place(const struct place *place)
{
	char *name;
	int fd;

	if (asprintf(&name, "%s.lock", place->name) < 0) {
		return false;
	}
	fd = openat(place->directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(name);
	if (fd < 0) {
		warn("keep: %s.lock", place->path);
		return false;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK) {
			warnx("keep: %s: another keeper serves it", place->path);
		} else {
			warn("keep: %s.lock", place->path);
		}
		close(fd);
		return false;
	}
	return true;
}

static int passed_socket(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	int type = 0;
	socklen_t n = sizeof(type);

	if (pid == NULL || count == NULL || atol(pid) != getpid() || atoi(count) < 1) {
		return -1;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &n) != 0 ||
	    type != SOCK_SEQPACKET) {
		warnx("keep: the socket that was passed is not of type SOCK_SEQPACKET "
		      "(ListenSequentialPacket=)");
		return -1;
	}
	fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
	fcntl(LISTEN_FD, F_SETFL, fcntl(LISTEN_FD, F_GETFL) | O_NONBLOCK);
	return LISTEN_FD;
}

int place_listen(const struct place *place)
{
	struct sockaddr_un address;
	mode_t mask;
	int fd;
	bool bound;

	if (!lock_place(place)) {
		return -1;
	}
	fd = passed_socket();
	if (fd >= 0) {
		return fd;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !name_socket(place, &address)) {
		warn("keep: %s", place->path);
		return -1;
	}
	unlinkat(place->directory, place->name, 0);
	mask = umask(077);
	bound = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	umask(mask);
	if (!bound || listen(fd, LISTEN_BACKLOG) != 0) {
		warn("keep: %s", place->path);
		close(fd);
		return -1;
	}
	made_socket = true;
	return fd;
}

void place_leave(const struct place *place)
{
	if (made_socket) {
		unlinkat(place->directory, place->name, 0);
	}
}

int place_connect(const struct place *place)
{
	struct sockaddr_un address;
	struct ucred other;
	socklen_t n = sizeof(other);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return -1;
	}
	if (!name_socket(place, &address) ||
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
