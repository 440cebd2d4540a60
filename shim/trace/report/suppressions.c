/* SPDX-License-Identifier: PostgreSQL */
/* The leaks that PQPOOL_SUPPRESS excludes from the report. */
#include "trace/report/suppressions.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text/glob.h"
#include "base/text/logfmt.h"
#include "base/text/strbuf.h"
#include "trace/script/script.h"
#include "trace/stack/frame_names.h"
#include "trace/stack/stack.h"

#define FILE_MAX      (1 << 20)
#define COMPLAINT_MAX 512

/* What a pattern may fit; bits. */
enum subject { FUNCTION = 1, MODULE = 2, SCRIPT = 4, ANY = FUNCTION | MODULE | SCRIPT };

struct pattern {
	unsigned subjects;
	const char *glob;
};

/* Written by suppress_load alone. */
static const char *file;
static struct pattern *patterns;
static size_t count;

/* ---- reading ---- */

static const struct {
	char word[12];
	enum subject subject;
} subjects[] = {{"function:", FUNCTION}, {"module:", MODULE}, {"script:", SCRIPT}};

/* `line` 0: the file as a whole is wrong. */
static void complain_about(const char *path, unsigned line, const char *what,
                           config_complain *complain, void *arg)
{
	char buf[COMPLAINT_MAX];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	strbuf_str(&t, "pqpool: PQPOOL_SUPPRESS=\"");
	logfmt_bytes(&t, path, strlen(path));
	strbuf_str(&t, "\"");
	if (line > 0) {
		strbuf_str(&t, ", line ");
		strbuf_u64(&t, line);
	}
	strbuf_str(&t, ": ");
	strbuf_str(&t, what);
	strbuf_str(&t, "; all leaks are reported");
	complain(arg, buf);
}

/* Without the blanks around it. */
static char *trim(char *line)
{
	size_t len;

	line += strspn(line, " \t\r");
	len = strlen(line);
	while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL) {
		len--;
	}
	line[len] = '\0';
	return line;
}

/* False: an unknown word before a colon, or nothing after a known one. */
static bool understand(const char *line, struct pattern *pattern)
{
	size_t letters = 0;

	*pattern = (struct pattern){.subjects = ANY, .glob = line};
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		size_t len = strlen(subjects[i].word);

		if (strncmp(line, subjects[i].word, len) == 0) {
			pattern->subjects = subjects[i].subject;
			pattern->glob = line + len + strspn(line + len, " \t");
			return *pattern->glob != '\0';
		}
	}
	while ((line[letters] | 0x20) >= 'a' && (line[letters] | 0x20) <= 'z') {
		letters++;
	}
	return letters == 0 || line[letters] != ':';
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	while ((text = strchr(text, '\n')) != NULL) {
		lines++;
		text++;
	}
	return lines;
}

/* The number of the first line that is wrong; 0 if none is. */
static unsigned understand_all(char *text)
{
	unsigned number = 0;

	while (text != NULL) {
		char *line = strsep(&text, "\n");

		number++;
		line = trim(line);
		if (*line == '\0' || *line == '#') {
			continue;
		}
		if (!understand(line, &patterns[count])) {
			return number;
		}
		count++;
	}
	return 0;
}

void suppress_load(const char *path, config_complain *complain, void *arg)
{
	char *text;
	unsigned bad;

	if (path == NULL) {
		return;
	}
	text = fd_read_text(path, FILE_MAX);
	if (text != NULL) {
		patterns = calloc(count_lines(text), sizeof(*patterns));
	}
	if (patterns == NULL) {
		complain_about(path, 0,
		               errno == EFBIG ? "must be a file of at most 1 MB"
		                              : strerrordesc_np(errno),
		               complain, arg);
		free(text);
		return;
	}
	bad = understand_all(text);
	if (bad > 0) {
		complain_about(path, bad,
		               "must be function:PATTERN, module:PATTERN, script:PATTERN, or "
		               "a PATTERN for any of them",
		               complain, arg);
		count = 0;
		free(patterns);
		free(text);
		patterns = NULL;
		return;
	}
	/* The text stays: the patterns point into it. */
	file = count > 0 ? path : NULL;
}

const char *suppress_file(void)
{
	return file;
}

/* ---- matching ---- */

/* A pattern without a slash may also match the last part of a path. */
static bool fits(const char *glob, const char *name, size_t len)
{
	const char *slash = memrchr(name, '/', len);

	if (glob_matches(glob, name, len)) {
		return true;
	}
	return slash != NULL && strchr(glob, '/') == NULL &&
	       glob_matches(glob, slash + 1, len - (size_t)(slash + 1 - name));
}

static bool any_fits(enum subject subject, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		if ((patterns[i].subjects & subject) != 0 &&
		    fits(patterns[i].glob, name, len)) {
			return true;
		}
	}
	return false;
}

static bool frame_matches(const struct stack_frame *frame)
{
	char buf[FRAME_NAME_FUNCTION_MAX];
	const char *function = frame_name_function(frame, buf, sizeof(buf));
	const char *module = frame->module != NULL ? frame->module->path : NULL;

	return (function != NULL && any_fits(FUNCTION, function, strlen(function))) ||
	       (module != NULL && any_fits(MODULE, module, strlen(module)));
}

/* A part of a script's frame, unescaped: a blank in a path is a blank. */
static bool part_fits(enum subject subject, const char *part, size_t len)
{
	char buf[SCRIPT_FRAMES_MAX];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	frame_name_put_script(&t, part, len);
	return any_fits(subject, t.buf, t.len);
}

static bool script_matches(const struct frame_name_script *script)
{
	return part_fits(SCRIPT, script->line, script->line_len) ||
	       part_fits(SCRIPT, script->line, script->file_len) ||
	       (script->function_len > 0 &&
	        part_fits(FUNCTION, script->function, script->function_len));
}

bool suppress_matches(uint32_t id)
{
	const struct stack *stack = count > 0 ? stack_get(id) : NULL;
	const char *frames = stack != NULL ? stack->script_frames : NULL;
	struct frame_name_script script;

	for (uint32_t i = 0; stack != NULL && i < stack->depth; i++) {
		if (frame_matches(&stack->frames[i])) {
			return true;
		}
	}
	while (frame_name_next_script(&frames, &script)) {
		if (script_matches(&script)) {
			return true;
		}
	}
	return false;
}
