/* SPDX-License-Identifier: PostgreSQL */
/*
 * A program that does to its connections and to itself what it is told, line by line on
 * stdin, each answer ending with a line of EOT as script's do: see the table at the end.
 */
#define _GNU_SOURCE
#include "plain.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define END       "\004\n"
#define CONNS_MAX 512

static PGconn *conns[CONNS_MAX];
static int count;

static void take(int n)
{
	for (int i = 0; i < n; i++) {
		conns[count++] = open_database();
		printf("%d\n", PQbackendPID(conns[count - 1]));
	}
}

static void give(int n)
{
	for (int i = 0; i < n; i++) {
		PQfinish(conns[--count]);
	}
}

static void set_umask(int mask)
{
	umask((mode_t)mask);
}

static void close_all(int unused)
{
	(void)unused;
	for (int fd = 3; fd < 65536; fd++) {
		close(fd);
	}
}

static int own = -1; /* a file of the program's */

/* Puts it in the place of every descriptor: those that it does not know are lost. */
static void replace_all(int unused)
{
	(void)unused;
	own = memfd_create("own", 0);
	for (int fd = 3; fd < 65536; fd++) {
		if (fd != own && fcntl(fd, F_GETFD) >= 0) {
			dup2(own, fd);
		}
	}
}

/* How many descriptors of that file there are, and how long it is. */
static void look(int unused)
{
	struct stat file;
	struct stat st;
	int count = 0;

	(void)unused;
	fstat(own, &file);
	for (int fd = 3; fd < 65536; fd++) {
		count += fstat(fd, &st) == 0 && st.st_ino == file.st_ino &&
		         st.st_dev == file.st_dev;
	}
	printf("%d %lld\n", count, (long long)file.st_size);
}

/* A child that shares our memory ends at once. */
static void vfork_child(int unused)
{
	int status;
	pid_t child = vfork();

	(void)unused;
	if (child == 0) {
		_exit(0);
	}
	waitpid(child, &status, 0);
}

/* A child takes over, whose status is then the program's; its parent stays. */
static void fork_child(int unused)
{
	pid_t child = fork();
	int status = 0;

	(void)unused;
	if (child == 0) {
		printf("%d\n", (int)getpid());
		return;
	}
	while (waitpid(child, &status, 0) < 0) {
	}
	exit(WEXITSTATUS(status));
}

/* Begins anew, in this process. */
static void execute(int unused)
{
	char *const argv[] = {(char *)"lives", NULL};

	(void)unused;
	fflush(stdout);
	execv("/proc/self/exe", argv);
}

static const struct {
	const char *word;
	void (*run)(int argument);
} commands[] = {
	{"take", take},           {"give", give},       {"umask", set_umask},
	{"closeall", close_all},  {"fork", fork_child}, {"execute", execute},
	{"replace", replace_all}, {"look", look},       {"vfork", vfork_child},
};

int main(void)
{
	char line[128];
	char word[64];

	/* Whoever executed us waits for the answer. */
	printf(END);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		int argument = 0;

		sscanf(line, "%63s - %i", word, &argument);
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
			if (strcmp(commands[i].word, word) == 0) {
				commands[i].run(argument);
			}
		}
		printf(END);
		fflush(stdout);
	}
	return 0;
}
