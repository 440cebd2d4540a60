/* SPDX-License-Identifier: PostgreSQL */
/*
 * throws PLACE LIMIT: calls of libpq's that an exception passes through, LIMIT + 1 times.
 *
 * PLACE  notice   PQexec, from a notice processor
 *        query    PQexec, from a signal handler, while it waits for the answer
 *        opening  PQconnectdb, from a signal handler, to a server that does not answer
 *
 * At the end LIMIT connections are taken again.
 */
#include <libpq-fe.h>

#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>

static std::string silent;

static void process(void *, const char *message)
{
	throw std::runtime_error(message);
}

static void handle(int)
{
	throw std::runtime_error("signal\n");
}

static void ring_soon()
{
	struct itimerval soon = {};

	soon.it_value.tv_usec = 100000;
	setitimer(ITIMER_REAL, &soon, nullptr);
}

static void be_silent()
{
	struct sockaddr_in address = {};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, reinterpret_cast<sockaddr *>(&address), len) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, reinterpret_cast<sockaddr *>(&address), &len) != 0) {
		exit(96);
	}
	silent = "host=127.0.0.1 connect_timeout=60 port=" +
	         std::to_string(ntohs(address.sin_port));
}

static PGconn *take()
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK) {
		fputs(PQerrorMessage(conn), stderr);
		exit(99);
	}
	return conn;
}

static void leave(const std::string &place)
{
	PGconn *conn = place == "opening" ? nullptr : take();

	try {
		if (place == "notice") {
			PQsetNoticeProcessor(conn, process, nullptr);
			PQclear(PQexec(conn, "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$"));
		} else {
			ring_soon();
			if (place == "query") {
				PQclear(PQexec(conn, "SELECT pg_sleep(2)"));
			} else {
				PQconnectdb(silent.c_str());
			}
		}
		puts("came back");
	} catch (const std::runtime_error &error) {
		fputs(error.what(), stdout);
	}
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	const std::string place = argc > 1 ? argv[1] : "";
	int limit = argc > 2 ? atoi(argv[2]) : 1;
	PGconn *held[16];
	struct timespec begin, end;

	be_silent();
	for (int i = 0; i <= limit; i++) {
		struct sigaction action = {};

		/* The handler is not come back from: it must not stay blocked. */
		action.sa_handler = handle;
		action.sa_flags = SA_NODEFER;
		sigaction(SIGALRM, &action, nullptr);
		leave(place);
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < limit; i++) {
		held[i] = take();
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%d taken %s\n", limit, end.tv_sec - begin.tv_sec < 3 ? "at once" : "late");
	for (int i = 0; i < limit; i++) {
		PQfinish(held[i]);
	}
	return 0;
}
