/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which files need a libpq: this program, which does, and copies of it cut short and
 * damaged, which must never be trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/elf/elf_needed.h"

static char folder[] = "/tmp/test_needs.XXXXXX";
static char copy_name[64];
static char *own_file;
static size_t own_size;

static const char *needs(const char *file)
{
	static char room[ELF_NEEDED_NAME_MAX];

	return elf_needs_libpq(file, room);
}

static void write_copy(const char *content, size_t size)
{
	int fd = open(copy_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && write(fd, content, size) == (ssize_t)size);
	close(fd);
}

static int set_up(void **state)
{
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)state;
	/* So that this program needs libpq, whatever the linker leaves out. */
	assert_true(PQlibVersion() > 0);
	assert_non_null(mkdtemp(folder));
	strcat(strcpy(copy_name, folder), "/copy");
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	own_size = (size_t)st.st_size;
	own_file = malloc(own_size);
	assert_true(read(fd, own_file, own_size) == (ssize_t)own_size);
	close(fd);
	/* A program is not for dlopen; a position-independent one is of a library's type. */
	((ElfW(Ehdr) *)own_file)->e_type = ET_DYN;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(copy_name);
	rmdir(folder);
	free(own_file);
	return 0;
}

static void goes_by_the_name_of_a_libpq(void **state)
{
	(void)state;
	assert_string_equal(needs("libpq.so.5"), "libpq.so.5");
	assert_string_equal(needs("/nonexistent/libpq.so"), "/nonexistent/libpq.so");
	assert_string_equal(needs("./libpq-9f3c.so.5.16"), "./libpq-9f3c.so.5.16");
	assert_null(needs("libpqxx.so"));
	assert_null(needs("libpq/module.so"));
	assert_null(needs(""));
}

static void reads_what_a_file_needs(void **state)
{
	(void)state;
	write_copy(own_file, own_size);
	errno = EINTR;
	assert_string_equal(needs(copy_name), "libpq.so.5");
	assert_null(needs("/nonexistent/module.so"));
	assert_null(needs(folder));
	assert_null(needs("/dev/null"));
	assert_int_equal(errno, EINTR);
}

static void does_not_wait_for_a_pipe(void **state)
{
	(void)state;
	unlink(copy_name);
	assert_int_equal(mkfifo(copy_name, 0600), 0);
	assert_null(needs(copy_name));
	unlink(copy_name);
}

static void survives_a_short_file(void **state)
{
	const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)own_file;
	size_t headers = head->e_phoff + (size_t)head->e_phnum * head->e_phentsize;

	(void)state;
	for (size_t size = 0; size < headers; size += 7) {
		write_copy(own_file, size);
		assert_null(needs(copy_name));
	}
	for (size_t size = headers; size < own_size; size += 997) {
		write_copy(own_file, size);
		needs(copy_name);
	}
}

/* Every byte of head and program headers, and of the dynamic section, set to 0xff. */
static void survives_a_damaged_file(void **state)
{
	const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)own_file;
	const ElfW(Phdr) *phdr = (const ElfW(Phdr) *)(own_file + head->e_phoff);
	size_t headers = head->e_phoff + (size_t)head->e_phnum * head->e_phentsize;
	size_t dynamic = 0;
	size_t dynamic_size = 0;
	int fd;

	(void)state;
	for (size_t i = 0; i < head->e_phnum; i++) {
		if (phdr[i].p_type == PT_DYNAMIC) {
			dynamic = phdr[i].p_offset;
			dynamic_size = phdr[i].p_filesz;
		}
	}
	assert_true(dynamic > headers);
	write_copy(own_file, own_size);
	fd = open(copy_name, O_WRONLY);
	for (size_t at = 0; at < dynamic + dynamic_size; at++) {
		if (at == headers) {
			at = dynamic;
		}
		assert_int_equal(pwrite(fd, "\xff", 1, (off_t)at), 1);
		needs(copy_name);
		assert_int_equal(pwrite(fd, own_file + at, 1, (off_t)at), 1);
	}
	close(fd);
	assert_string_equal(needs(copy_name), "libpq.so.5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_by_the_name_of_a_libpq),
		cmocka_unit_test(reads_what_a_file_needs),
		cmocka_unit_test(does_not_wait_for_a_pipe),
		cmocka_unit_test(survives_a_short_file),
		cmocka_unit_test(survives_a_damaged_file),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
