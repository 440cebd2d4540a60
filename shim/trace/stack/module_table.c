/* SPDX-License-Identifier: PostgreSQL */
/* Modules, offsets and exported functions of code addresses. */
#include "trace/stack/module_table.h"

#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/program.h"
#include "base/dl.h"
#include "base/elf/build_id.h"
#include "base/elf/elf_image.h"
#include "base/scratch.h"
#include "base/text/hash.h"
#include "base/text/strbuf.h"

struct string {
	UT_hash_handle hh;
	char text[];
};

struct module {
	struct stack_module shown; /* of interned strings, so its bytes are the key */
	UT_hash_handle hh;
};

static struct string *strings;
static struct module *modules;

struct placing {
	const uintptr_t *addresses;
	struct elf_image *images; /* one per address */
	unsigned depth;
};

static int place(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct placing *placing = arg;
	const struct elf_image image = elf_image_of(info);

	(void)size;
	for (unsigned i = 0; i < placing->depth; i++) {
		if (placing->images[i].name == NULL &&
		    elf_image_covers(&image, placing->addresses[i])) {
			placing->images[i] = image;
		}
	}
	return 0;
}

const char *module_table_string(const char *text)
{
	struct string *string;
	size_t n = strlen(text);

	HASH_FIND(hh, strings, text, n, string);
	if (string != NULL) {
		return string->text;
	}
	string = calloc(1, sizeof(*string) + n + 1);
	if (string == NULL) {
		return NULL;
	}
	memcpy(string->text, text, n);
	HASH_ADD_KEYPTR(hh, strings, string->text, n, string);
	if (string->hh.tbl == NULL) {
		free(string);
		return NULL;
	}
	return string->text;
}

/* The loader knows the main program without a name. */
static const char *module_path(const struct elf_image *image, char *buf, size_t size)
{
	ssize_t n;

	if (image->name[0] != '\0') {
		return image->name;
	}
	n = readlink("/proc/self/exe", buf, size - 1);
	if (n <= 0) {
		return program_name();
	}
	buf[n] = '\0';
	return buf;
}

static const struct stack_module *intern_module(const struct elf_image *image)
{
	char *path = scratch_take();
	char hex[BUILD_ID_MAX];
	struct stack_module shown;
	struct module *module;
	struct strbuf id;

	if (path == NULL) {
		return NULL;
	}
	strbuf_init(&id, hex, sizeof(hex));
	elf_image_build_id(image, &id);
	shown.path = module_table_string(module_path(image, path, PATH_MAX));
	scratch_give(path);
	shown.build_id = module_table_string(hex);
	if (shown.path == NULL || shown.build_id == NULL) {
		return NULL;
	}
	HASH_FIND(hh, modules, &shown, sizeof(shown), module);
	if (module != NULL) {
		return &module->shown;
	}
	module = calloc(1, sizeof(*module));
	if (module == NULL) {
		return NULL;
	}
	module->shown = shown;
	HASH_ADD(hh, modules, shown, sizeof(shown), module);
	if (module->hh.tbl == NULL) {
		free(module);
		return NULL;
	}
	return &module->shown;
}

/* Fills the frames of `stack` from their addresses; false if memory ran out. */
static bool describe(struct elf_image *images, struct stack *stack, const uintptr_t *addresses)
{
	struct placing placing = {addresses, images, stack->depth};

	memset(images, 0, stack->depth * sizeof(images[0]));
	dl_iterate(place, &placing);
	for (uint32_t i = 0; i < stack->depth; i++) {
		struct stack_frame *frame = &stack->frames[i];
		const char *symbol;

		frame->offset = addresses[i] - images[i].bias;
		if (images[i].name == NULL) {
			continue;
		}
		for (uint32_t j = 0; j < i && frame->module == NULL; j++) {
			frame->module = images[j].headers == images[i].headers
			                        ? stack->frames[j].module
			                        : NULL;
		}
		if (frame->module == NULL) {
			frame->module = intern_module(&images[i]);
		}
		if (frame->module == NULL) {
			return false;
		}
		symbol = elf_image_symbol(&images[i], frame->offset);
		frame->symbol = symbol != NULL ? module_table_string(symbol) : NULL;
	}
	return true;
}

_Static_assert(sizeof(struct elf_image[STACK_MAX_DEPTH]) <= SCRATCH_BYTES,
               "they fit into scratch");

bool module_table_describe(struct stack *stack, const uintptr_t *addresses)
{
	struct elf_image *images = scratch_take();
	bool described = images != NULL && describe(images, stack, addresses);

	scratch_give(images);
	return described;
}
