/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where a script stands: the file, line and function of each of its frames, for programs
 * that are interpreters (Python, Perl, PHP, Ruby).
 *
 * An interpreter is recognised by the symbols that it exports, wherever in the process
 * it was loaded; another version of it than those known here counts as none. What a
 * thread's script is doing is read from the interpreter's memory as it lies there. No
 * function of the interpreter is called that could allocate, count references, run a
 * script or wait for a lock: its own lock (Python's GIL, Ruby's GVL) may have been given
 * up around the call that brought us here, and is never taken. The frames of a thread
 * that is inside such a call stand still.
 *
 * Memory is read without faith: until an interpreter's layout has proved to be the
 * expected one, and always where another thread may move things, each page is asked for
 * before it is touched. On any doubt there are no frames.
 *
 * Locks: none. Fork: nothing is kept but where the interpreters are. Nothing here may
 * be called from a signal handler that interrupted malloc.
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
 * True if an interpreter is loaded: whoever captures a stack should look for its frames.
 * `changes` is dl_changes(), as of now.
 */
bool script_present(unsigned long long changes);

/*
 * The interpreter whose code holds `address`, a frame of the calling thread's stack;
 * NULL if none does.
 */
struct script_interpreter *script_at(uintptr_t address);

/*
 * Describes the calling thread's script, `depth` frames at most but always one; false
 * if none is running that could be read. `interpreter` is whose code a frame of this
 * thread lies in, NULL if no such frame was met.
 */
bool script_capture(struct script_interpreter *interpreter, unsigned depth,
                    struct script *script);

/*
 * True if what the calling thread does now is the end of its interpreter, which tidies
 * up what the script still holds: exit handlers of the script, destruction of objects
 * after its last statement. `changes` as for script_present.
 */
bool script_interpreter_ending(unsigned long long changes);

#endif
