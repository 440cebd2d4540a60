/* SPDX-License-Identifier: PostgreSQL */
/* Makes the keeper's listening socket. */
#include "keep/listen.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_FD      3 /* the first that a service manager passes (sd_listen_fds(3)) */
#define LISTEN_BACKLOG 4096

static bool made_socket;
static struct stat named; /* the socket's file */

/* Taken until the process ends; false: complained of. */
static bool lock_place(const struct keeper_place *place)
{
	char *name;
	int fd;

	if (asprintf(&name, "%s.lock", place->name) < 0) {
		warn("keep: %s.lock", place->path);
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

static bool look(const struct keeper_place *place, struct stat *st)
{
	return fstatat(place->directory, place->name, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISSOCK(st->st_mode);
}

int listen_at(const struct keeper_place *place)
{
	struct sockaddr_un address;
	struct stat st;
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
	if (fd < 0 || !place_name(place, &address)) {
		warn("keep: %s", place->path);
		return -1;
	}
	/* What a keeper before this one has left; any other file is somebody's. */
	if (look(place, &st)) {
		unlinkat(place->directory, place->name, 0);
	}
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

/* The file's count of names changes; nothing else happens to it in its life. */
int listen_watch_name(const struct keeper_place *place)
{
	struct sockaddr_un address;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0 && (!place_name(place, &address) || !look(place, &named) ||
	                inotify_add_watch(fd, address.sun_path,
	                                  IN_ATTRIB | IN_MOVE_SELF | IN_DONT_FOLLOW) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool listen_has_name(const struct keeper_place *place)
{
	struct stat st;

	return look(place, &st) && st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

void listen_end(const struct keeper_place *place)
{
	if (made_socket) {
		unlinkat(place->directory, place->name, 0);
	}
}
