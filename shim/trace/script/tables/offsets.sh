#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Prints the offsets of the tables here, from the headers of the interpreters that are
# installed (Debian: python3-dev, libperl-dev, php-dev). Ruby's headers do not have them.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# show NAME FLAGS...: compiles the standard input and runs it.
show() {
	local name=$1
	shift
	gcc -w -x c -o "$folder/$name" - "$@" && "$folder/$name"
}

common='
#include <stddef.h>
#include <stdio.h>
#define OFFSET(type, member) printf(", %zu", offsetof(type, member))
#define NUMBER(value)        printf(", %u", (unsigned)(value))'

for include in /usr/include/python3.*; do
	version=$(basename "$include")
	show "$version" -I"$include" -I"$include/internal" -l"$version" <<-EOF || true
		#define Py_BUILD_CORE 1
		#include <Python.h>
		$common
		#if PY_VERSION_HEX < 0x030b0000
		#include <frameobject.h>
		#elif PY_VERSION_HEX < 0x030d0000
		#include <internal/pycore_frame.h>
		#else
		#include <internal/pycore_runtime.h>
		#define PUBLISHED(member) OFFSET(_Py_DebugOffsets, member)
		#endif
		int main(void)
		{
			printf("%s(%d, %d", PY_VERSION_HEX < 0x030d0000 ? "VERSION_TABLE" : "VERSION_PUBLISHED",
			       PY_MAJOR_VERSION, PY_MINOR_VERSION);
		#if PY_VERSION_HEX < 0x030b0000
			NUMBER(0);
			OFFSET(PyThreadState, frame);
			OFFSET(PyThreadState, thread_id);
			OFFSET(PyFrameObject, f_code);
			OFFSET(PyFrameObject, f_back);
			OFFSET(PyFrameObject, f_lasti);
			NUMBER(0);
			OFFSET(PyCodeObject, co_flags);
			OFFSET(PyCodeObject, co_firstlineno);
			OFFSET(PyCodeObject, co_filename);
			OFFSET(PyCodeObject, co_name);
			OFFSET(PyCodeObject, co_lnotab);
			NUMBER(0);
		#elif PY_VERSION_HEX < 0x030d0000
			OFFSET(PyThreadState, cframe);
			OFFSET(_PyCFrame, current_frame);
			OFFSET(PyThreadState, thread_id);
			OFFSET(_PyInterpreterFrame, f_code);
			OFFSET(_PyInterpreterFrame, previous);
			OFFSET(_PyInterpreterFrame, prev_instr);
			OFFSET(_PyInterpreterFrame, owner);
			OFFSET(PyCodeObject, co_flags);
			OFFSET(PyCodeObject, co_firstlineno);
			OFFSET(PyCodeObject, co_filename);
			OFFSET(PyCodeObject, co_qualname);
			OFFSET(PyCodeObject, co_linetable);
			OFFSET(PyCodeObject, co_code_adaptive);
		#else
			NUMBER(0);
			PUBLISHED(thread_state.current_frame);
			PUBLISHED(thread_state.thread_id);
			PUBLISHED(interpreter_frame.executable);
			PUBLISHED(interpreter_frame.previous);
			PUBLISHED(interpreter_frame.instr_ptr);
			PUBLISHED(interpreter_frame.owner);
			NUMBER(0);
			PUBLISHED(code_object.firstlineno);
			PUBLISHED(code_object.filename);
			PUBLISHED(code_object.qualname);
			PUBLISHED(code_object.linetable);
			PUBLISHED(code_object.co_code_adaptive);
			PUBLISHED(unicode_object.asciiobject_size);
			NUMBER(0);
		#endif
		#if PY_VERSION_HEX < 0x030d0000
			NUMBER(sizeof(PyASCIIObject));
			NUMBER(sizeof(PyCompactUnicodeObject));
		#endif
			puts(")");
			return 0;
		}
	EOF
done

for include in /usr/lib/*/perl/5*/CORE; do
	[ -e "$include/perl.h" ] || continue
	show perl -D_REENTRANT -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$include" -lperl <<-EOF || true
		#include <EXTERN.h>
		#include <perl.h>
		$common
		#undef printf
		int main(void)
		{
			printf("VERSION_TABLE(%d", PERL_VERSION);
			OFFSET(struct interpreter, Icurcop);
			OFFSET(struct interpreter, Icompiling);
			OFFSET(struct interpreter, Iphase);
			NUMBER(OP_NEXTSTATE);
			NUMBER(OP_DBSTATE);
			printf(")\n");
			return 0;
		}
	EOF
	break # the versioned folder and its link are the same
done

for include in /usr/include/php/2*; do
	[ -e "$include/Zend/zend.h" ] || continue
	show php -D_GNU_SOURCE -I"$include" -I"$include"/{Zend,main,TSRM} <<-EOF || true
		$common
		#include <zend.h>
		#include <zend_compile.h>
		#include <zend_globals.h>
		#include <php_version.h>
		int main(void)
		{
			printf("VERSION_TABLE(\"%d.%d\", \"%.3s\"", PHP_MAJOR_VERSION, PHP_MINOR_VERSION,
			       ZEND_VERSION);
			OFFSET(zend_executor_globals, current_execute_data);
			OFFSET(zend_executor_globals, opline_before_exception);
			OFFSET(zend_executor_globals, flags);
			OFFSET(zend_op_array, filename);
			OFFSET(zend_op_array, line_start);
			puts(")");
			return 0;
		}
	EOF
done
