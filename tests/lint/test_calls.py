# SPDX-License-Identifier: PostgreSQL
"""Calls that have no place inside somebody else's process."""
import re

import house

BANNED = set("""
    printf fprintf dprintf sprintf snprintf asprintf vprintf vfprintf vdprintf vsprintf
    vsnprintf vasprintf puts fputs putchar putc fputc perror
    fopen fdopen freopen fclose fread fwrite fgets getline
    exit abort system popen sleep usleep signal sigaction setenv unsetenv putenv
    strtok gets strcpy strcat localtime gmtime getpwuid getpwnam syslog
    backtrace backtrace_symbols fflush
""".split())
ALLOWED = {
    # Before _exit: what the program has printed must come out as it would have.
    "shim/hooks/exit.c": {"fflush"},
}


def called(object_file):
    """What an object calls, the compiler's checking and versioned names made plain."""
    names = re.findall(r"^\s*U (\S+)", house.output("nm", "-u", object_file), re.M)
    return {re.sub(r"^__(?:isoc\d+_)?(\w+?)(?:_chk)?$", r"\1", n.split("@")[0]) for n in names}


def test_no_banned_calls():
    wrong = {name: sorted((called(path) & BANNED) - ALLOWED.get(name, set()))
             for name, path in house.objects().items()}
    wrong = {name: calls for name, calls in wrong.items() if calls}
    assert not wrong, "banned calls: %s" % wrong
