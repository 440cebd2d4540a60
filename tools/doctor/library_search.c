/* SPDX-License-Identifier: PostgreSQL */
/* Where the dynamic linker of glibc finds a library, told from the files alone. */
#include "doctor/library_search.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the cache that ldconfig(8) makes ---- */

#define CACHE_FILE  "/etc/ld.so.cache"
#define CACHE_MAGIC "glibc-ld.so.cache1.1"

struct cache_head {
	char magic[sizeof(CACHE_MAGIC) - 1];
	uint32_t entries;
	uint32_t string_bytes;
	uint32_t unused[5];
};

struct cache_entry {
	int32_t flags;
	uint32_t name; /* offsets from the head */
	uint32_t path;
	uint32_t os;
	uint64_t hwcap; /* 0 = for every processor */
};

static const char *cache_string(const char *cache, size_t size, uint32_t offset)
{
	return offset < size && memchr(cache + offset, '\0', size - offset) != NULL
	               ? cache + offset
	               : NULL;
}

static bool is_usable(const char *path)
{
	struct elf_object *object = elf_object_open(path);

	elf_object_close(object);
	return object != NULL;
}

/* The first entry of that name which is of our kind: 32-bit libraries are in there, too. */
static bool look_in_cache(const char *cache, size_t size, const char *name, char *path)
{
	struct cache_head head;

	if (size < sizeof(head)) {
		return false;
	}
	memcpy(&head, cache, sizeof(head));
	if (memcmp(head.magic, CACHE_MAGIC, sizeof(head.magic)) != 0) {
		return false;
	}
	for (size_t i = 0;
	     i < head.entries && (size - sizeof(head)) / sizeof(struct cache_entry) > i; i++) {
		struct cache_entry entry;
		const char *found;

		memcpy(&entry, cache + sizeof(head) + i * sizeof(entry), sizeof(entry));
		found = cache_string(cache, size, entry.name);
		if (found == NULL || strcmp(found, name) != 0 || entry.hwcap != 0) {
			continue;
		}
		found = cache_string(cache, size, entry.path);
		if (found != NULL && is_usable(found)) {
			snprintf(path, PATH_MAX, "%s", found);
			return true;
		}
	}
	return false;
}

static bool search_cache(const char *name, char *path)
{
	int fd = open(CACHE_FILE, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool found = false;
	char *cache;

	if (fd < 0) {
		return false;
	}
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		cache = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (cache != MAP_FAILED) {
			found = look_in_cache(cache, (size_t)st.st_size, name, path);
			munmap(cache, (size_t)st.st_size);
		}
	}
	close(fd);
	return found;
}

/* ---- lists of directories ---- */

/* The length of "$NAME" or "${NAME}" at `s`; 0 if it is something else. */
static size_t token(const char *s, const char *name)
{
	size_t brace = s[1] == '{';
	size_t len = strlen(name);

	if (s[0] != '$' || strncmp(s + 1 + brace, name, len) != 0 ||
	    (brace && s[1 + brace + len] != '}')) {
		return 0;
	}
	return 1 + 2 * brace + len;
}

/* The directory part of an object's path in `buf`; its own, not that of a link to it. */
static void origin_of(const struct elf_object *object, char *buf)
{
	char *slash;

	if (realpath(object->path, buf) == NULL) {
		snprintf(buf, PATH_MAX, "%s", object->path);
	}
	slash = strrchr(buf, '/');
	if (slash != NULL) {
		*slash = '\0';
	}
}

/* "lib/x86_64-linux-gnu" on Debian: what the C library's own directory is called. */
static const char *lib_name(void)
{
	static char name[PATH_MAX];
	char path[PATH_MAX];

	if (name[0] == '\0' && search_cache("libc.so.6", path)) {
		char *slash = strrchr(path, '/');
		char *begin = strstr(path, "/lib");

		if (slash != NULL && begin != NULL && begin < slash) {
			snprintf(name, sizeof(name), "%.*s", (int)(slash - begin - 1),
			         begin + 1);
		}
	}
	return name[0] != '\0' ? name : "lib";
}

/* `directory` with $ORIGIN and $LIB put in; false if it does not fit. */
static bool expand(const char *directory, size_t len, const struct elf_object *object,
                   char *buf)
{
	char origin[PATH_MAX];
	size_t at = 0;

	origin_of(object, origin);
	for (size_t i = 0; i < len;) {
		size_t skip = token(directory + i, "ORIGIN");
		const char *put = origin;
		int n;

		if (skip == 0) {
			skip = token(directory + i, "LIB");
			put = lib_name();
		}
		n = skip > 0 ? snprintf(buf + at, PATH_MAX - at, "%s", put)
		             : snprintf(buf + at, PATH_MAX - at, "%c", directory[i]);
		if (n < 0 || (size_t)n >= PATH_MAX - at) {
			return false;
		}
		at += (size_t)n;
		i += skip > 0 ? skip : 1;
	}
	buf[at] = '\0';
	return true;
}

static bool look_in(const char *directory, const char *name, char *path)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", directory[0] != '\0' ? directory : ".", name);

	return n > 0 && n < PATH_MAX && is_usable(path);
}

static bool search_list(const char *list, const char *separators, const char *name,
                        const struct elf_object *object, char *path)
{
	char directory[PATH_MAX];

	if (list == NULL || list[0] == '\0') {
		return false;
	}
	for (;;) {
		size_t len = strcspn(list, separators);

		if (expand(list, len, object, directory) && look_in(directory, name, path)) {
			return true;
		}
		if (list[len] == '\0') {
			return false;
		}
		list += len + 1;
	}
}

static bool search_defaults(const char *name, char *path)
{
	char usual[PATH_MAX];

	snprintf(usual, sizeof(usual), "/%s", lib_name());
	return look_in(usual, name, path) || look_in("/lib64", name, path) ||
	       look_in("/usr/lib64", name, path) || look_in("/lib", name, path) ||
	       look_in("/usr/lib", name, path);
}

/* DT_RPATH of who asks and of those that caused it; each counts only without DT_RUNPATH. */
static bool search_rpaths(const char *name, const struct loaded *by, char *path)
{
	if (by->object->runpath != NULL) {
		return false;
	}
	for (const struct loaded *each = by; each != NULL; each = each->by) {
		if (each->object->runpath == NULL &&
		    search_list(each->object->rpath, ":", name, each->object, path)) {
			return true;
		}
	}
	return false;
}

const char *search_library(const char *name, const struct loaded *by, char path[PATH_MAX])
{
	if (strchr(name, '/') != NULL) {
		return expand(name, strlen(name), by->object, path) && is_usable(path)
		               ? "its path"
		               : NULL;
	}
	if (search_rpaths(name, by, path)) {
		return "DT_RPATH";
	}
	if (search_list(getenv("LD_LIBRARY_PATH"), ":;", name, by->object, path)) {
		return "LD_LIBRARY_PATH";
	}
	if (search_list(by->object->runpath, ":", name, by->object, path)) {
		return "DT_RUNPATH";
	}
	if (elf_object_has_nodeflib(by->object)) {
		return NULL;
	}
	if (search_cache(name, path)) {
		return CACHE_FILE;
	}
	return search_defaults(name, path) ? "the default directories" : NULL;
}

/* ---- loading, as if ---- */

size_t load_order_index(const struct load_order *order, const char *name)
{
	size_t i;

	for (i = 0; i < order->count; i++) {
		const struct elf_object *object = order->all[i]->object;

		if (strcmp(object->path, name) == 0 ||
		    (object->soname != NULL && strcmp(object->soname, name) == 0)) {
			break;
		}
	}
	return i;
}

static const struct loaded *find_loaded(const struct load_order *order, const char *name)
{
	size_t i = load_order_index(order, name);

	return i < order->count ? order->all[i] : NULL;
}

static const struct loaded *add(struct load_order *order, const char *path,
                                const struct loaded *by, const char *rule)
{
	struct elf_object *object = elf_object_open(path);
	struct loaded *loaded = calloc(1, sizeof(*loaded));
	struct loaded **all = realloc(order->all, (order->count + 1) * sizeof(*order->all));

	if (all != NULL) {
		order->all = all;
	}
	if (object == NULL || loaded == NULL || all == NULL) {
		elf_object_close(object);
		free(loaded);
		return NULL;
	}
	*loaded = (struct loaded){object, by, rule};
	order->all[order->count++] = loaded;
	return loaded;
}

const struct loaded *
load_order_add(struct load_order *order, const char *path, const struct loaded *by,
               const char *rule, void (*missing)(const char *, const struct loaded *, void *),
               void *arg)
{
	const struct loaded *own = find_loaded(order, path);
	size_t next = order->count;

	if (own != NULL) {
		return own;
	}
	own = add(order, path, by, rule);
	for (; next < order->count; next++) {
		const struct loaded *each = order->all[next];
		const char *name;

		for (size_t n = 0; (name = elf_object_needed(each->object, n)) != NULL; n++) {
			char found[PATH_MAX];
			const char *how;

			if (find_loaded(order, name) != NULL) {
				continue;
			}
			how = search_library(name, each, found);
			if (how == NULL || add(order, found, each, how) == NULL) {
				missing(name, each, arg);
			}
		}
	}
	return own;
}

void load_order_free(struct load_order *order)
{
	for (size_t i = 0; i < order->count; i++) {
		elf_object_close(order->all[i]->object);
		free(order->all[i]);
	}
	free(order->all);
}
