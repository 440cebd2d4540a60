/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads which line of a script the calling thread is in: file, line and function of each frame,
 * in Python, Perl, PHP or Ruby.
 *
 * Frames are read from the interpreter's memory as it lies there. No function of the
 * interpreter is called that could allocate, count references, run a script or wait for a lock:
 * its own lock (Python's GIL, Ruby's GVL) may have been released around the call that led here,
 * and is never taken. The frames of a thread inside such a call do not change.
 *
 * Memory is not trusted: until an interpreter's layout has proved to be the expected one, and
 * always where another thread may move things, each page is asked for before it is read
 * (safe_read.h). On any doubt there are no frames.
 *
 * Locks: none. Fork: nothing to do. Not for a signal handler that interrupted malloc.
 */
#ifndef PQPOOL_TRACE_SCRIPT_SCRIPT_H
#define PQPOOL_TRACE_SCRIPT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_PLACE_MAX  512
#define SCRIPT_FRAMES_MAX 1024

struct script {
	/*
	 * "/srv/app.py:12", the innermost frame that is not in a library (a file below the
	 * interpreter's folders for libraries and packages), or the innermost of all.
	 */
	char place[SCRIPT_PLACE_MAX];
	/*
	 * "/usr/lib/x.py:7(get) /srv/app.py:12(load)", innermost first, parted by spaces; a
	 * space within is \x20, and in a function "(" is \x28 and ")" \x29. Long ones are cut
	 * to whole frames; "..." stands for frames of libraries that were left out.
	 */
	char frames[SCRIPT_FRAMES_MAX];
};

struct script_interpreter;

/*
 * Describes the calling thread's script, `depth` frames at most but always one; false
 * if none is running that could be read. `interpreter` is whose code a frame of this
 * thread lies in, NULL if no such frame was met.
 */
bool script_capture(struct script_interpreter *interpreter, unsigned depth,
                    struct script *script);

#endif
