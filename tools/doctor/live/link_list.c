/* SPDX-License-Identifier: PostgreSQL */
/* The dynamic linker's list of a process's objects, read from its memory. */
#include "doctor/live/link_list.h"

#include <limits.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#define PAGE        4096
#define HEADERS_MAX 128
#define DYNAMIC_MAX 256
#define OBJECTS_MAX 4096

static bool read_at(pid_t pid, uintptr_t at, void *buf, size_t n)
{
	const struct iovec local = {buf, n};
	const struct iovec remote = {(void *)at, n};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}

/* A string, cut to fit; read by pages, as the next one may not be mapped. */
static bool read_string(pid_t pid, uintptr_t at, char *buf, size_t size)
{
	size_t n = 0;

	while (n < size) {
		size_t page = PAGE - (at + n) % PAGE;
		size_t piece = page < size - n ? page : size - n;

		if (!read_at(pid, at + n, buf + n, piece)) {
			return false;
		}
		if (memchr(buf + n, '\0', piece) != NULL) {
			return true;
		}
		n += piece;
	}
	return false;
}

/* Where DT_DEBUG leads; 0 = nowhere. */
static uintptr_t find_debug(pid_t pid, uintptr_t headers, unsigned long count)
{
	uintptr_t base = 0;
	uintptr_t dynamic = 0;
	bool own = false;

	for (unsigned long i = 0; i < count && i < HEADERS_MAX; i++) {
		ElfW(Phdr) header;

		if (!read_at(pid, headers + i * sizeof(header), &header, sizeof(header))) {
			return 0;
		}
		if (header.p_type == PT_PHDR) {
			base = headers - header.p_vaddr;
			own = true;
		} else if (header.p_type == PT_DYNAMIC) {
			dynamic = header.p_vaddr;
		}
	}
	for (size_t i = 0; own && dynamic != 0 && i < DYNAMIC_MAX; i++) {
		ElfW(Dyn) entry;

		if (!read_at(pid, base + dynamic + i * sizeof(entry), &entry, sizeof(entry)) ||
		    entry.d_tag == DT_NULL) {
			return 0;
		}
		if (entry.d_tag == DT_DEBUG) {
			return entry.d_un.d_ptr;
		}
	}
	return 0;
}

bool link_list_read(pid_t pid, unsigned long headers, unsigned long count, link_list_each *each,
                    void *arg)
{
	uintptr_t debug = headers != 0 ? find_debug(pid, headers, count) : 0;
	struct r_debug list;
	uintptr_t at;

	if (debug == 0 || !read_at(pid, debug, &list, sizeof(list))) {
		return false;
	}
	at = (uintptr_t)list.r_map;
	for (int place = 0; at != 0 && place < OBJECTS_MAX; place++) {
		struct link_map map;
		char name[PATH_MAX];

		if (!read_at(pid, at, &map, sizeof(map)) ||
		    !read_string(pid, (uintptr_t)map.l_name, name, sizeof(name))) {
			return false;
		}
		each(name, place, arg);
		at = (uintptr_t)map.l_next;
	}
	return true;
}
