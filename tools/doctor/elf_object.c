/* SPDX-License-Identifier: PostgreSQL */
/* A program or shared library as its ELF file describes itself, read by libelf. */
#include "doctor/elf_object.h"

#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* This program's own header, which the linker provides. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* The content of the first section of that type; NULL if there is none. */
static Elf_Data *section(const struct elf_object *object, GElf_Word type, GElf_Shdr *header)
{
	Elf_Scn *each = NULL;

	while ((each = elf_nextscn(object->elf, each)) != NULL) {
		if (gelf_getshdr(each, header) != NULL && header->sh_type == type) {
			return elf_getdata(each, NULL);
		}
	}
	return NULL;
}

/* ---- the dynamic section ---- */

/* The n-th dynamic entry with that tag; false if there are not so many. */
static bool dynamic_value(const struct elf_object *object, GElf_Sxword tag, size_t n,
                          GElf_Xword *value, GElf_Word *strings)
{
	GElf_Shdr header = {0};
	GElf_Dyn entry;
	Elf_Data *data = section(object, SHT_DYNAMIC, &header);

	for (int i = 0; gelf_getdyn(data, i, &entry) != NULL && entry.d_tag != DT_NULL; i++) {
		if (entry.d_tag == tag && n-- == 0) {
			*value = entry.d_un.d_val;
			*strings = header.sh_link;
			return true;
		}
	}
	return false;
}

static const char *dynamic_string(const struct elf_object *object, GElf_Sxword tag, size_t n)
{
	GElf_Xword offset;
	GElf_Word strings;

	return dynamic_value(object, tag, n, &offset, &strings)
	               ? elf_strptr(object->elf, strings, offset)
	               : NULL;
}

const char *elf_object_needed(const struct elf_object *object, size_t n)
{
	return dynamic_string(object, DT_NEEDED, n);
}

bool elf_object_has_nodeflib(const struct elf_object *object)
{
	GElf_Xword flags;
	GElf_Word strings;

	return dynamic_value(object, DT_FLAGS_1, 0, &flags, &strings) &&
	       (flags & DF_1_NODEFLIB) != 0;
}

/* ---- opening ---- */

/* Whether it could be in one process with this program. */
static bool is_kin(Elf *elf)
{
	const ElfW(Ehdr) *own = &__ehdr_start;
	GElf_Ehdr header;

	return gelf_getehdr(elf, &header) != NULL &&
	       header.e_ident[EI_CLASS] == own->e_ident[EI_CLASS] &&
	       header.e_ident[EI_DATA] == own->e_ident[EI_DATA] &&
	       header.e_machine == own->e_machine &&
	       (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

static Elf *open_elf(const char *path)
{
	/* Does not wait for a pipe, nor make a terminal ours. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	Elf *elf = NULL;

	if (fd < 0) {
		return NULL;
	}
	elf_version(EV_CURRENT);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	}
	if (elf != NULL && (elf_cntl(elf, ELF_C_FDREAD) != 0 || !is_kin(elf))) {
		elf_end(elf);
		elf = NULL;
	}
	close(fd);
	return elf;
}

struct elf_object *elf_object_open(const char *path)
{
	struct elf_object *object = calloc(1, sizeof(*object));

	if (object == NULL) {
		return NULL;
	}
	object->path = strdup(path);
	object->elf = open_elf(path);
	if (object->path == NULL || object->elf == NULL) {
		elf_object_close(object);
		return NULL;
	}
	object->soname = dynamic_string(object, DT_SONAME, 0);
	object->rpath = dynamic_string(object, DT_RPATH, 0);
	object->runpath = dynamic_string(object, DT_RUNPATH, 0);
	return object;
}

void elf_object_close(struct elf_object *object)
{
	if (object != NULL) {
		elf_end(object->elf);
		free(object->path);
		free(object);
	}
}

/* ---- symbols ---- */

static bool find_symbol(const struct elf_object *object, GElf_Word table, const char *name,
                        GElf_Sym *symbol)
{
	GElf_Shdr header = {0};
	Elf_Data *data = section(object, table, &header);

	for (int i = 0; gelf_getsym(data, i, symbol) != NULL; i++) {
		const char *found = elf_strptr(object->elf, header.sh_link, symbol->st_name);

		if (found != NULL && strcmp(found, name) == 0) {
			return true;
		}
	}
	return false;
}

enum elf_symbol elf_object_symbol(const struct elf_object *object, const char *name)
{
	GElf_Sym symbol;

	if (find_symbol(object, SHT_DYNSYM, name, &symbol)) {
		return symbol.st_shndx == SHN_UNDEF ? SYMBOL_WANTED : SYMBOL_DEFINED;
	}
	return find_symbol(object, SHT_SYMTAB, name, &symbol) && symbol.st_shndx != SHN_UNDEF
	               ? SYMBOL_HIDDEN
	               : SYMBOL_ABSENT;
}

bool elf_object_constant(const struct elf_object *object, const char *name, void *to, size_t n)
{
	GElf_Sym symbol;
	GElf_Shdr header = {0};
	Elf_Scn *holder;
	Elf_Data *data;

	if (!find_symbol(object, SHT_DYNSYM, name, &symbol) || symbol.st_size < n) {
		return false;
	}
	holder = elf_getscn(object->elf, symbol.st_shndx);
	data = elf_getdata(holder, NULL);
	/* Zeroed variables are not in the file. */
	if (gelf_getshdr(holder, &header) == NULL || data == NULL || data->d_buf == NULL ||
	    symbol.st_value < header.sh_addr ||
	    symbol.st_value - header.sh_addr > data->d_size ||
	    n > data->d_size - (symbol.st_value - header.sh_addr)) {
		return false;
	}
	memcpy(to, (const char *)data->d_buf + (symbol.st_value - header.sh_addr), n);
	return true;
}

/* ---- versions ---- */

void elf_object_needs_versions(const struct elf_object *object, const char *file,
                               void (*each)(const char *version, void *arg), void *arg)
{
	GElf_Shdr header = {0};
	GElf_Verneed need = {.vn_next = 1};
	Elf_Data *data = section(object, SHT_GNU_verneed, &header);

	for (int at = 0; need.vn_next != 0 && gelf_getverneed(data, at, &need) != NULL;
	     at += (int)need.vn_next) {
		const char *name = elf_strptr(object->elf, header.sh_link, need.vn_file);
		GElf_Vernaux version;
		int aux = at + (int)need.vn_aux;

		for (int i = 0; name != NULL && strcmp(name, file) == 0 && i < need.vn_cnt &&
		                gelf_getvernaux(data, aux, &version) != NULL;
		     i++, aux += (int)version.vna_next) {
			const char *found =
				elf_strptr(object->elf, header.sh_link, version.vna_name);

			if (found != NULL) {
				each(found, arg);
			}
		}
	}
}

bool elf_object_has_version(const struct elf_object *object, const char *version)
{
	GElf_Shdr header = {0};
	GElf_Verdef definition = {.vd_next = 1};
	Elf_Data *data = section(object, SHT_GNU_verdef, &header);

	for (int at = 0;
	     definition.vd_next != 0 && gelf_getverdef(data, at, &definition) != NULL;
	     at += (int)definition.vd_next) {
		GElf_Verdaux first = {0};
		const char *name =
			gelf_getverdaux(data, at + (int)definition.vd_aux, &first) != NULL
				? elf_strptr(object->elf, header.sh_link, first.vda_name)
				: NULL;

		if (name != NULL && strcmp(name, version) == 0) {
			return true;
		}
	}
	return false;
}
