/* SPDX-License-Identifier: PostgreSQL */
/* Files that claim to be ELF. Input: an address in it, eight bytes; the file. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/elf/build_id.h"
#include "base/elf/elf_needed.h"
#include "base/elf/symbol.h"
#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	struct bytes address = take_bytes(&b, sizeof(uint64_t));
	int fd = memfd_create("libx.so", MFD_CLOEXEC);
	uint64_t offset = 0;
	char id[BUILD_ID_MAX];
	char room[ELF_NEEDED_NAME_MAX];
	char name[32];
	char path[32];
	const char *needed;
	struct strbuf t;

	memcpy(&offset, address.at, address.left);
	require(fd >= 0 && write(fd, b.at, b.left) == (ssize_t)b.left);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	strbuf_init(&t, id, sizeof(id));
	require(build_id_of_file(path, &t) && strlen(id) == t.len);
	require(strspn(id, "0123456789abcdef") == t.len);
	symbol_nearest(path, offset, name, sizeof(name));
	require(memchr(name, '\0', sizeof(name)) != NULL);
	needed = elf_needs_libpq(path, room);
	require(needed == NULL || needed == path || memchr(room, '\0', sizeof(room)) != NULL);
	close(fd);
	return 0;
}
