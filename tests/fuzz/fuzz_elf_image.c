/* SPDX-License-Identifier: PostgreSQL */
/*
 * A module in memory, as the loader shows it, whose tables are nonsense. Input: where its
 * dynamic section and its notes begin and end, in units of eight bytes, and how much of it can
 * be read; an address; the memory. Numbers in it that are to be addresses are offsets (a loader
 * may add the bias to them, or not).
 */
#include <string.h>

#include "base/elf/build_id.h"
#include "base/elf/elf_image.h"
#include "bytes.h"

#define UNIT  8
#define WORDS 5

static const char *const names[] = {"first", "second", "PQconnectdb", ""};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	uint64_t at[WORDS];
	uint16_t address;
	size_t n;
	char *memory;
	ElfW(Phdr) headers[3];
	struct elf_image image;
	struct elf_image_symbols symbols;
	char id[BUILD_ID_MAX];
	struct strbuf t;
	const char *symbol;

	for (size_t i = 0; i < WORDS; i++) {
		at[i] = (uint64_t)take_byte(&b) * UNIT;
	}
	address = take_number(&b);
	n = b.left;
	/* To the byte, so that the sanitizer sees what is read behind it. */
	memory = malloc(n > 0 ? n : 1);
	require(memory != NULL);
	memcpy(memory, b.at, n);
	headers[0] = (ElfW(Phdr)){.p_type = PT_LOAD,
	                          .p_flags = PF_R,
	                          .p_vaddr = 0,
	                          .p_memsz = at[4] > 0 && at[4] < n ? at[4] : n};
	headers[1] = (ElfW(Phdr)){.p_type = PT_DYNAMIC, .p_vaddr = at[0], .p_memsz = at[1]};
	headers[2] = (ElfW(Phdr)){
		.p_type = PT_NOTE, .p_vaddr = at[2], .p_memsz = at[3], .p_align = at[3] % 16};
	image = (struct elf_image){
		.bias = (uintptr_t)memory, .name = "x", .headers = headers, .count = 3};
	strbuf_init(&t, id, sizeof(id));
	elf_image_build_id(&image, &t);
	require(strspn(id, "0123456789abcdef") == t.len && strlen(id) == t.len);
	symbol = elf_image_symbol(&image, address);
	require(symbol == NULL || strlen(symbol) < n);
	if (elf_image_symbols(&image, &symbols)) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			uintptr_t value;

			elf_image_find(&image, &symbols, names[i], &value);
		}
	}
	free(memory);
	return 0;
}
