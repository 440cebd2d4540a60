/* SPDX-License-Identifier: PostgreSQL */
/* C++ names as a person reads them. */
#include "common/symbols/demangle.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define LIBRARY    "libstdc++.so.6"
#define NAME_BYTES 2048

typedef char *demangler(const char *name, char *buf, size_t *size, int *status);

static demangler *find(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW);

	return library != NULL ? (demangler *)dlsym(library, "__cxa_demangle") : NULL;
}

char *demangle(const char *name)
{
	static demangler *known;
	char *clear = NULL;

	if (strncmp(name, "_Z", 2) == 0 && strlen(name) < NAME_BYTES) {
		known = known != NULL ? known : find();
		clear = known != NULL ? known(name, NULL, NULL, NULL) : NULL;
	}
	return clear != NULL ? clear : xalloc_copy(name, strlen(name));
}
