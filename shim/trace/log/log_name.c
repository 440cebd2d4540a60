/* SPDX-License-Identifier: PostgreSQL */
/* The name of the log file, made from its pattern. */
#include "trace/log/log_name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/cold.h"
#include "base/scratch.h"
#include "base/thread/pid.h"

static char program_name[NAME_MAX + 1];
static char host_name[HOST_NAME_MAX + 1];
static char pattern[PATH_MAX] SPARSE; /* absolute */

static bool put_folder(struct strbuf *t)
{
	char *folder = scratch_take();

	if (folder == NULL || getcwd(folder, PATH_MAX) == NULL) {
		scratch_give(folder);
		return false;
	}
	/* A percent sign in it is not part of the pattern. */
	for (const char *p = folder; *p != '\0'; p++) {
		strbuf_str(t, *p == '%' ? "%" : NULL);
		strbuf_char(t, *p);
	}
	strbuf_char(t, '/');
	scratch_give(folder);
	return true;
}

int log_name_set(const char *log, const char *program)
{
	struct strbuf t;

	strbuf_init(&t, program_name, sizeof(program_name));
	strbuf_str(&t, program);
	if (gethostname(host_name, sizeof(host_name)) != 0) {
		host_name[0] = '\0';
	}
	host_name[sizeof(host_name) - 1] = '\0';
	strbuf_init(&t, pattern, sizeof(pattern));
	if (log[0] != '/' && !put_folder(&t)) {
		return errno;
	}
	strbuf_str(&t, log);
	return t.cut ? ENAMETOOLONG : 0;
}

bool log_name_put(struct strbuf *t)
{
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p != '%' || p[1] == '\0') {
			strbuf_char(t, *p);
			continue;
		}
		switch (*++p) {
		case 'p':
			strbuf_u64(t, (uint64_t)pid_self());
			break;
		case 'n':
			for (const char *n = program_name; *n != '\0'; n++) {
				strbuf_char(t, *n == '/' ? '_' : *n);
			}
			break;
		case 'h':
			strbuf_str(t, host_name);
			break;
		case '%':
			strbuf_char(t, '%');
			break;
		default:
			strbuf_char(t, '%');
			strbuf_char(t, *p);
		}
	}
	return !t->cut;
}

bool log_name_is_descriptor(void)
{
	static const char names[][16] = {"/dev/stdout", "/dev/stderr"};
	static const char folders[][16] = {"/dev/fd/", "/proc/self/fd/"};

	for (size_t i = 0; i < 2; i++) {
		if (strcmp(pattern, names[i]) == 0 ||
		    strncmp(pattern, folders[i], strlen(folders[i])) == 0) {
			return true;
		}
	}
	return false;
}

bool log_name_has_pid(void)
{
	const char *percent = strchr(pattern, '%');

	while (percent != NULL && percent[1] != '\0' && percent[1] != 'p') {
		percent = strchr(percent + 2, '%');
	}
	return percent != NULL && percent[1] == 'p';
}
