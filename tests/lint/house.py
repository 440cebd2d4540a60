# SPDX-License-Identifier: PostgreSQL
"""What the lint tests share: the tree's files, its build, and running tools."""
import functools
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("PQPOOL_BUILD", "build"))
SHIM = os.path.join(BUILD, "libpqpool.so")
# The folders of shim/ from the ground up: a file includes headers of its own folder or of lower ones.
FLOORS = ["base", "base/text", "base/thread", "base/elf", "base/unwind", "base/config", "base/libpq",
          "sql", "trace/script", "trace/stack", "trace/log", "trace/status", "trace/lease", "trace/report",
          "key", "pool", "session/socket", "session/opened", "session/cancel", "session", "share", "acquire/upkeep", "acquire/lend",
          "acquire/full", "acquire/async", "acquire", "hooks"]


def output(*argv):
    """What a command that must succeed writes; its errors are part of a failure."""
    # Not our caller's make: its flags and its BUILD are not meant for this one.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, "%s\n%s%s" % (" ".join(argv), done.stdout, done.stderr)
    return done.stdout


@functools.cache
def tracked():
    """Every file that is, or is about to be, under version control."""
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [n for n in sorted(set(names.split("\0"))) if n and os.path.exists(path(n))]


def sources(pattern):
    """The tracked files whose name from the top matches the regular expression."""
    return [name for name in tracked() if re.fullmatch(pattern, name)]


def path(name):
    return os.path.join(ROOT, name)


def read(name):
    with open(path(name), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    """C text with its comments blanked; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0)) if match.group(0)[0] == "/" else match.group(0)

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"', blank, text, flags=re.S)


def objects():
    """The shim's object files by source: {"shim/base/text/strbuf.c": ".../text.o"}."""
    found = {}
    for name in sources(r"shim/.*\.c"):
        found[name] = os.path.join(BUILD, name[:-2] + ".o")
        assert os.path.exists(found[name]), "%s is not built: run make" % name
    return found


@functools.cache
def flags():
    """The compiler flags of the build, warnings being errors."""
    return output("make", "-s", "--no-print-directory", "WERROR=1", "print-flags").split()
