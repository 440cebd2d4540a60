/* SPDX-License-Identifier: PostgreSQL */
/* Looks for the modules that a program may load at run time and that need libpq. */
#include "doctor/modules/module_search.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/elf/elf_needed.h"
#include "common/xalloc.h"
#include "doctor/modules/interpreter_drivers.h"
#include "doctor/modules/module_folders.h"

/* Bounds of one search. Debian's largest folders of modules have some hundreds. */
#define FOLDERS_MAX 1024
#define ENTRIES_MAX 30000
#define FILES_MAX   3000
#define DEPTH_MAX   4 /* of folders in folders: pgtcl3/libpgtcl.so, RPostgreSQL/libs/x.so */
#define BYTES_MAX   (64U << 20)
#define SECONDS_MAX 5

/* A folder or file by what it is, as links lead to it by other names. */
struct seen {
	dev_t device;
	ino_t inode;
};

struct seen_list {
	struct seen *all;
	size_t count;
	size_t room;
};

static const char module_rule[] = "dlopen";

struct search {
	/* What would be in the process: the program's objects, then modules and their needs. */
	struct load_order loaded;
	const struct loaded *program;
	struct seen_list folders;
	struct seen_list files;
	struct seen_list interpreters;
	size_t entries;
	time_t end;
	struct module_search_result result;
	module_search_each *each;
	void *arg;
};

static bool is_over(struct search *search)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec >= search->end || search->folders.count >= FOLDERS_MAX ||
	    search->files.count >= FILES_MAX || search->entries >= ENTRIES_MAX) {
		search->result.cut_short = true;
	}
	return search->result.cut_short;
}

/* False if it was there before. */
static bool note_seen(struct seen_list *list, const struct stat *st)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->all[i].device == st->st_dev && list->all[i].inode == st->st_ino) {
			return false;
		}
	}
	if (list->count == list->room) {
		list->room = 2 * list->room + 64;
		list->all = xalloc_resize(list->all, list->room, sizeof(*list->all));
	}
	list->all[list->count++] = (struct seen){st->st_dev, st->st_ino};
	return true;
}

/* ---- one module ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool is_libpq(const char *name)
{
	char room[ELF_NEEDED_NAME_MAX];

	return elf_needs_libpq(base_name(name), room) != NULL;
}

static void ignore_missing(const char *name, const struct loaded *by, void *arg)
{
	(void)name;
	(void)by;
	(void)arg;
}

static bool needs_libpq(const struct load_order *order, const struct elf_object *object,
                        bool *visited)
{
	const char *name;

	for (size_t n = 0; (name = elf_object_needed(object, n)) != NULL; n++) {
		size_t i = load_order_index(order, name);

		if (is_libpq(name)) {
			return true;
		}
		if (i < order->count && !visited[i]) {
			visited[i] = true;
			if (needs_libpq(order, order->all[i]->object, visited)) {
				return true;
			}
		}
	}
	return false;
}

/* Those that came in since there were `from`. */
static void pass_interpreters(struct search *search, size_t from)
{
	for (size_t i = from; i < search->loaded.count; i++) {
		const char *path = search->loaded.all[i]->object->path;
		char interpreter[PATH_MAX];
		struct stat st;

		if (drivers_embedded(path, interpreter) && stat(path, &st) == 0 &&
		    note_seen(&search->interpreters, &st)) {
			search->each(MODULE_INTERPRETER, path, search->arg);
		}
	}
}

static void judge_file(struct search *search, const char *path)
{
	size_t before = search->loaded.count;
	const struct loaded *module;
	bool *visited;

	search->result.files++;
	module = load_order_add(&search->loaded, path, search->program, module_rule,
	                        ignore_missing, NULL);
	if (module == NULL) {
		return;
	}
	visited = xalloc_new(search->loaded.count, sizeof(*visited));
	if (needs_libpq(&search->loaded, module->object, visited)) {
		search->each(MODULE_NEEDS_LIBPQ, path, search->arg);
	}
	free(visited);
	pass_interpreters(search, before);
}

/* ---- folders ---- */

/* Where the linker keeps the libraries of all programs: "/usr/lib", "/lib/x86_64-linux-gnu". */
static bool is_linkers(const char *folder)
{
	static const char *const tops[] = {"/lib", "/lib64", "/usr/lib", "/usr/lib64",
	                                   "/usr/local/lib"};

	for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
		size_t len = strlen(tops[i]);

		if (strncmp(folder, tops[i], len) == 0 &&
		    (folder[len] == '\0' ||
		     (folder[len] == '/' && strchr(folder + len + 1, '/') == NULL &&
		      strstr(folder + len, "-linux-") != NULL))) {
			return true;
		}
	}
	return false;
}

/* Folders of no program's, or for files of any kind; and what is not below any. */
static bool is_general(const char *folder)
{
	static const char *const others[] = {
		"/proc/",    "/sys/",       "/dev/",         "/run/",       "/var/",
		"/etc/",     "/bin/",       "/sbin/",        "/usr/bin/",   "/usr/sbin/",
		"/usr/src/", "/usr/share/", "/usr/include/", "/usr/local/",
	};
	size_t len = strlen(folder);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		size_t n = strlen(others[i]);

		if (strncmp(folder, others[i], n) == 0 &&
		    strcmp(others[i], "/usr/local/") != 0) {
			return true;
		}
		if (len + 1 == n && strncmp(folder, others[i], len) == 0) {
			return true;
		}
	}
	return strchr(folder + 1, '/') == NULL || is_linkers(folder);
}

/* Modules are shared objects by name: "x.so", "x.so.2", of node "x.node". */
static bool is_module_name(const char *name)
{
	const char *so = strstr(name, ".so");
	size_t len = strlen(name);

	return (so != NULL && (so[3] == '\0' || so[3] == '.')) ||
	       (len > 5 && strcmp(name + len - 5, ".node") == 0);
}

static void walk(struct search *search, const char *folder, int depth);

static void visit(struct search *search, const char *path, const char *name, int depth)
{
	struct stat st;
	bool link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);

	if (stat(path, &st) != 0) {
		return;
	}
	if (S_ISDIR(st.st_mode) && !link && depth < DEPTH_MAX) {
		walk(search, path, depth + 1);
	} else if (S_ISREG(st.st_mode) && is_module_name(name) &&
	           note_seen(&search->files, &st)) {
		judge_file(search, path);
	}
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_wanted(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN ||
	        is_module_name(entry->d_name));
}

static void walk(struct search *search, const char *folder, int depth)
{
	struct dirent **entries = NULL;
	struct stat st;
	int count;

	if (is_over(search) || stat(folder, &st) != 0 || !S_ISDIR(st.st_mode) ||
	    !note_seen(&search->folders, &st)) {
		return;
	}
	count = scandir(folder, &entries, is_wanted, by_name);
	search->result.folders += count > 0;
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];

		search->entries++;
		if (!is_over(search) && snprintf(path, sizeof(path), "%s/%s", folder,
		                                 entries[i]->d_name) < (int)sizeof(path)) {
			visit(search, path, entries[i]->d_name, depth);
		}
		free(entries[i]);
	}
	free(entries);
}

static void look_into(const char *folder, void *arg)
{
	char path[PATH_MAX];
	size_t len = strlen(folder);

	while (len > 1 && folder[len - 1] == '/') {
		len--;
	}
	snprintf(path, sizeof(path), "%.*s", (int)len, folder);
	if (!is_general(path)) {
		walk(arg, path, 0);
	}
}

static bool is_libc(const struct elf_object *object)
{
	return object->soname != NULL && strncmp(object->soname, "libc.so.", 8) == 0;
}

/* The folders that objects name, and those that are known of them. */
static void follow(struct search *search, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct loaded *each = search->loaded.all[i];
		bool module = each->by == search->program && each->rule == module_rule;

		module_folders_known(each->object->path, look_into, search);
		/* Of what a module needs only the module itself is read, for the time it takes.
		 */
		if ((from == 0 || module) && !is_libc(each->object)) {
			module_folders_named(each->object, BYTES_MAX, look_into, search);
		}
	}
}

struct module_search_result module_search(const struct load_order *order, const char *script,
                                          module_search_each *each, void *arg)
{
	struct search search = {.each = each, .arg = arg};
	struct timespec now;
	size_t own;

	clock_gettime(CLOCK_MONOTONIC, &now);
	search.end = now.tv_sec + SECONDS_MAX;
	search.program = order->all[0];
	load_order_add(&search.loaded, search.program->object->path, NULL, "execve",
	               ignore_missing, NULL);
	own = search.loaded.count;
	pass_interpreters(&search, 0);
	if (script != NULL) {
		module_folders_known(script, look_into, &search);
	}
	follow(&search, 0, own);
	/* One level more: PHP's module of Apache has a folder of its own. */
	follow(&search, own, search.loaded.count);
	load_order_free(&search.loaded);
	free(search.folders.all);
	free(search.files.all);
	free(search.interpreters.all);
	return search.result;
}
