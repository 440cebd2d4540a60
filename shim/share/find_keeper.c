/* SPDX-License-Identifier: PostgreSQL */
/* Finds the keeper's socket, and connects to it. */
#include "share/find_keeper.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text/strbuf.h"
#include "share/keeper_protocol.h"
#include "trace/status/page_dir.h"

static bool is_own_folder(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 077) == 0;
}

static bool is_own_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid();
}

/* The path in `t` is a socket of this user's, in a folder that is closed to others. */
static bool is_keepers(struct strbuf *t)
{
	char *slash = strrchr(t->buf, '/');
	bool own;

	if (t->cut || slash == NULL || slash == t->buf || !is_own_socket(t->buf)) {
		return false;
	}
	*slash = '\0';
	own = is_own_folder(t->buf);
	*slash = '/';
	return own;
}

bool keeper_find(const char *path, struct sockaddr_un *address)
{
	struct strbuf t;

	address->sun_family = AF_UNIX;
	strbuf_init(&t, address->sun_path, sizeof(address->sun_path));
	if (path != NULL) {
		strbuf_str(&t, path);
		return is_keepers(&t);
	}
	for (int place = 0; place < PAGE_DIR_PLACES; place++) {
		char folder[PAGE_DIR_PATH_BYTES];
		int dir = page_dir_open((enum page_dir_place)place, false, folder);

		if (dir < 0) {
			continue;
		}
		close(dir);
		strbuf_init(&t, address->sun_path, sizeof(address->sun_path));
		strbuf_str(&t, folder);
		strbuf_str(&t, "/" KEEPER_SOCKET);
		if (is_keepers(&t)) {
			return true;
		}
	}
	return false;
}

static bool is_of_this_user(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.uid == geteuid();
}

int keeper_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
	                !is_of_this_user(fd))) {
		close(fd);
		fd = -1;
	}
	return fd >= 0 ? fd_move_up(fd) : -1;
}
