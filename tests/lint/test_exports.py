# SPDX-License-Identifier: PostgreSQL
"""What the shim shows to the program, and what it needs of it."""
import platform
import re

import house

# C library functions that run no exit handlers: the report has to come before them.
EXITS = {"_exit", "_Exit", "quick_exit"}
# Thunks, on the machines that have them.
LOADER = {"dlsym", "dlopen"}
# What libpq calls for all that it does outside TLS, and what makes and closes a socket.
SOCKETS = {"connect", "send", "recv", "close", "socket"}
# Tie a connection's socket to something that PQfinish must untie, or set its options.
DESCRIPTORS = {"epoll_ctl", "dup2", "dup3", "setsockopt", "fcntl", "fcntl64", "ioctl"}
# Change who the process is, or may.
CREDENTIALS = {"setuid", "setgid", "seteuid", "setegid", "setreuid", "setregid", "setresuid",
               "setresgid", "unshare", "setns", "syscall"}
# The program becomes another one, and the idle sessions are not closed by themselves.
EXECS = {"execv", "execve", "execvp", "execvpe", "fexecve", "execveat", "execl", "execlp",
         "execle"}
# Exit handlers: one of ours is always the newest.
HANDLERS = {"__cxa_atexit", "__cxa_thread_atexit_impl", "on_exit"}
LIBC = EXITS | HANDLERS | LOADER | SOCKETS | DESCRIPTORS | CREDENTIALS | EXECS


def hooks():
    text = house.without_comments(house.read("shim/base/libpq/functions.def"))
    return set(re.findall(r"^HOOK(?:_OPTIONAL)?\((\w+)\)", text, re.M))


def exports_map():
    text = house.without_comments(house.read("shim/hooks/exports.map"))
    shown = re.search(r"global:(.*?)local:\s*\*;", text, re.S)
    assert shown, "exports.map: no global: … local: *;"
    return set(re.findall(r"\w+", re.sub(r"#[^\n]*", "", shown.group(1))))


def default_visible(object_file):
    """Functions that an object would export if no version script were there."""
    shown = set()
    for line in house.output("readelf", "-sW", object_file).splitlines():
        columns = line.split()
        if len(columns) == 8 and columns[3:6] == ["FUNC", "GLOBAL", "DEFAULT"] and (
                columns[6] != "UND"):
            shown.add(columns[7])
    return shown


def test_exports_map_is_hooks_def():
    listed = exports_map()
    assert listed - LIBC == hooks()
    assert {n for n in listed if not n.startswith("PQ")} <= LIBC


def test_object_exports_the_map():
    lines = house.output("nm", "-D", "--defined-only", house.SHIM).splitlines()
    symbols = {line.split()[2].split("@")[0] for line in lines if line.split()[1] != "A"}
    assert symbols == exports_map()


def test_four_files_define_the_hooks():
    visible = {name: default_visible(path) for name, path in house.objects().items()}
    pq = {name: {f for f in shown if f.startswith("PQ")} for name, shown in visible.items()}
    answered = set().union(*(pq.pop("shim/hooks/%s.c" % name)
                             for name in ("pq_connect", "pq_query", "pq_unconnected", "pq_cancel")))
    assert answered == hooks()
    assert not any(pq.values()), "PQ functions in other files: %s" % pq
    assert set().union(*visible.values()) == exports_map(), "visible by mistake, or not defined"


def test_needs_only_libc():
    """Nor the dynamic linker's own object, of which the library would need no more than _r_debug:
    it would come before the program's libraries in the search for each of their symbols."""
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", house.output("readelf", "-dW", house.SHIM))
    assert needed == ["libc.so.6"]


def test_needs_the_oldest_c_library_only():
    """A build with a newer one, which has newer versions of old functions, runs with it, too."""
    oldest = re.search(r"__GLIBC_PREREQ\((\d+), (\d+)\)'", house.read("Makefile")).groups()
    versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", house.output("readelf", "-VW", house.SHIM))
    assert versions and max(tuple(map(int, v)) for v in versions) <= tuple(map(int, oldest))


def test_bound_when_used_and_hardened():
    """Programs that never use libpq do not pay for the lookups at their start."""
    dynamic = house.output("readelf", "-dW", house.SHIM)
    assert not re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", dynamic), "bound at load"
    assert not re.search(r"TEXTREL|\(RPATH\)|\(RUNPATH\)", dynamic)
    stack = re.findall(r"GNU_STACK.*", house.output("readelf", "-lW", house.SHIM))
    assert stack and "E" not in stack[0].split()[-2], "executable stack"


def test_thunks_jump():
    """dlsym and dlopen leave no frame of their own: the linker goes by who called them."""
    jump, call = {"x86_64": (r"jmp +\*%r", r"call +"), "aarch64": (r"br\s+x", r"blr?\s+")}[
        platform.machine()]
    for name in LOADER:
        code = house.output("objdump", "-d", "--no-show-raw-insn", "--disassemble=" + name,
                            house.SHIM)
        assert len(re.findall(r"\t%s" % jump, code)) == 1, code
        calls = re.findall(r"\t%s(.*)" % call, code)
        assert len(calls) == 1 and "<loader_%s>" % name in calls[0], code
