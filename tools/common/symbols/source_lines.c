/* SPDX-License-Identifier: PostgreSQL */
/* The source lines of addresses in one ELF file, read from its DWARF by elfutils. */
#include "common/symbols/source_lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/symbols/demangle.h"
#include "common/xalloc.h"

#define ANSWER_BYTES  (64U << 20) /* more is no answer to a question of ours */
#define FUNCTIONS_MAX 128         /* inlined into each other */

/* ---- in the child: from an address to its lines ---- */

/* What one address is asked for, and where the answer goes. */
struct question {
	FILE *to;
	size_t index;
	Dwarf_Die *unit; /* NULL = the address has no debug information */
};

/* The folder that the file's name is relative to; "" = none, or not known. */
static const char *folder_of(const struct question *question, const char *file)
{
	Dwarf_Attribute attribute;
	const char *folder = NULL;

	if (file != NULL && file[0] != '/') {
		folder = dwarf_formstring(
			dwarf_attr(question->unit, DW_AT_comp_dir, &attribute));
	}
	return folder != NULL ? folder : "";
}

/* Writes one line: four texts, each ended by a NUL. */
static void put_line(const struct question *question, const char *function, const char *file,
                     unsigned long line)
{
	char *clear = demangle(function != NULL ? function : "");
	const char *folder = folder_of(question, file);

	fprintf(question->to, "%zu%c%s%c%s%s%s%c%lu%c", question->index, '\0', clear, '\0',
	        folder, folder[0] != '\0' ? "/" : "", file != NULL ? file : "", '\0', line,
	        '\0');
	free(clear);
}

/* "_ZN3app4openEv" where the compiler has noted it, else "open"; NULL if it has no name. */
static const char *name_of(Dwarf_Die *function)
{
	Dwarf_Attribute attribute;
	const char *linkage = NULL;

	if (dwarf_attr_integrate(function, DW_AT_linkage_name, &attribute) != NULL ||
	    dwarf_attr_integrate(function, DW_AT_MIPS_linkage_name, &attribute) != NULL) {
		linkage = dwarf_formstring(&attribute);
	}
	return linkage != NULL && strncmp(linkage, "_Z", 2) == 0 ? linkage
	                                                         : dwarf_diename(function);
}

static Dwarf_Word number_of(Dwarf_Die *die, unsigned attribute_name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word number = 0;

	dwarf_formudata(dwarf_attr(die, attribute_name, &attribute), &number);
	return number;
}

/* The file that calls the inlined function. */
static const char *calling_file(Dwarf_Die *unit, Dwarf_Die *inlined)
{
	Dwarf_Files *files;
	size_t count;

	return dwarf_getsrcfiles(unit, &files, &count) == 0
	               ? dwarf_filesrc(files, number_of(inlined, DW_AT_call_file), NULL, NULL)
	               : NULL;
}

/* Functions around an address, each within the one before: all but the first are inlined. */
struct functions {
	Dwarf_Die all[FUNCTIONS_MAX];
	size_t count;
};

/*
 * Adds those below `parent`. libdw's own dwarf_getscopes() does not find functions that were
 * inlined from another compilation unit, as link-time optimisation does.
 */
static void find_functions(Dwarf_Die *parent, Dwarf_Addr address, struct functions *functions)
{
	size_t before = functions->count;
	Dwarf_Die child;

	for (int end = dwarf_child(parent, &child); end == 0 && functions->count == before;
	     end = dwarf_siblingof(&child, &child)) {
		switch (dwarf_tag(&child)) {
		case DW_TAG_subprogram:
		case DW_TAG_inlined_subroutine:
			if (dwarf_haspc(&child, address) == 1 && before < FUNCTIONS_MAX) {
				functions->all[functions->count++] = child;
				find_functions(&child, address, functions);
			}
			break;
		case DW_TAG_lexical_block:
		case DW_TAG_try_block:
		case DW_TAG_catch_block:
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
			find_functions(&child, address, functions);
			break;
		default:
			break;
		}
	}
}

static void put_address(FILE *to, size_t index, Dwfl_Module *module, Dwarf_Addr address)
{
	Dwarf_Addr bias = 0;
	Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
	const struct question question = {to, index, unit};
	Dwfl_Line *found = dwfl_module_getsrc(module, address);
	int line = 0;
	const char *file =
		found != NULL ? dwfl_lineinfo(found, NULL, &line, NULL, NULL, NULL) : NULL;
	struct functions functions = {.count = 0};

	if (unit != NULL) {
		find_functions(unit, address - bias, &functions);
	}
	if (functions.count == 0 && file != NULL) {
		put_line(&question, dwfl_module_addrname(module, address), file,
		         (unsigned long)line);
	}
	for (size_t i = functions.count; i-- > 0;) {
		Dwarf_Die *function = &functions.all[i];

		put_line(&question, name_of(function), file, (unsigned long)line);
		file = calling_file(unit, function);
		line = (int)number_of(function, DW_AT_call_line);
	}
}

static bool put_all(FILE *to, const char *path, const uint64_t *offsets, size_t count)
{
	static const Dwfl_Callbacks callbacks = {
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	/* At its own addresses: what is added to them is 0. */
	Dwfl_Module *module =
		dwfl != NULL ? dwfl_report_elf(dwfl, path, path, -1, 0, true) : NULL;

	if (module == NULL || dwfl_report_end(dwfl, NULL, NULL) != 0) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		put_address(to, i, module, offsets[i]);
	}
	return fflush(to) == 0;
}

/* What ends the child where it takes too long, or too much room, or dies. */
static void limit(int timeout_ms)
{
	const struct itimerval time = {.it_value = {.tv_sec = timeout_ms / 1000,
	                                            .tv_usec = timeout_ms % 1000 * 1000 + 1}};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	sigset_t alarm_only;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ANSWER_BYTES, ANSWER_BYTES});
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	signal(SIGALRM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
	setitimer(ITIMER_REAL, &time, NULL);
	/* Not the C library's last words, nor a request to a server. */
	dup2(null, STDERR_FILENO);
	unsetenv("DEBUGINFOD_URLS");
}

/* ---- in the parent ---- */

/* The next text; NULL at the end, also where that is in the middle of it. */
static char *next_text(FILE *from)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t n = getdelim(&text, &size, '\0', from);

	if (n > 0 && text[n - 1] == '\0') {
		return text;
	}
	free(text);
	return NULL;
}

/* Takes the text over; an empty one is what is not known. */
static char *known(char *text)
{
	if (text[0] == '\0') {
		free(text);
		return NULL;
	}
	return text;
}

static bool take_line(FILE *from, size_t count, struct sources *found)
{
	enum { INDEX, FUNCTION, SOURCE_FILE, LINE, TEXTS };
	char *texts[TEXTS];
	struct sources *sources;
	size_t index;
	int n = 0;

	while (n < TEXTS && (texts[n] = next_text(from)) != NULL) {
		n++;
	}
	index = n == TEXTS ? strtoull(texts[INDEX], NULL, 10) : count;
	if (index >= count) {
		while (n > 0) {
			free(texts[--n]);
		}
		return false;
	}
	sources = &found[index];
	sources->all = xalloc_resize(sources->all, sources->count + 1, sizeof(*sources->all));
	sources->all[sources->count++] =
		(struct source){.function = known(texts[FUNCTION]),
	                        .file = known(texts[SOURCE_FILE]),
	                        .line = strtoul(texts[LINE], NULL, 10)};
	free(texts[INDEX]);
	free(texts[LINE]);
	return true;
}

static enum source_lines_outcome wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		return SOURCE_LINES_LATE;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? SOURCE_LINES_DONE
	                                                     : SOURCE_LINES_FAILED;
}

enum source_lines_outcome source_lines_read(const char *path, const uint64_t *offsets,
                                            size_t count, struct sources *found, int timeout_ms)
{
	int fd = memfd_create("pqpool-source-lines", MFD_CLOEXEC);
	FILE *answer = fd >= 0 ? fdopen(fd, "w+") : NULL;
	enum source_lines_outcome outcome = SOURCE_LINES_FAILED;
	pid_t child = answer != NULL ? fork() : -1;

	if (child == 0) {
		limit(timeout_ms);
		_exit(put_all(answer, path, offsets, count) ? 0 : 1);
	}
	if (child > 0) {
		outcome = wait_for(child);
		rewind(answer);
		while (take_line(answer, count, found)) {
		}
	}
	if (answer != NULL) {
		fclose(answer);
	} else if (fd >= 0) {
		close(fd);
	}
	return outcome;
}

void source_lines_free(struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++) {
		free(sources->all[i].function);
		free(sources->all[i].file);
	}
	free(sources->all);
	*sources = (struct sources){0};
}
