/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asynchronous connects, told step by step what to do: a line of input is a command, an
 * answer ends with a line that holds EOT alone. This long because each command is a small
 * thing that one program does to its connections.
 *
 *   loop HOW            how drive waits: poll, select, epoll, or once (epoll, registering
 *                       again only where the descriptor's number or direction has changed)
 *   start NAME [CONNINFO]   PQconnectStart      params NAME    PQconnectStartParams
 *   connect NAME        PQconnectdb
 *   wait NAME MS        until the socket is ready for what the last step wanted: 1 or 0
 *   step NAME           PQconnectPoll, once     status NAME
 *   drive NAME...       all of these to their ends: "NAME OK" or "NAME FAILED: message"
 *   exec NAME SQL       pid NAME       state NAME       finish NAME
 *   set NAME receiver|processor|nonblocking|verbosity|events|trace
 *   resetstart NAME     from then on drive and step use PQresetPoll
 *   reset NAME          cancel NAME (gets an object)    docancel (uses it)
 *   send NAME SQL       result NAME
 *   answers NAME        what each function of libpq's says of it (answers.h)
 *   fork NAME           a child finishes its copy and exits
 *   forkasks NAME       a child says how it stands, resets it, says so again, and finishes it
 *   thread finish NAME  by another thread
 *   fds                 how many are open       longest   the longest call so far, in ms
 *   dummies N           opens N further descriptors      spare N  lets it have N more
 *   socket NAME         its number
 *   vanish NAME OFFSET  frees it by a PQfinish that lies so far from PQlibVersion; the next
 *                       connection comes to lie in its place (modules/allocator.c)
 *   files               what is open            forkfiles   in a child
 *   scarce N            has the N-th allocation fail (modules/allocator.c); how many of those
 *                       that were asked for before are still to come
 *   variable NAME=VALUE of the environment
 *   exit                in the middle
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-events.h>

#include "answers.h"
#include "plain.h"

#define MAX 64

struct client {
	char name[16];
	PGconn *conn;
	PostgresPollingStatusType wants;
	PostgresPollingStatusType (*step)(PGconn *conn);
	int watched; /* by "once", -1 = none */
	PostgresPollingStatusType watched_for;
	int early;  /* was CONNECTION_OK before PQconnectPoll said so */
	int number; /* what PQsocket said first */
	int other;  /* that it has said another one since, or one of no socket */
	unsigned events;
	char notices[512];
};

static struct client clients[MAX];
static char loop[16] = "poll";
static int epoll = -1;
static PGcancel *cancel_object;
static double longest_ms;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

#define TIMED(call)                                                                            \
	do {                                                                                   \
		double began_ms = now_ms();                                                    \
		call;                                                                          \
		longest_ms =                                                                   \
			now_ms() - began_ms > longest_ms ? now_ms() - began_ms : longest_ms;   \
	} while (0)

static struct client *find(const char *name)
{
	struct client *free_one = NULL;

	for (int i = 0; i < MAX; i++) {
		if (strcmp(clients[i].name, name) == 0) {
			return &clients[i];
		}
		if (clients[i].name[0] == '\0' && free_one == NULL) {
			free_one = &clients[i];
		}
	}
	if (free_one == NULL) {
		exit(98);
	}
	snprintf(free_one->name, sizeof(free_one->name), "%s", name);
	return free_one;
}

static int connecting(const struct client *c)
{
	return c->conn != NULL &&
	       (c->wants == PGRES_POLLING_READING || c->wants == PGRES_POLLING_WRITING);
}

/* ---- waiting ---------------------------------------------------------------------- */

static short events_of(const struct client *c)
{
	return c->wants == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
}

static int wait_by_poll(struct client *const *of, int n, int ms, char *ready)
{
	struct pollfd p[MAX];
	int done;

	for (int i = 0; i < n; i++) {
		p[i].fd = connecting(of[i]) ? PQsocket(of[i]->conn) : -1;
		p[i].events = events_of(of[i]);
		p[i].revents = 0;
	}
	done = poll(p, (nfds_t)n, ms);
	for (int i = 0; i < n; i++) {
		ready[i] = p[i].revents != 0;
	}
	return done;
}

static int wait_by_select(struct client *const *of, int n, char *ready)
{
	fd_set in;
	fd_set out;
	int top = -1;
	int done;

	FD_ZERO(&in);
	FD_ZERO(&out);
	for (int i = 0; i < n; i++) {
		if (connecting(of[i])) {
			int fd = PQsocket(of[i]->conn);

			FD_SET(fd, events_of(of[i]) == POLLOUT ? &out : &in);
			top = fd > top ? fd : top;
		}
	}
	done = select(top + 1, &in, &out, NULL, NULL);
	for (int i = 0; i < n; i++) {
		int fd = connecting(of[i]) ? PQsocket(of[i]->conn) : -1;

		ready[i] = fd >= 0 && (FD_ISSET(fd, &in) || FD_ISSET(fd, &out));
	}
	return done;
}

static void unwatch(struct client *c)
{
	if (c->watched >= 0) {
		epoll_ctl(epoll, EPOLL_CTL_DEL, c->watched, NULL);
		c->watched = -1;
	}
}

/* As a program that trusts a number to stay what it was. */
static void watch(struct client *c, int index)
{
	struct epoll_event e = {.data.u32 = (unsigned)index,
	                        .events = events_of(c) == POLLOUT ? EPOLLOUT : EPOLLIN};
	int fd = PQsocket(c->conn);

	if (epoll < 0) {
		epoll = epoll_create1(EPOLL_CLOEXEC);
	}
	if (strcmp(loop, "epoll") == 0 || c->watched != fd) {
		unwatch(c);
	} else if (c->watched_for == c->wants) {
		return;
	}
	if (epoll_ctl(epoll, c->watched == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) != 0) {
		perror("epoll_ctl");
		exit(97);
	}
	c->watched = fd;
	c->watched_for = c->wants;
}

static int wait_by_epoll(struct client *const *of, int n, char *ready)
{
	struct epoll_event e[MAX];
	int done;

	for (int i = 0; i < n; i++) {
		ready[i] = 0;
		if (connecting(of[i])) {
			watch(of[i], i);
		}
	}
	done = epoll_wait(epoll, e, MAX, -1);
	for (int i = 0; i < done; i++) {
		ready[e[i].data.u32] = 1;
	}
	return done;
}

static int wait_for(struct client *const *of, int n, int ms, char *ready)
{
	if (ms >= 0 || strcmp(loop, "poll") == 0) {
		return wait_by_poll(of, n, ms, ready);
	}
	return strcmp(loop, "select") == 0 ? wait_by_select(of, n, ready)
	                                   : wait_by_epoll(of, n, ready);
}

/* ---- what is set on a connection ------------------------------------------------------ */

static void note(struct client *c, const char *by, const char *text)
{
	size_t used = strlen(c->notices);

	snprintf(c->notices + used, sizeof(c->notices) - used, "%s:%s", by, text);
}

static void processor(void *arg, const char *message)
{
	note(arg, "processor", message);
}

static void receiver(void *arg, const PGresult *result)
{
	note(arg, "receiver", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
}

static int on_event(PGEventId id, void *info, void *arg)
{
	(void)info;
	((struct client *)arg)->events += id == PGEVT_RESULTCREATE || id == PGEVT_CONNRESET;
	return 1;
}

static void set(struct client *c, const char *what)
{
	if (strcmp(what, "receiver") == 0) {
		/* Put back, as a program does that saved it for later. */
		PQnoticeReceiver before = PQsetNoticeReceiver(c->conn, receiver, c);

		printf("%d", PQsetNoticeReceiver(c->conn, before, NULL) == receiver);
		PQsetNoticeReceiver(c->conn, receiver, c);
	} else if (strcmp(what, "processor") == 0) {
		PQsetNoticeProcessor(c->conn, processor, c);
	} else if (strcmp(what, "nonblocking") == 0) {
		printf("%d", PQsetnonblocking(c->conn, 1));
	} else if (strcmp(what, "verbosity") == 0) {
		PQsetErrorVerbosity(c->conn, PQERRORS_VERBOSE);
	} else if (strcmp(what, "events") == 0) {
		printf("%d", PQregisterEventProc(c->conn, on_event, "events", c));
	} else if (strcmp(what, "trace") == 0) {
		PQtrace(c->conn, stdout);
		if (PQlibVersion() >= 140000) {
			PQsetTraceFlags(c->conn,
			                PQTRACE_SUPPRESS_TIMESTAMPS | PQTRACE_REGRESS_MODE);
		}
	}
}

static void state(const struct client *c)
{
	printf("status=%d nonblocking=%d transaction=%d socket=%d busy=%d events=%u\n",
	       PQstatus(c->conn), PQisnonblocking(c->conn), PQtransactionStatus(c->conn),
	       PQsocket(c->conn) >= 0, PQisBusy(c->conn), c->events);
	printf("error=%s\nnotices=%s\n", PQerrorMessage(c->conn), c->notices);
}

static void note_number(struct client *c)
{
	struct stat st;

	if (PQsocket(c->conn) >= 0) {
		c->number = c->number < 0 ? PQsocket(c->conn) : c->number;
		c->other |= PQsocket(c->conn) != c->number || fstat(c->number, &st) != 0 ||
		            !S_ISSOCK(st.st_mode);
	}
}

/* ---- commands --------------------------------------------------------------------------- */

static void begin(struct client *c, PGconn *conn)
{
	snprintf(c->notices, sizeof(c->notices), "%s", "");
	c->conn = conn;
	c->step = PQconnectPoll;
	c->wants = PGRES_POLLING_WRITING;
	c->watched = -1;
	c->early = 0;
	c->events = 0;
	c->number = -1;
	c->other = 0;
	note_number(c);
	if (PQstatus(conn) == CONNECTION_BAD) {
		c->wants = PGRES_POLLING_FAILED;
		printf("BAD %s", PQerrorMessage(conn));
	}
}

static void start(struct client *c, const char *conninfo)
{
	PGconn *conn;

	TIMED(conn = PQconnectStart(conninfo));
	begin(c, conn);
}

static void start_params(struct client *c)
{
	const char *const keywords[] = {"fallback_application_name", "dbname", NULL};
	const char *const values[] = {"stepwise", "", NULL};
	PGconn *conn;

	TIMED(conn = PQconnectStartParams(keywords, values, 1));
	begin(c, conn);
}

/* Not in steps. */
static void connect_whole(struct client *c)
{
	PGconn *conn;

	TIMED(conn = PQconnectdb(""));
	begin(c, conn);
}

static void step(struct client *c)
{
	int was_ok = PQstatus(c->conn) == CONNECTION_OK;

	TIMED(c->wants = c->step(c->conn));
	c->early |= was_ok && c->wants != PGRES_POLLING_OK;
	note_number(c);
	if (!connecting(c)) {
		unwatch(c);
	}
}

static void tell_end(const struct client *c)
{
	if (c->wants == PGRES_POLLING_OK) {
		printf("%s OK%s%s%s\n", c->name,
		       PQstatus(c->conn) == CONNECTION_OK ? "" : " but its status",
		       c->early ? " too early" : "", c->other ? " at another socket" : "");
	} else {
		printf("%s FAILED %d %d: %s", c->name, PQstatus(c->conn),
		       PQsocket(c->conn) >= 0, PQerrorMessage(c->conn));
	}
}

static void drive(char *names)
{
	struct client *of[MAX];
	char ready[MAX];
	int n = 0;
	int left = 0;

	for (char *name = strtok(names, " "); name != NULL; name = strtok(NULL, " ")) {
		of[n] = find(name);
		left += connecting(of[n]);
		n++;
	}
	while (left > 0) {
		wait_for(of, n, -1, ready);
		for (int i = 0; i < n; i++) {
			if (ready[i] && connecting(of[i])) {
				step(of[i]);
				left -= !connecting(of[i]);
			}
		}
	}
	for (int i = 0; i < n; i++) {
		tell_end(of[i]);
	}
}

static void finish(struct client *c)
{
	unwatch(c);
	TIMED(PQfinish(c->conn));
	c->conn = NULL;
	c->name[0] = '\0';
}

static void *finish_in_thread(void *arg)
{
	finish(arg);
	return NULL;
}

static void in_thread(struct client *c)
{
	pthread_t thread;

	pthread_create(&thread, NULL, finish_in_thread, c);
	pthread_join(thread, NULL);
}

static void fork_and_finish(struct client *c)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		PQfinish(c->conn);
		exit(0);
	}
	waitpid(child, &status, 0);
	printf("%d", status);
}

static void fork_and_ask(struct client *c)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		printf("%d %s", PQstatus(c->conn), PQerrorMessage(c->conn));
		PQreset(c->conn);
		printf("%d %s", PQstatus(c->conn), PQerrorMessage(c->conn));
		PQfinish(c->conn);
		exit(0);
	}
	waitpid(child, NULL, 0);
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL) {
		n++;
	}
	closedir(dir);
	return n;
}

static void tell_files(void)
{
	char path[64];
	char target[256];

	for (int fd = 3; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = '\0';
			printf("%s\n", target);
		}
	}
}

static void fork_and_tell_files(void)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		tell_files();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* As code does that has libpq's own function, not the one that everybody is given. */
static void vanish(struct client *c, long offset)
{
	void (*finish_past_all)(PGconn *);
	void (*hoard)(void *);

	*(void **)&finish_past_all = (char *)PQlibVersion + offset;
	*(void **)&hoard = dlsym(RTLD_DEFAULT, "hoard");
	hoard(c->conn);
	finish_past_all(c->conn);
	c->conn = NULL;
	c->name[0] = '\0';
}

static void scarce(int n)
{
	int (*arm)(int);

	*(void **)&arm = dlsym(RTLD_DEFAULT, "scarce_arm");
	printf("%d", arm(n));
}

static void open_dummies(int n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (n-- > 0) {
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) {
			perror("open");
			exit(96);
		}
	}
}

static void spare(int n)
{
	struct rlimit limit;
	int lowest = dup(0);

	close(lowest);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)(lowest < 0 ? (int)limit.rlim_cur : lowest) + (rlim_t)n;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static const char *const wants_names[] = {"FAILED", "READING", "WRITING", "OK", "ACTIVE"};

static void do_cancel(void)
{
	char error[256];

	printf("%d", PQcancel(cancel_object, error, sizeof(error)));
	PQfreeCancel(cancel_object);
}

static void tell_result(const struct client *c)
{
	PGresult *result;

	while ((result = PQgetResult(c->conn)) != NULL) {
		show(result);
	}
}

/* Commands on one connection. */
static void on_client(const char *command, struct client *c, char *rest)
{
	char ready;

	if (strcmp(command, "start") == 0) {
		start(c, rest);
	} else if (strcmp(command, "params") == 0) {
		start_params(c);
	} else if (strcmp(command, "connect") == 0) {
		connect_whole(c);
	} else if (strcmp(command, "wait") == 0) {
		printf("%d", wait_for(&c, 1, atoi(rest), &ready));
	} else if (strcmp(command, "step") == 0) {
		step(c);
		printf("%s", wants_names[c->wants]);
	} else if (strcmp(command, "status") == 0) {
		printf("%d", PQstatus(c->conn));
	} else if (strcmp(command, "answers") == 0) {
		tell_answers(c->conn);
	} else if (strcmp(command, "exec") == 0) {
		run(c->conn, rest);
	} else if (strcmp(command, "pid") == 0) {
		printf("%d", PQbackendPID(c->conn));
	} else if (strcmp(command, "state") == 0) {
		state(c);
	} else if (strcmp(command, "finish") == 0) {
		finish(c);
	} else if (strcmp(command, "set") == 0) {
		set(c, rest);
	} else if (strcmp(command, "resetstart") == 0) {
		TIMED(printf("%d", PQresetStart(c->conn)));
		c->step = PQresetPoll;
		c->wants = PGRES_POLLING_WRITING;
	} else if (strcmp(command, "reset") == 0) {
		PQreset(c->conn);
		c->wants = PGRES_POLLING_OK;
	} else if (strcmp(command, "cancel") == 0) {
		cancel_object = PQgetCancel(c->conn);
	} else if (strcmp(command, "send") == 0) {
		printf("%d %d", PQsendQuery(c->conn, rest), PQflush(c->conn));
	} else if (strcmp(command, "result") == 0) {
		tell_result(c);
	} else if (strcmp(command, "fork") == 0) {
		fork_and_finish(c);
	} else if (strcmp(command, "forkasks") == 0) {
		fork_and_ask(c);
	} else if (strcmp(command, "vanish") == 0) {
		vanish(c, atol(rest));
	} else if (strcmp(command, "socket") == 0) {
		printf("%d", PQsocket(c->conn));
	} else if (strcmp(command, "thread") == 0) {
		in_thread(c);
	} else {
		exit(95);
	}
}

static int obey(char *line)
{
	char *rest = line + strcspn(line, " ");
	char *name;

	rest += *rest == ' ' ? (*rest = '\0', 1) : 0;
	if (strcmp(line, "exit") == 0) {
		return 0;
	}
	if (strcmp(line, "loop") == 0) {
		snprintf(loop, sizeof(loop), "%s", rest);
	} else if (strcmp(line, "drive") == 0) {
		drive(rest);
	} else if (strcmp(line, "fds") == 0) {
		printf("%d", open_descriptors());
	} else if (strcmp(line, "files") == 0) {
		tell_files();
	} else if (strcmp(line, "forkfiles") == 0) {
		fork_and_tell_files();
	} else if (strcmp(line, "scarce") == 0) {
		scarce(atoi(rest));
	} else if (strcmp(line, "dummies") == 0) {
		open_dummies(atoi(rest));
	} else if (strcmp(line, "spare") == 0) {
		spare(atoi(rest));
	} else if (strcmp(line, "docancel") == 0) {
		do_cancel();
	} else if (strcmp(line, "variable") == 0) {
		putenv(strdup(rest));
	} else if (strcmp(line, "longest") == 0) {
		printf("%.1f", longest_ms);
	} else {
		name = rest;
		rest += strcspn(rest, " ");
		rest += *rest == ' ' ? (*rest = '\0', 1) : 0;
		on_client(line, find(name), rest);
	}
	return 1;
}

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (!obey(line)) {
			return 3;
		}
		printf("\n\004\n");
		fflush(stdout);
	}
	return 0;
}
