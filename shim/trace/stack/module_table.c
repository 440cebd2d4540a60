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

/* The loader knows the main program without a name, and the kernel takes its time to tell it.
 */
static const char *program_path(char buf[PATH_MAX])
{
	static const char *known;
	ssize_t n;

	if (known == NULL) {
		n = readlink("/proc/self/exe", buf, PATH_MAX - 1);
		if (n <= 0) {
			return module_table_string(program_name());
		}
		buf[n] = '\0';
		known = module_table_string(buf);
	}
	return known;
}

/* `buf` is for a path. */
static const struct stack_module *intern_module(const struct elf_image *image,
                                                char buf[PATH_MAX])
{
	char hex[BUILD_ID_MAX];
	struct stack_module shown;
	struct module *module;
	struct strbuf id;

	strbuf_init(&id, hex, sizeof(hex));
	elf_image_build_id(image, &id);
	shown.path =
		image->name[0] != '\0' ? module_table_string(image->name) : program_path(buf);
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

/* One buffer for both, so that fewer pages are touched. */
struct room {
	struct elf_image images[STACK_MAX_DEPTH]; /* one per address */
	char path[PATH_MAX];
};

_Static_assert(sizeof(struct room) <= SCRATCH_BYTES, "it fits into scratch");

/* Fills the frames of `stack` from their addresses; false if memory ran out. */
static bool describe(struct room *room, struct stack *stack, const uintptr_t *addresses)
{
	struct elf_image *images = room->images;
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
			frame->module = intern_module(&images[i], room->path);
		}
		if (frame->module == NULL) {
			return false;
		}
		symbol = elf_image_symbol(&images[i], frame->offset);
		frame->symbol = symbol != NULL ? module_table_string(symbol) : NULL;
	}
	return true;
}

bool module_table_describe(struct stack *stack, const uintptr_t *addresses)
{
	struct room *room = scratch_take();
	bool described = room != NULL && describe(room, stack, addresses);

	scratch_give(room);
	return described;
}
