/* SPDX-License-Identifier: PostgreSQL */
/* Reads which line of a script the calling thread is in. */
#include "trace/script/script.h"

#include <string.h>

#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "trace/script/interpreter.h"
#include "trace/script/interpreters.h"

#define FRAMES_SHOWN        8
#define OWN_FRAMES          3 /* at least, from the place on, though libraries have many */
#define INNER_FRAMES        3 /* of these libraries then */
#define FRAMES_WALKED       128 /* SQLAlchemy alone puts some twenty between two of the program's */
#define FILE_BYTES          400
#define FUNCTION_CHARACTERS 80

/* ---- text ---- */

static void put_utf8(struct strbuf *t, uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c <= 0x9f)) {
		strbuf_char(t, '?'); /* no control characters for a terminal */
	} else if (c < 0x80) {
		strbuf_char(t, (char)c);
	} else if (c >= 0xdc80 && c <= 0xdcff) {
		strbuf_char(t, (char)(c & 0xff)); /* a byte that Python could not decode */
	} else if (c < 0x800) {
		strbuf_char(t, (char)(0xc0 | c >> 6));
		strbuf_char(t, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		strbuf_char(t, (char)(0xe0 | c >> 12));
		strbuf_char(t, (char)(0x80 | (c >> 6 & 0x3f)));
		strbuf_char(t, (char)(0x80 | (c & 0x3f)));
	} else {
		strbuf_char(t, (char)(0xf0 | (c >> 18 & 7)));
		strbuf_char(t, (char)(0x80 | (c >> 12 & 0x3f)));
		strbuf_char(t, (char)(0x80 | (c >> 6 & 0x3f)));
		strbuf_char(t, (char)(0x80 | (c & 0x3f)));
	}
}

/* Names are plain ASCII nearly always. */
static size_t plain_run(const unsigned char *chars, size_t n)
{
	size_t i = 0;

	while (i < n && chars[i] >= 0x20 && chars[i] < 0x7f) {
		i++;
	}
	return i;
}

static void put_bytes(struct strbuf *t, enum script_encoding encoding,
                      const unsigned char *chars, size_t n)
{
	while (n > 0) {
		size_t plain = plain_run(chars, n);

		strbuf_bytes(t, (const char *)chars, plain);
		chars += plain;
		n -= plain;
		if (n > 0) {
			if (encoding == SCRIPT_UTF8 && *chars >= 0x80) {
				strbuf_char(t, (char)*chars);
			} else {
				put_utf8(t, *chars);
			}
			chars++;
			n--;
		}
	}
}

static void put_characters(struct strbuf *t, enum script_encoding encoding, const void *chars,
                           size_t n)
{
	switch (encoding) {
	case SCRIPT_UTF8:
	case SCRIPT_LATIN1:
		put_bytes(t, encoding, chars, n);
		break;
	case SCRIPT_UCS2:
		for (size_t i = 0; i < n; i++) {
			put_utf8(t, ((const uint16_t *)chars)[i]);
		}
		break;
	case SCRIPT_UCS4:
		for (size_t i = 0; i < n; i++) {
			put_utf8(t, ((const uint32_t *)chars)[i]);
		}
		break;
	}
}

/* The last `max` characters of it; false if they cannot be read. */
static bool put_text(struct strbuf *t, struct safe_read *p, const struct script_text *text,
                     size_t max)
{
	static const unsigned widths[] = {
		[SCRIPT_UTF8] = 1, [SCRIPT_LATIN1] = 1, [SCRIPT_UCS2] = 2, [SCRIPT_UCS4] = 4};
	uint32_t chunk[64]; /* aligned for any width */
	unsigned width = widths[text->encoding];
	size_t left = text->length < max ? text->length : max;
	uintptr_t at = text->at + (text->length - left) * width;

	while (left > 0) {
		size_t n = left < sizeof(chunk) / width ? left : sizeof(chunk) / width;

		if (!safe_read(p, chunk, at, n * width)) {
			return false;
		}
		put_characters(t, text->encoding, chunk, n);
		at += n * width;
		left -= n;
	}
	return true;
}

/* Escapes spaces, which separate frames, and brackets, which enclose a function. */
static void put_escaped(struct strbuf *t, const char *s, const char *special)
{
	size_t n;

	while (s[n = strcspn(s, special)] != '\0') {
		strbuf_bytes(t, s, n);
		strbuf_str(t, s[n] == ' ' ? "\\x20" : s[n] == '(' ? "\\x28" : "\\x29");
		s += n + 1;
	}
	strbuf_bytes(t, s, n);
}

/* ---- capturing ---- */

struct showing {
	struct script *script;
	struct described *described; /* the frame that is looked at; scratch */
	struct strbuf frames;
	unsigned depth;
	unsigned count;
	unsigned libraries; /* how many of their frames may stay before the place ... */
	unsigned inner;     /* ... and how many do if there are more ... */
	size_t inner_len;   /* ... which is the text up to here */
	bool full;
	bool any;
	bool placed; /* the place is a frame of the program's own */
};

struct described {
	char file_buf[4 * FILE_BYTES + 1];
	char function_buf[4 * 2 * FUNCTION_CHARACTERS + 3];
	const char *file;
	const char *function;
	uint32_t line;
};

/* The end of a long name says more than its beginning. */
static const char *last_bytes(const struct strbuf *t, size_t max)
{
	const char *s = t->buf;

	if (t->len > max) {
		s += t->len - max;
		while (((unsigned char)*s & 0xc0) == 0x80) {
			s++;
		}
	}
	return s;
}

static bool describe_file(struct script_cursor *cursor, const struct script_frame *frame,
                          struct described *described)
{
	struct strbuf t;

	strbuf_init(&t, described->file_buf, sizeof(described->file_buf));
	if (!put_text(&t, &cursor->memory, &frame->file, FILE_BYTES)) {
		return false;
	}
	described->file = last_bytes(&t, FILE_BYTES);
	return true;
}

static bool describe_rest(struct script_cursor *cursor, const struct script_frame *frame,
                          struct described *described)
{
	struct strbuf t;

	strbuf_init(&t, described->function_buf, sizeof(described->function_buf));
	described->function = described->function_buf;
	described->line = cursor->interpreter->kind.line(cursor, frame);
	if (frame->scope.at != 0) {
		if (!put_text(&t, &cursor->memory, &frame->scope, FUNCTION_CHARACTERS)) {
			return false;
		}
		strbuf_str(&t, "::");
	}
	return frame->function.at == 0 ||
	       put_text(&t, &cursor->memory, &frame->function, FUNCTION_CHARACTERS);
}

static void put_line(struct strbuf *t, const struct described *described)
{
	strbuf_char(t, ':');
	strbuf_u64(t, described->line);
}

static void note_place(struct showing *showing, const struct described *described)
{
	struct strbuf t;

	strbuf_init(&t, showing->script->place, sizeof(showing->script->place));
	strbuf_str(&t, described->file);
	put_line(&t, described);
}

static bool is_library(const struct script_kind *kind, const char *file)
{
	for (size_t i = 0; kind->libraries[i][0] != '\0'; i++) {
		if (strstr(file, kind->libraries[i]) != NULL) {
			return true;
		}
	}
	return false;
}

static void start(struct showing *showing, struct script *script, unsigned depth)
{
	unsigned shown = depth < FRAMES_SHOWN ? depth : FRAMES_SHOWN;

	*showing = (struct showing){.script = script, .depth = shown > 0 ? shown : 1};
	strbuf_init(&showing->frames, script->frames, sizeof(script->frames));
	if (showing->depth > OWN_FRAMES) {
		showing->libraries = showing->depth - OWN_FRAMES;
	}
	showing->inner = showing->libraries < INNER_FRAMES ? showing->libraries : INNER_FRAMES;
}

/* Whole frames only. */
static void show(struct showing *showing, const struct described *described)
{
	struct strbuf *t = &showing->frames;
	size_t before = t->len;

	strbuf_str(t, before > 0 ? " " : NULL);
	put_escaped(t, described->file, " ");
	put_line(t, described);
	if (described->function[0] != '\0') {
		strbuf_char(t, '(');
		put_escaped(t, described->function, " ()");
		strbuf_char(t, ')');
	}
	if (t->cut) {
		t->len = before;
		t->buf[before] = '\0';
		showing->full = true;
		return;
	}
	showing->count++;
	if (showing->count == showing->inner) {
		showing->inner_len = t->len;
	}
}

/* Once the place is found: drops the middle frames of libraries if there are too many. */
static void make_room(struct showing *showing)
{
	struct strbuf *t = &showing->frames;

	if (showing->count > showing->libraries || showing->full) {
		t->len = showing->inner_len;
		t->buf[t->len] = '\0';
		t->cut = false;
		strbuf_str(t, t->len > 0 ? " ..." : "...");
		showing->count = showing->inner;
		showing->full = false;
	}
}

/* False if it is in doubt. */
static bool take_frame(struct script_cursor *cursor, const struct script_frame *frame,
                       struct showing *showing)
{
	struct described *described = showing->described;
	bool own;

	if (!describe_file(cursor, frame, described)) {
		return false;
	}
	own = !is_library(&cursor->interpreter->kind, described->file);
	if (!own && showing->any && (showing->count == showing->depth || showing->full)) {
		return true;
	}
	if (!describe_rest(cursor, frame, described)) {
		return false;
	}
	if (described->line == 0) {
		return true; /* not in a statement: before the first, or after the last */
	}
	if (!showing->any || (own && !showing->placed)) {
		note_place(showing, described);
	}
	if (own && !showing->placed) {
		showing->placed = true;
		make_room(showing);
	}
	showing->any = true;
	if (showing->count < showing->depth && !showing->full) {
		show(showing, described);
	}
	return true;
}

static bool walk(struct script_cursor *cursor, struct showing *showing)
{
	for (unsigned i = 0; i < FRAMES_WALKED; i++) {
		struct script_frame frame = {0};
		enum script_step step = cursor->interpreter->kind.next(cursor, &frame);

		if (step == SCRIPT_END) {
			break;
		}
		if (step == SCRIPT_DOUBT ||
		    (step == SCRIPT_FRAME && !take_frame(cursor, &frame, showing))) {
			return false;
		}
		if (showing->placed && (showing->count == showing->depth || showing->full)) {
			break;
		}
	}
	return showing->any;
}

static bool capture(struct script_interpreter *interpreter, struct described *described,
                    unsigned depth, struct script *script)
{
	struct script_cursor cursor = script_cursor(interpreter);
	struct showing showing;

	start(&showing, script, depth);
	showing.described = described;
	if (!interpreter->kind.begin(&cursor) || !walk(&cursor, &showing)) {
		return false;
	}
	atomic_store_explicit(&interpreter->proven, true, memory_order_relaxed);
	return true;
}

bool script_capture(struct script_interpreter *interpreter, unsigned depth,
                    struct script *script)
{
	struct described *described = scratch_take();
	bool found;

	if (interpreter == NULL) {
		interpreter = interpreters_with_jit();
	}
	found = described != NULL && interpreter != NULL &&
	        capture(interpreter, described, depth, script);
	scratch_give(described);
	return found;
}
