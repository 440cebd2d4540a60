/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells beforehand whether a shared library can be preloaded into a program.
 *
 * Nothing that is read from a file is believed: every offset and count is checked as
 * the kernel checks it, and reading beyond the end fails.
 */
#include "common/preloadable.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <paths.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/exit_status.h"

#define SCRIPT_LINE   256   /* as much of the first line as the kernel reads */
#define SCRIPT_LEVELS 5     /* scripts run by scripts, as many as in the kernel */
#define PHDRS_BYTES   65536 /* of program headers, as much as the kernel reads */

#define NATIVE_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

/* Who is judged, as a message names it. */
struct subject {
	const char *path;
	const char *script; /* NULL, or the script whose interpreter it is */
	char *why;          /* gets the message */
	size_t size;
};

static int refuse(const struct subject *subject, int status, const char *why)
{
	if (subject->script != NULL) {
		snprintf(subject->why, subject->size, "%s: its interpreter %s %s",
		         subject->script, subject->path, why);
	} else {
		snprintf(subject->why, subject->size, "%s %s", subject->path, why);
	}
	return status;
}

/* The subject that is run in place of another, `path` for `script`. */
static struct subject interpreter_of(const struct subject *subject, const char *path,
                                     const char *script)
{
	return (struct subject){path, script, subject->why, subject->size};
}

/* False if the file does not have `n` bytes at `at`. */
static bool read_at(int fd, void *buf, size_t n, off_t at)
{
	return at >= 0 && pread(fd, buf, n, at) == (ssize_t)n;
}

/* Whether the program starts with other ids or more capabilities than its caller's. */
static bool raises_privileges(const char *path, const struct stat *st)
{
	bool honoured = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
	uid_t euid = geteuid();
	gid_t egid = getegid();
	struct statvfs fs;

	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID) != 0) {
		honoured = false;
	}
	if (honoured && (st->st_mode & S_ISUID) != 0) {
		euid = st->st_uid;
	}
	/* Without the group's right to execute, the bit is about locking. */
	if (honoured && (st->st_mode & S_ISGID) != 0 && (st->st_mode & S_IXGRP) != 0) {
		egid = st->st_gid;
	}
	if (euid != getuid() || egid != getgid()) {
		return true;
	}
	return honoured && getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* 1 = there is a PT_INTERP, in `name`, 0 = there is none, -1 = the headers are damaged. */
static int find_interpreter(int fd, const ElfW(Ehdr) * header, char name[PATH_MAX])
{
	ElfW(Phdr) phdr;

	if ((header->e_type != ET_EXEC && header->e_type != ET_DYN) ||
	    header->e_phentsize != sizeof(phdr) || header->e_phnum == 0 ||
	    header->e_phnum > PHDRS_BYTES / sizeof(phdr) ||
	    header->e_phoff > PTRDIFF_MAX - PHDRS_BYTES) {
		return -1;
	}
	for (size_t i = 0; i < header->e_phnum; i++) {
		if (!read_at(fd, &phdr, sizeof(phdr),
		             (off_t)(header->e_phoff + i * sizeof(phdr)))) {
			return -1;
		}
		if (phdr.p_type == PT_INTERP) {
			size_t n = phdr.p_filesz < PATH_MAX ? phdr.p_filesz : PATH_MAX - 1;

			name[n] = '\0';
			return read_at(fd, name, n, (off_t)phdr.p_offset) ? 1 : -1;
		}
	}
	return 0;
}

/* Whether two ELF files can live in one process: same class, byte order, machine. */
static bool same_machine(const ElfW(Ehdr) * a, const ElfW(Ehdr) * b)
{
	return a->e_ident[EI_CLASS] == b->e_ident[EI_CLASS] &&
	       a->e_ident[EI_DATA] == b->e_ident[EI_DATA] && a->e_machine == b->e_machine;
}

static int inspect_elf(int fd, const struct subject *subject, const ElfW(Ehdr) * library)
{
	ElfW(Ehdr) header;
	char interpreter[PATH_MAX];
	int dynamic;

	/* A 32-bit header is shorter, but a whole program is not. */
	if (!read_at(fd, &header, sizeof(header), 0)) {
		return refuse(subject, EXIT_CANNOT_RUN, "is a damaged ELF file");
	}
	if (!same_machine(&header, library)) {
		return refuse(subject, EXIT_FAILED,
		              "is built for another machine than libpqpool.so");
	}
	dynamic = find_interpreter(fd, &header, interpreter);
	if (dynamic < 0) {
		return refuse(subject, EXIT_CANNOT_RUN, "is a damaged ELF file");
	}
	if (dynamic == 0) {
		return refuse(subject, EXIT_FAILED,
		              "is statically linked: nothing can be preloaded into it");
	}
	if (strstr(interpreter, "ld-musl") != NULL) {
		return refuse(subject, EXIT_FAILED, "runs with musl: libpqpool.so needs glibc");
	}
	return 0;
}

/* Cuts the interpreter's name out of "#! /bin/sh -e\n"; NULL if there is none. */
static char *script_interpreter(char *line)
{
	char *name = line + 2 + strspn(line + 2, " \t");

	name[strcspn(name, " \t\n")] = '\0';
	return name[0] != '\0' ? name : NULL;
}

static int inspect(struct subject subject, const ElfW(Ehdr) * library, int level);

static int inspect_script(const struct subject *subject, char *line, const ElfW(Ehdr) * library,
                          int level)
{
	const char *script = subject->script != NULL ? subject->script : subject->path;
	char *interpreter = script_interpreter(line);

	if (interpreter == NULL || level == SCRIPT_LEVELS) {
		return 0;
	}
	if (access(interpreter, F_OK) != 0) {
		/* execve(2) would say that the script does not exist. */
		struct subject missing = interpreter_of(subject, interpreter, script);

		return refuse(&missing, EXIT_NOT_FOUND, "does not exist");
	}
	return inspect(interpreter_of(subject, interpreter, script), library, level + 1);
}

static int inspect_content(int fd, const struct subject *subject, const ElfW(Ehdr) * library,
                           int level)
{
	char line[SCRIPT_LINE + 1];
	ssize_t n = pread(fd, line, SCRIPT_LINE, 0);

	if (n < 0) {
		return 0;
	}
	line[n] = '\0';
	if (n >= SELFMAG && memcmp(line, ELFMAG, SELFMAG) == 0) {
		return inspect_elf(fd, subject, library);
	}
	if (strncmp(line, "#!", 2) == 0) {
		return inspect_script(subject, line, library, level);
	}
	/* execvp(3) gives what the kernel does not know to the shell. */
	return level == 0 ? inspect(interpreter_of(subject, _PATH_BSHELL, subject->path),
	                            library, 1)
	                  : 0;
}

static bool is_script(int fd)
{
	char magic[2];

	return read_at(fd, magic, sizeof(magic), 0) && memcmp(magic, "#!", 2) == 0;
}

static int inspect(struct subject subject, const ElfW(Ehdr) * library, int level)
{
	struct stat st;
	int status = 0;
	int fd;

	if (stat(subject.path, &st) != 0 || !S_ISREG(st.st_mode)) {
		return 0;
	}
	fd = open(subject.path, O_RDONLY | O_CLOEXEC);
	/* The kernel ignores these bits on scripts. */
	if ((fd < 0 || !is_script(fd)) && raises_privileges(subject.path, &st)) {
		status = refuse(&subject, EXIT_FAILED,
		                "runs with raised privileges (setuid, setgid or capabilities): "
		                "nothing can be preloaded into it");
	} else if (fd >= 0) {
		status = inspect_content(fd, &subject, library, level);
	}
	if (fd >= 0) {
		close(fd);
	}
	return status;
}

int preloadable_check(const char *path, const char *library, char *why, size_t size)
{
	struct subject subject = {.path = path, .why = why, .size = size};
	ElfW(Ehdr) header;
	int fd = open(library, O_RDONLY | O_CLOEXEC);
	bool good;

	if (fd < 0) {
		snprintf(why, size, "%s: %s", library, strerror(errno));
		return EXIT_FAILED;
	}
	good = read_at(fd, &header, sizeof(header), 0) &&
	       memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_type == ET_DYN &&
	       header.e_ident[EI_CLASS] == NATIVE_CLASS;
	close(fd);
	if (!good) {
		snprintf(why, size, "%s is not a shared library of this machine", library);
		return EXIT_FAILED;
	}
	return inspect(subject, &header, 0);
}
