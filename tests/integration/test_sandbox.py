# SPDX-License-Identifier: PostgreSQL
"""Sandboxes: a system call that is refused, and that libpq would not make, costs a feature and
never the program."""
import errno
import re
import subprocess

import pytest

from running import same

# What strace shows of a pooled program and not of a bare one, and what its kin would need.
CALLS = """
accept4 dup3 epoll_create1 epoll_ctl eventfd2 fallocate fchmod flock fstatfs ftruncate futex getcwd
getdents64 getrandom getrlimit link lseek madvise membarrier
memfd_create mkdirat prlimit64 pwritev2 readlink rename renameat2 rt_sigpending rt_sigtimedwait
sched_getaffinity sendmsg shutdown socketpair statx tgkill timerfd_create timerfd_settime uname
unlink unlinkat utimensat waitid
""".split()


@pytest.fixture(scope="module")
def numbers():
    """name -> number, of those that this machine has."""
    source = "#include <sys/syscall.h>\n" + "".join(
        "#ifdef SYS_%s\nNUMBER %s SYS_%s;\n#endif\n" % (call, call + "_", call) for call in CALLS)
    text = subprocess.run(["gcc", "-E", "-P", "-"], input=source, capture_output=True, text=True,
                          check=True).stdout
    return {name: number for name, number in re.findall(r"NUMBER (\w+)_ (\d+);", text)}


@pytest.fixture
def refused(run, program, numbers):
    """refused(errno, calls, program, ...): the same, bare and pooled, where these fail."""
    def start(error, calls, name, *arguments):
        known = [numbers[call] for call in calls if call in numbers]
        argv = [program("sandbox"), str(error), ",".join(known), program(name), *arguments]
        return same(run, argv, env={"PQPOOL_LOG_LEVEL": "debug", "PQPOOL_LOG_MAX_SIZE": "2kB",
                                    "PQPOOL_REPORT": "off"}, check_leases=False)

    return start


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize("call", CALLS)
def test_one_call_is_refused(refused, call, error):
    refused(error, [call], "leaky")


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize("argv", [["cycle"], ["threads", "cycles"], ["stepwise"]])
def test_all_are_refused(refused, argv, error):
    """But futex, which threads cannot do without."""
    refused(error, [call for call in CALLS if call != "futex"], *argv)
