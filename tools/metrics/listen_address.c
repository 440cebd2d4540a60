/* SPDX-License-Identifier: PostgreSQL */
/* Where `pqpool metrics --listen` listens. */
#include "metrics/listen_address.h"

#include <err.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/exit_status.h"
#include "common/xalloc.h"

#define BACKLOG 64

static bool is_port(const char *text)
{
	char *end;

	return *text >= '0' && *text <= '9' && strlen(text) <= 5 &&
	       strtoul(text, &end, 10) <= 65535 && *end == '\0';
}

/* Takes `text`, which is changed, apart; NULL: it is no address. */
static struct addrinfo *resolve(char *text)
{
	static char loopback[] = "127.0.0.1";
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	                               .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char *colon = strrchr(text, ':');
	char *host = loopback;
	char *port = text;

	if (colon != NULL) {
		*colon = '\0';
		port = colon + 1;
		host = text;
		if (*text == '[' && colon[-1] == ']') {
			colon[-1] = '\0';
			host++;
		} else if (strchr(text, ':') != NULL) {
			return NULL; /* is its last number a port? */
		}
	}
	if (*host == '\0' || !is_port(port) || getaddrinfo(host, port, &hints, &found) != 0) {
		return NULL;
	}
	return found;
}

/* -1: see errno. */
static int listen_on(const struct addrinfo *address)
{
	const int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* [::] is not meant to be 0.0.0.0, too. */
	if (address->ai_family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int listen_address_open(const char *text, int *status)
{
	char *copy = xalloc_copy(text, strlen(text));
	struct addrinfo *address = resolve(copy);
	int fd;

	free(copy);
	if (address == NULL) {
		warnx("metrics: \"%s\": expected ADDRESS:PORT, with an IPv6 address in "
		      "brackets, or PORT",
		      text);
		*status = EXIT_USAGE;
		return -1;
	}
	fd = listen_on(address);
	if (fd < 0) {
		warn("%s", text);
		*status = EXIT_FAILED;
	}
	freeaddrinfo(address);
	return fd;
}

char *listen_address_of(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t n = sizeof(address);
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];
	char *text;

	if (getsockname(fd, (struct sockaddr *)&address, &n) != 0 ||
	    getnameinfo((struct sockaddr *)&address, n, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
	    asprintf(&text, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port) <
	            0) {
		return xalloc_copy("?", 1);
	}
	return text;
}
