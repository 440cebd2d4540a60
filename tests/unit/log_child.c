/* SPDX-License-Identifier: PostgreSQL */
/* For tests of the log: a child for each, and a reader of what it wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_child.h"
#include "trace/log/record.h"

struct pair {
	char key[32];
	char value[RECORD_MAX + 1];
};

char log_folder[] = "/tmp/test_log.XXXXXX";
char log_name[PATH_MAX];
char other_name[PATH_MAX];

static struct {
	size_t count;
	struct pair pairs[32];
} parsed;

static int hex_value(char c)
{
	const char *at = strchr("0123456789abcdef", c);

	return c != '\0' && at != NULL ? (int)(at - "0123456789abcdef") : -1;
}

/* The value at `p` into `out`; what follows it, or NULL if it is not logfmt. */
static const char *parse_value(const char *p, char *out)
{
	if (*p != '"') {
		while (*p > ' ' || (unsigned char)*p >= 0x80) {
			if (*p == '"' || *p == '=') {
				return NULL;
			}
			*out++ = *p++;
		}
		*out = '\0';
		return p;
	}
	for (p++; *p != '"'; p++) {
		if ((unsigned char)*p < ' ') {
			return NULL;
		}
		*out = *p;
		if (*p == '\\') {
			p++;
			if (*p == 'x' && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
				*out = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
				p += 2;
			} else if (*p == 'n' || *p == 't') {
				*out = *p == 'n' ? '\n' : '\t';
			} else if (*p == '"' || *p == '\\') {
				*out = *p;
			} else {
				return NULL;
			}
		}
		out++;
	}
	*out = '\0';
	return p + 1;
}

const char *parse_line(const char *p)
{
	parsed.count = 0;
	for (;;) {
		struct pair *pair = &parsed.pairs[parsed.count++];
		size_t n = strcspn(p, "= \n\"");

		if (parsed.count > 32 || n == 0 || n >= sizeof(pair->key) || p[n] != '=') {
			return NULL;
		}
		memcpy(pair->key, p, n);
		pair->key[n] = '\0';
		p = parse_value(p + n + 1, pair->value);
		if (p == NULL || (*p != ' ' && *p != '\n')) {
			return NULL;
		}
		if (*p++ == '\n') {
			return p;
		}
	}
}

const char *value_of(const char *key)
{
	for (size_t i = 0; i < parsed.count; i++) {
		if (strcmp(parsed.pairs[i].key, key) == 0) {
			return parsed.pairs[i].value;
		}
	}
	return "(none)";
}

bool has(const char *key, const char *value)
{
	return strcmp(value_of(key), value) == 0;
}

char contents[4 << 20];

char *contents_of(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, contents, sizeof(contents) - 1) : -1;

	contents[n > 0 ? n : 0] = '\0';
	if (fd >= 0) {
		close(fd);
	}
	return contents;
}

bool parse_last(const char *name)
{
	const char *p = contents_of(name);
	bool any = false;

	while (p != NULL && *p != '\0') {
		p = parse_line(p);
		any = true;
	}
	return any && p != NULL;
}

size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		n += *text == '\n';
	}
	return n;
}

bool put_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool put = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return put;
}

int descriptor_of(const char *name)
{
	struct stat wanted;
	struct stat st;

	for (int fd = 3; stat(name, &wanted) == 0 && fd < 65536; fd++) {
		if (fstat(fd, &st) == 0 && st.st_dev == wanted.st_dev &&
		    st.st_ino == wanted.st_ino) {
			return fd;
		}
	}
	return -1;
}

static void clean_folder(void)
{
	DIR *dir = opendir(log_folder);
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL) {
		unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
}

void in_child(int (*body)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		_exit(body() % 256);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	clean_folder();
	assert_false(WIFSIGNALED(status));
	if (WEXITSTATUS(status) != 0) {
		print_error("the check that failed is in line %d (modulo 256)\n",
		            WEXITSTATUS(status));
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int status_of(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int make_log_folder(void **state)
{
	(void)state;
	/* As programs find them: SIGPIPE and SIGXFSZ end the process. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (mkdtemp(log_folder) == NULL) {
		return -1;
	}
	snprintf(log_name, sizeof(log_name), "%s/log", log_folder);
	snprintf(other_name, sizeof(other_name), "%s/other", log_folder);
	return 0;
}

int remove_log_folder(void **state)
{
	(void)state;
	return rmdir(log_folder);
}
