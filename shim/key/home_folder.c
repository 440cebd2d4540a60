/* SPDX-License-Identifier: PostgreSQL */
/* The home folder in which libpq looks for files. */
#include "key/home_folder.h"

#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first libpq that uses HOME. */
#define VERSION_OF_HOME 150000

/* As large as libpq's own: one that does not fit has no folder for libpq either. */
#define ENTRY_MAX 8192

/* What the password database said of a user. */
struct entry {
	struct entry *next;
	uid_t uid;
	char folder[];
};

static _Atomic(struct entry *) entries;

/* The folder that the environment names; NULL: the password database has to say. */
static const char *by_variable(const struct libpq *libpq)
{
	const char *home = libpq->PQlibVersion() >= VERSION_OF_HOME ? getenv("HOME") : NULL;

	return home != NULL && home[0] != '\0' ? home : NULL;
}

static const struct entry *recall(uid_t uid)
{
	const struct entry *entry = atomic_load(&entries);

	while (entry != NULL && entry->uid != uid) {
		entry = entry->next;
	}
	return entry;
}

/* Without memory it is asked again. */
static void remember(uid_t uid, const char *folder)
{
	size_t size = strlen(folder) + 1;
	struct entry *entry = malloc(sizeof(*entry) + size);

	if (entry == NULL) {
		return;
	}
	entry->uid = uid;
	memcpy(entry->folder, folder, size);
	entry->next = atomic_load(&entries);
	while (!atomic_compare_exchange_weak(&entries, &entry->next, entry)) {
	}
}

/* NULL: the user is unknown, or memory is short. */
static char *ask(uid_t uid)
{
	struct passwd pw;
	struct passwd *found = NULL;
	char *buf = malloc(ENTRY_MAX);
	char *folder = NULL;

	if (buf != NULL && getpwuid_r(uid, &pw, buf, ENTRY_MAX, &found) == 0 && found != NULL) {
		remember(uid, pw.pw_dir);
		folder = strdup(pw.pw_dir);
	}
	free(buf);
	return folder;
}

char *home_folder_recall(const struct libpq *libpq)
{
	const char *home = by_variable(libpq);
	const struct entry *entry = home == NULL ? recall(geteuid()) : NULL;

	if (entry != NULL) {
		home = entry->folder;
	}
	return home != NULL ? strdup(home) : NULL;
}

char *home_folder_find(const struct libpq *libpq)
{
	char *home = home_folder_recall(libpq);

	return home != NULL || by_variable(libpq) != NULL ? home : ask(geteuid());
}

bool home_folder_by_variable(const struct libpq *libpq)
{
	return by_variable(libpq) != NULL;
}

bool home_folder_is_known(const struct libpq *libpq)
{
	return by_variable(libpq) != NULL || recall(geteuid()) != NULL;
}
