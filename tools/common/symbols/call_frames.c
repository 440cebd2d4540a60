/* SPDX-License-Identifier: PostgreSQL */
/* The frames of a call stack as a log or a status page writes them. */
#include "common/symbols/call_frames.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define SPACE "\\x20" /* how a space within a path is written */

/* A copy of `n` bytes at `s` with spaces restored. */
static char *copy_name(const char *s, size_t n)
{
	char *copy = xalloc_copy(s, n);
	char *to = copy;

	for (const char *from = copy; *from != '\0';) {
		if (strncmp(from, SPACE, strlen(SPACE)) == 0) {
			*to++ = ' ';
			from += strlen(SPACE);
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return copy;
}

/* The build id behind "MODULE=" in `build_ids`, which is as raw as `module`. */
static char *find_build_id(const char *build_ids, const char *module, size_t n)
{
	while (*build_ids != '\0') {
		size_t len = strcspn(build_ids, " ");

		if (len > n && build_ids[n] == '=' && strncmp(build_ids, module, n) == 0) {
			return xalloc_copy(build_ids + n + 1, len - n - 1);
		}
		build_ids += len;
		build_ids += strspn(build_ids, " ");
	}
	return xalloc_copy("", 0);
}

/* Where "+0x12ab" begins that ends the word or stands before a symbol; NULL: nowhere. */
static const char *find_offset(const char *word, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t at = len; at-- > 0;) {
		const char *s = word + at;
		bool begins = len - at > 3 && strncmp(s, "+0x", 3) == 0;
		size_t n = begins ? strspn(s + 3, digits) : 0;

		if (n > 0 && n <= 16 &&
		    (at + 3 + n == len || (s[3 + n] == '(' && word[len - 1] == ')'))) {
			return s;
		}
	}
	return NULL;
}

static bool parse_frame(struct frame *frame, const char *word, size_t len,
                        const char *build_ids)
{
	const char *offset = find_offset(word, len);
	char *end;

	if (offset == NULL) {
		return false;
	}
	*frame = (struct frame){.module = copy_name(word, (size_t)(offset - word)),
	                        .offset = strtoull(offset + 1, &end, 16)};
	frame->build_id = find_build_id(build_ids, word, (size_t)(offset - word));
	frame->symbol = *end == '(' ? copy_name(end + 1, (size_t)(word + len - end) - 2)
	                            : xalloc_copy("", 0);
	return true;
}

void frames_parse(struct frames *frames, const char *text, const char *build_ids)
{
	*frames = (struct frames){0};
	while (*text != '\0' && frames->count < FRAMES_MAX) {
		size_t len = strcspn(text, " ");
		struct frame frame;

		if (len > 0 && parse_frame(&frame, text, len, build_ids)) {
			frames->all =
				xalloc_resize(frames->all, frames->count + 1, sizeof(frame));
			frames->all[frames->count++] = frame;
		}
		text += len;
		text += strspn(text, " ");
	}
}

void frames_free(struct frames *frames)
{
	for (size_t i = 0; i < frames->count; i++) {
		free(frames->all[i].module);
		free(frames->all[i].build_id);
		free(frames->all[i].symbol);
	}
	free(frames->all);
}

bool frames_next_script(const char **text, struct script_frame *frame)
{
	const char *word = *text + strspn(*text, " ");
	size_t len = strcspn(word, " ");
	size_t place = len;
	size_t digits;

	if (len == 0) {
		return false;
	}
	*text = word + len;
	*frame = (struct script_frame){0};
	if (word[len - 1] == ')') {
		const char *bracket = memrchr(word, '(', len);

		place = bracket != NULL ? (size_t)(bracket - word) : len;
	}
	frame->function =
		place < len ? copy_name(word + place + 1, len - place - 2) : xalloc_copy("", 0);
	digits = place;
	while (digits > 0 && word[digits - 1] >= '0' && word[digits - 1] <= '9') {
		digits--;
	}
	if (digits > 0 && digits < place && word[digits - 1] == ':') {
		frame->line = strtoul(word + digits, NULL, 10);
		place = digits - 1;
	}
	frame->file = copy_name(word, place);
	return true;
}

void frames_free_script(struct script_frame *frame)
{
	free(frame->file);
	free(frame->function);
}
