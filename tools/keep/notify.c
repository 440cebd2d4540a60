/* SPDX-License-Identifier: PostgreSQL */
/* Tells the service manager how far the keeper is. */
#include "keep/notify.h"

#include <err.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1;

void notify_begin(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = name != NULL ? strlen(name) : 0;

	if (length == 0) {
		return;
	}
	if ((name[0] != '/' && name[0] != '@') || length > sizeof(address.sun_path)) {
		warnx("keep: NOTIFY_SOCKET \"%s\": no name of a Unix socket", name);
		return;
	}
	memcpy(address.sun_path, name, length);
	if (name[0] == '@') {
		address.sun_path[0] = '\0';
	}
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (manager < 0 ||
	    connect(manager, (const struct sockaddr *)&address,
	            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0) {
		warn("keep: NOTIFY_SOCKET \"%s\"", name);
		if (manager >= 0) {
			close(manager);
			manager = -1;
		}
	}
}

static void tell(const char *state)
{
	if (manager >= 0 && send(manager, state, strlen(state), MSG_NOSIGNAL) < 0) {
		warn("keep: the service manager cannot be told %s", state);
	}
}

void notify_ready(void)
{
	tell("READY=1");
}

void notify_stopping(void)
{
	tell("STOPPING=1");
}
