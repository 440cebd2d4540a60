/* SPDX-License-Identifier: PostgreSQL */
/*
 * A service file, compared with a plain reading of what libpq does with one (parseServiceFile
 * in its fe-connect.c). Input: the name's length and the name of a service; the file.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bytes.h"
/* For the reader, which is no function of its header. */
#include "key/service_file.c" /* NOLINT(bugprone-suspicious-include) */

/* Where libpq's own line ends, or its buffer. */
#define LINE_MAX_OF_LIBPQ 256

struct expected {
	bool found;
	bool ldap;     /* a directory server is asked */
	bool too_long; /* libpq may refuse it */
};

/* One line, without its end; false: libpq reads no further. */
static bool expect_of_line(const char *line, const char *name, struct expected *e)
{
	while (isspace((unsigned char)*line)) {
		line++;
	}
	if (*line == '[') {
		if (e->found) {
			return false;
		}
		e->found = strncmp(line + 1, name, strlen(name)) == 0 &&
		           line[1 + strlen(name)] == ']';
	} else if (e->found && strncmp(line, "ldap", 4) == 0) {
		e->ldap = true;
	}
	return true;
}

static struct expected expect(struct bytes file, const char *name)
{
	struct expected e = {false, false, false};
	bool more = true;

	while (more && file.left > 0) {
		const uint8_t *end = memchr(file.at, '\n', file.left);
		struct bytes taken = take_bytes(&file, end != NULL ? (size_t)(end - file.at) + 1
		                                                   : file.left);
		char *line = calloc(taken.left + 1, 1);

		require(line != NULL);
		memcpy(line, taken.at, taken.left);
		e.too_long = e.too_long || taken.left >= LINE_MAX_OF_LIBPQ - 1;
		more = expect_of_line(line, name, &e);
		free(line);
	}
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	struct bytes taken = take_bytes(&b, take_byte(&b) % 16);
	int fd = memfd_create("services", MFD_CLOEXEC);
	char name[17] = "";
	char path[32];
	struct expected e;
	enum finding finding;

	memcpy(name, taken.at, taken.left);
	require(fd >= 0 && write(fd, b.at, b.left) == (ssize_t)b.left);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	finding = look_into(path, name);
	close(fd);
	require(finding != ABSENT);
	e = expect(b, name);
	/* What comes from elsewhere is in no pool, and a service that is there is found. */
	require(finding != FOUND || (e.found && !e.ldap) || e.too_long);
	require(finding != WITHOUT || !e.found || e.too_long);
	require(finding != BARRED || e.ldap || memchr(b.at, 'l', b.left) != NULL ||
	        memchr(b.at, '\0', b.left) != NULL);
	return 0;
}
