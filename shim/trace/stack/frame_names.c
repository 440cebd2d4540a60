/* SPDX-License-Identifier: PostgreSQL */
/* Names the frames of a stack. */
#include "trace/stack/frame_names.h"

#include <string.h>

#include "base/elf/symbol.h"

const char *frame_name_function(const struct stack_frame *frame, char *buf, size_t size)
{
	buf[0] = '\0';
	if (frame->module != NULL) {
		symbol_nearest(frame->module->path, frame->offset, buf, size);
	}
	return buf[0] != '\0' ? buf : frame->symbol;
}

bool frame_name_next_script(const char **frames, struct frame_name_script *script)
{
	const char *frame = *frames != NULL ? *frames + strspn(*frames, " ") : "";
	size_t len;
	const char *bracket;
	const char *colon;

	*script = (struct frame_name_script){0};
	if (*frame == '\0') {
		return false;
	}
	len = strcspn(frame, " ");
	*frames = frame + len + strspn(frame + len, " ");
	script->line = frame;
	script->line_len = len;
	/* A bracket may be in the file's name, too; the last one opens the function. */
	bracket = frame[len - 1] == ')' ? memrchr(frame, '(', len) : NULL;
	if (bracket != NULL) {
		script->line_len = (size_t)(bracket - frame);
		script->function = bracket + 1;
		script->function_len = len - script->line_len - 2;
	}
	colon = memrchr(frame, ':', script->line_len);
	script->file_len = colon != NULL ? (size_t)(colon - frame) : script->line_len;
	return true;
}

void frame_name_put_script(struct strbuf *t, const char *part, size_t len)
{
	static const char coded[][5] = {"\\x20", "\\x28", "\\x29"};

	for (size_t i = 0; i < len; i++) {
		char c = part[i];

		for (size_t j = 0; c == '\\' && j < sizeof(coded) / sizeof(coded[0]); j++) {
			if (len - i >= 4 && memcmp(part + i, coded[j], 4) == 0) {
				c = " ()"[j];
				i += 3;
			}
		}
		strbuf_char(t, c);
	}
}

const char *frame_name_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}
