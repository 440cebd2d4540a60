/* SPDX-License-Identifier: PostgreSQL */
/* Reads memory that may not be there. */
#include "base/unwind/safe_read.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE SAFE_READ_PAGE

/* What the futex is compared with: whether it is equal makes no difference. */
#define ANY_VALUE 0x70710f01

bool safe_read_page(uintptr_t page)
{
	static const struct timespec at_once;

	return syscall(SYS_futex, page, FUTEX_WAIT_PRIVATE, ANY_VALUE, &at_once) == 0 ||
	       errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR;
}

static bool may_touch(struct safe_read *p, uintptr_t page)
{
	for (unsigned i = 0; i < p->count && i < SAFE_READ_PAGES; i++) {
		if (p->pages[i] == page) {
			return true;
		}
	}
	if (page == 0 || !safe_read_page(page)) {
		return false;
	}
	if (!p->doubting) {
		p->pages[p->count++ % SAFE_READ_PAGES] = page;
	}
	return true;
}

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer knows about objects, and here only pages count. */
__attribute__((no_sanitize_address)) static void copy(char *to, uintptr_t from, size_t n)
{
	const volatile char *bytes = (const volatile char *)from;

	for (size_t i = 0; i < n; i++) {
		to[i] = bytes[i];
	}
}
#else
static void copy(char *to, uintptr_t from, size_t n)
{
	memcpy(to, (const void *)from, n);
}
#endif

bool safe_read(struct safe_read *p, void *to, uintptr_t from, size_t n)
{
	uintptr_t page = from / PAGE * PAGE;

	if (from < PAGE || from + n < from) {
		return false;
	}
	for (; !p->trusting && page < from + n; page += PAGE) {
		if (!may_touch(p, page)) {
			return false;
		}
	}
	copy(to, from, n);
	return true;
}

uintptr_t safe_read_pointer(struct safe_read *p, uintptr_t from)
{
	uintptr_t value;

	return safe_read(p, &value, from, sizeof(value)) ? value : 0;
}

uint32_t safe_read_u32(struct safe_read *p, uintptr_t from)
{
	uint32_t value;

	return safe_read(p, &value, from, sizeof(value)) ? value : 0;
}

/* In pieces that end where pages do, because the string may be the last on its page. */
ptrdiff_t safe_read_length(struct safe_read *p, uintptr_t from, size_t max)
{
	char piece[64];
	size_t length = 0;

	while (length < max) {
		size_t n = sizeof(piece) - (from + length) % sizeof(piece);
		const char *end;

		if (!safe_read(p, piece, from + length, n)) {
			return -1;
		}
		end = memchr(piece, '\0', n);
		if (end != NULL) {
			length += (size_t)(end - piece);
			return length < max ? (ptrdiff_t)length : -1;
		}
		length += n;
	}
	return -1;
}

static bool are_equal(struct safe_read *p, uintptr_t from, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c;

		if (!safe_read(p, &c, from + i, 1) || c != bytes[i]) {
			return false;
		}
	}
	return true;
}

bool safe_read_starts(struct safe_read *p, uintptr_t from, const char *start)
{
	return are_equal(p, from, start, strlen(start));
}

bool safe_read_is(struct safe_read *p, uintptr_t from, const char *whole)
{
	return are_equal(p, from, whole, strlen(whole) + 1);
}
