/* SPDX-License-Identifier: PostgreSQL */
/* Reading memory that may not be there; finding symbols in modules without the loader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/dl.h"
#include "base/elf/elf_image.h"
#include "base/unwind/safe_read.h"

/* Two pages, of which the second cannot be read. */
static char *half_readable(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                   -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
	return pages + page;
}

static void reads_what_is_there(void **state)
{
	struct safe_read p = {0};
	const char text[] = "of this thread";
	uint32_t number = 4711;
	uintptr_t pointer = (uintptr_t)&number;
	char copy[sizeof(text)];

	(void)state;
	assert_true(safe_read(&p, copy, (uintptr_t)text, sizeof(text)));
	assert_string_equal(copy, text);
	assert_int_equal(safe_read_u32(&p, (uintptr_t)&number), number);
	assert_int_equal(safe_read_pointer(&p, (uintptr_t)&pointer), pointer);
	assert_int_equal(safe_read_length(&p, (uintptr_t)text, 100), strlen(text));
	assert_true(safe_read_starts(&p, (uintptr_t)text, "of this"));
	assert_false(safe_read_starts(&p, (uintptr_t)text, "of that"));
	assert_true(safe_read_is(&p, (uintptr_t)text, text));
	assert_false(safe_read_is(&p, (uintptr_t)text, "of this"));
}

static void does_not_touch_what_is_not(void **state)
{
	static const uintptr_t wild[] = {0,
	                                 8,
	                                 4096,
	                                 UINTPTR_MAX,
	                                 UINTPTR_MAX - 8,
	                                 UINTPTR_MAX / 2,
	                                 (uintptr_t)0x8000000000000000,
	                                 (uintptr_t)0x0001000000000000,
	                                 (uintptr_t)0xdddddddddddddddd};
	char *end = half_readable();
	struct safe_read p = {0};
	char copy[64];

	(void)state;
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		assert_false(safe_read(&p, copy, wild[i], sizeof(copy)));
		assert_int_equal(safe_read_pointer(&p, wild[i]), 0);
		assert_int_equal(safe_read_length(&p, wild[i], 10), -1);
		assert_false(safe_read_starts(&p, wild[i], "x"));
	}
	assert_true(safe_read(&p, copy, (uintptr_t)end - sizeof(copy), sizeof(copy)));
	assert_false(safe_read(&p, copy, (uintptr_t)end - sizeof(copy) + 1, sizeof(copy)));
	assert_false(safe_read(&p, copy, (uintptr_t)end, 1));
}

/* The answer for one page must not be taken for another's. */
static void asks_for_each_page(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t count = 4 * SAFE_READ_PAGES;
	char *pages = mmap(NULL, count * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct safe_read p = {0};
	char copy;

	(void)state;
	assert_true(pages != MAP_FAILED);
	for (size_t i = 1; i < count; i += 2) {
		assert_int_equal(mprotect(pages + i * page, page, PROT_NONE), 0);
	}
	for (size_t i = 0; i < 3 * count; i++) {
		size_t at = i * 7 % count;

		assert_int_equal(safe_read(&p, &copy, (uintptr_t)(pages + at * page), 1),
		                 at % 2 == 0);
	}
}

/* One that doubts believes no answer twice. */
static void asks_again_when_in_doubt(void **state)
{
	char *end = half_readable();
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct safe_read p = {.doubting = true};
	char copy;

	(void)state;
	assert_true(safe_read(&p, &copy, (uintptr_t)end - 1, 1));
	assert_int_equal(mprotect(end - page, page, PROT_NONE), 0);
	assert_false(safe_read(&p, &copy, (uintptr_t)end - 1, 1));
}

static void a_string_may_be_the_last_on_its_page(void **state)
{
	char *end = half_readable();
	struct safe_read p = {0};

	(void)state;
	memset(end - 200, 'x', 200);
	for (size_t n = 1; n < 150; n++) {
		end[-1] = '\0';
		assert_int_equal(safe_read_length(&p, (uintptr_t)end - n, 4096), n - 1);
		assert_int_equal(safe_read_length(&p, (uintptr_t)end - n, n - 1), -1);
		end[-1] = 'x';
		assert_int_equal(safe_read_length(&p, (uintptr_t)end - n, 4096), -1);
	}
}

/* ---- symbols ---- */

static _Thread_local int local_of_ours;
__attribute__((visibility("default"))) _Thread_local int exported_local = 5;

struct wanted {
	const char *name;
	unsigned found;
	uintptr_t value;
	uintptr_t block; /* of the module's thread-local variables */
};

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct wanted *wanted = arg;
	const struct elf_image image = {info->dlpi_addr, info->dlpi_name, info->dlpi_phdr,
	                                info->dlpi_phnum};
	struct elf_image_symbols symbols;
	uintptr_t value;

	(void)size;
	if (elf_image_symbols(&image, &symbols) &&
	    elf_image_find(&image, &symbols, wanted->name, &value)) {
		wanted->found++;
		wanted->value = value;
		wanted->block = (uintptr_t)info->dlpi_tls_data;
	}
	return 0;
}

static struct wanted find(const char *name)
{
	struct wanted wanted = {.name = name};

	dl_iterate_phdr(look, &wanted);
	return wanted;
}

static void finds_what_dlsym_finds(void **state)
{
	static const char *const names[] = {"_cmocka_run_group_tests", "_assert_true",
	                                    "getppid", "_fail", "cm_print_error"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct wanted wanted = find(names[i]);

		assert_int_equal(wanted.found, 1);
		assert_int_equal(wanted.value, (uintptr_t)dlsym(RTLD_DEFAULT, names[i]));
	}
}

static void finds_nothing_else(void **state)
{
	static const char *const names[] = {"", "no such symbol", "getppi", "getppidd",
	                                    "local_of_ours"};

	(void)state;
	assert_int_equal(local_of_ours, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(find(names[i]).found, 0);
	}
}

static void finds_thread_local_ones(void **state)
{
	struct wanted wanted = find("exported_local");

	(void)state;
	assert_int_equal(wanted.found, 1);
	assert_int_equal(wanted.block + wanted.value, (uintptr_t)&exported_local);
}

static void notices_modules_that_come_and_go(void **state)
{
	unsigned long long before = dl_changes();
	void *handle;

	(void)state;
	assert_int_equal(dl_changes(), before);
	handle = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL || dl_changes() == before) {
		skip(); /* a sanitizer had it loaded */
	}
	before = dl_changes();
	dlclose(handle);
	assert_true(dl_changes() != before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_there),
		cmocka_unit_test(does_not_touch_what_is_not),
		cmocka_unit_test(asks_for_each_page),
		cmocka_unit_test(asks_again_when_in_doubt),
		cmocka_unit_test(a_string_may_be_the_last_on_its_page),
		cmocka_unit_test(finds_what_dlsym_finds),
		cmocka_unit_test(finds_nothing_else),
		cmocka_unit_test(finds_thread_local_ones),
		cmocka_unit_test(notices_modules_that_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
