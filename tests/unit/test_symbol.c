/* SPDX-License-Identifier: PostgreSQL */
/*
 * Symbols from ELF files: this program's own, and copies of it cut short and damaged,
 * which must never be trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/elf/symbol.h"

static char folder[] = "/tmp/test_symbol.XXXXXX";
static char copy_name[PATH_MAX];
static char own_name[PATH_MAX];
static char *own_file;
static size_t own_size;

static int find_bias(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t *bias = arg;

	(void)size;
	*bias = info->dlpi_addr;
	return 1;
}

static uintptr_t offset_of(uintptr_t address)
{
	uintptr_t bias = 0;

	dl_iterate_phdr(find_bias, &bias);
	return address - bias;
}

/* Long enough that an address in its middle is no other function's beginning. */
static __attribute__((noinline)) int a_static_function(volatile int *x)
{
	*x += 1;
	*x *= 3;
	*x += 7;
	return *x;
}

static bool write_copy(const char *bytes, size_t n)
{
	int fd = open(copy_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool written = fd >= 0 && write(fd, bytes, n) == (ssize_t)n;

	close(fd);
	return written;
}

static void finds_a_static_function(void **state)
{
	uintptr_t offset = offset_of((uintptr_t)a_static_function);
	char name[64] = "?";
	char small[9];
	char one[1] = "?";

	(void)state;
	errno = 42;
	symbol_nearest(own_name, offset, name, sizeof(name));
	assert_string_equal(name, "a_static_function");
	symbol_nearest(own_name, offset + 5, name, sizeof(name));
	assert_string_equal(name, "a_static_function");
	symbol_nearest(own_name, offset - 1, name, sizeof(name));
	assert_string_not_equal(name, "a_static_function");
	symbol_nearest(own_name, offset, small, sizeof(small));
	assert_string_equal(small, "a_static");
	symbol_nearest(own_name, offset, one, sizeof(one));
	assert_string_equal(one, "");
	symbol_nearest(own_name, offset, one, 0);
	symbol_nearest(own_name, UINTPTR_MAX, name, sizeof(name));
	assert_string_equal(name, "");
	assert_int_equal(errno, 42);
}

static void finds_an_exported_function(void **state)
{
	char name[64];
	uintptr_t at = 0;
	struct link_map *map = NULL;
	Dl_info info;

	(void)state;
	/* libc's file has no .symtab where it is stripped. */
	assert_int_not_equal(
		dladdr1((void *)(uintptr_t)&getpid, &info, (void **)&map, RTLD_DL_LINKMAP), 0);
	at = (uintptr_t)info.dli_saddr - map->l_addr;
	symbol_nearest(info.dli_fname, at, name, sizeof(name));
	assert_non_null(strstr(name, "getpid"));
}

static void knows_nothing_of_other_files(void **state)
{
	char name[64];
	const char *const paths[] = {"/nonexistent",    "/", "/dev/null", "/dev/zero",
	                             "/proc/self/maps", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		strcpy(name, "?");
		symbol_nearest(paths[i], 0x1000, name, sizeof(name));
		assert_string_equal(name, "");
	}
	assert_int_equal(mkfifo(copy_name, 0600), 0);
	symbol_nearest(copy_name, 0x1000, name, sizeof(name));
	assert_string_equal(name, "");
	unlink(copy_name);
}

static void survives_any_length(void **state)
{
	uintptr_t offset = offset_of((uintptr_t)a_static_function);
	char name[64];
	size_t found = 0;

	(void)state;
	assert_true(write_copy(own_file, own_size));
	for (size_t n = own_size; n > 0; n = n > 4096 ? n - n / 53 - 1 : n - 1) {
		assert_int_equal(truncate(copy_name, (off_t)n), 0);
		symbol_nearest(copy_name, offset, name, sizeof(name));
		if (n < own_size) {
			/* The section headers stand at the end, so nothing can be known. */
			assert_string_equal(name, "");
		} else {
			found += strcmp(name, "a_static_function") == 0;
		}
	}
	assert_int_equal(found, 1);
}

/* Every field of a header, and of all section headers, set to what hurts most. */
static void survives_damaged_headers(void **state)
{
	static const uint64_t bad[] = {0,         1,          UINT64_MAX,      INT64_MAX,
	                               INT64_MIN, UINT32_MAX, UINT64_MAX - 63, 0x1000,
	                               UINT16_MAX};
	uintptr_t offset = offset_of((uintptr_t)a_static_function);
	const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(void *)own_file;
	char name[32];

	(void)state;
	assert_true(write_copy(own_file, own_size));
	for (size_t at = 0; at < own_size; at++) {
		int fd;

		if (at == sizeof(*header)) {
			at = header->e_shoff;
		}
		if (at % 4 != 0) {
			continue;
		}
		fd = open(copy_name, O_RDWR);
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			for (size_t width = 2; width <= 8; width *= 2) {
				size_t n = width < own_size - at ? width : own_size - at;

				assert_int_equal(pwrite(fd, &bad[i], n, (off_t)at), n);
				symbol_nearest(copy_name, offset, name, sizeof(name));
				assert_true(memchr(name, '\0', sizeof(name)) != NULL);
				assert_int_equal(pwrite(fd, own_file + at, n, (off_t)at), n);
			}
		}
		close(fd);
	}
	symbol_nearest(copy_name, offset, name, sizeof(name));
	assert_string_equal(name, "a_static_function");
}

static void survives_flipped_bytes(void **state)
{
	uintptr_t offset = offset_of((uintptr_t)a_static_function);
	unsigned random = 4711;
	char name[32];

	(void)state;
	for (int round = 0; round < 300; round++) {
		char *damaged = malloc(own_size);

		memcpy(damaged, own_file, own_size);
		for (size_t i = 0; i < own_size / 50; i++) {
			random = random * 1664525 + 1013904223;
			/* The first bytes stay, or all would end there. */
			damaged[64 + random % (own_size - 64)] ^= (char)(random >> 24);
		}
		assert_true(write_copy(damaged, own_size));
		symbol_nearest(copy_name, offset, name, sizeof(name));
		for (const char *c = name; *c != '\0'; c++) {
			assert_true((unsigned char)*c > ' ');
		}
		free(damaged);
	}
}

static ElfW(Sym) symbol(uintptr_t value, size_t size, unsigned char type, uint16_t section)
{
	return (ElfW(Sym)){
		.st_name = (uint32_t)value,
		.st_value = value,
		.st_size = size,
		.st_info = type,
		.st_shndx = section,
	};
}

static void chooses_the_innermost(void **state)
{
	const ElfW(Sym) symbols[] = {
		symbol(100, 100, STT_FUNC, 1), symbol(120, 10, STT_FUNC, 1),
		symbol(125, 1, STT_OBJECT, 1), symbol(126, 4, STT_FUNC, SHN_UNDEF),
		symbol(300, 0, STT_FUNC, 1),   symbol(400, 10, STT_GNU_IFUNC, 1),
	};
	const struct {
		uintptr_t offset;
		uintptr_t holder;
		uintptr_t below;
	} wanted[] = {
		{99, 0, 0},      {100, 100, 100}, {119, 100, 100}, {120, 120, 120},
		{127, 120, 120}, {130, 100, 120}, {199, 100, 120}, {200, 0, 120},
		{350, 0, 300},   {405, 400, 400}, {410, 0, 400},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct symbol_search search = {.offset = wanted[i].offset};

		for (size_t j = 0; j < sizeof(symbols) / sizeof(symbols[0]); j++) {
			symbol_consider(&search, &symbols[j]);
		}
		assert_int_equal(search.held ? search.holder.st_value : 0, wanted[i].holder);
		assert_int_equal(search.followed ? search.below.st_value : 0, wanted[i].below);
	}
}

static int read_own_file(void **state)
{
	struct stat st;
	ssize_t n;
	int fd;
	volatile int x = 0;

	(void)state;
	a_static_function(&x);
	n = readlink("/proc/self/exe", own_name, sizeof(own_name) - 1);
	fd = open("/proc/self/exe", O_RDONLY);
	if (n < 0 || fd < 0 || fstat(fd, &st) != 0 || mkdtemp(folder) == NULL) {
		return -1;
	}
	snprintf(copy_name, sizeof(copy_name), "%s/copy", folder);
	own_size = (size_t)st.st_size;
	own_file = malloc(own_size);
	n = own_file != NULL ? read(fd, own_file, own_size) : -1;
	close(fd);
	return n == (ssize_t)own_size ? 0 : -1;
}

static int clean_up(void **state)
{
	(void)state;
	free(own_file);
	unlink(copy_name);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_a_static_function),
		cmocka_unit_test(finds_an_exported_function),
		cmocka_unit_test(knows_nothing_of_other_files),
		cmocka_unit_test(survives_any_length),
		cmocka_unit_test(survives_damaged_headers),
		cmocka_unit_test(survives_flipped_bytes),
		cmocka_unit_test(chooses_the_innermost),
	};

	return cmocka_run_group_tests(tests, read_own_file, clean_up);
}
