# SPDX-License-Identifier: PostgreSQL
"""The machine's clock is stepped by a day, forward and back: nothing of the shim's ages by it,
and nobody waits longer or shorter. What the program and the shim take for the clock is a function
that is preloaded before them."""
import struct

import pytest

from server import wait_until

DAY = 86400
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const long *step;

__attribute__((constructor)) static void find(void)
{
	step = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, open(getenv("STEP"), O_RDONLY), 0);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int status = (int)syscall(SYS_clock_gettime, clock, t);

	if (clock == CLOCK_REALTIME && step != NULL && step != MAP_FAILED)
		t->tv_sec += *step;
	return status;
}

time_t time(time_t *t)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return t != NULL ? (*t = now.tv_sec) : now.tv_sec;
}
"""


@pytest.fixture
def stepped(script, compiled, shim, tmp_path):
    """stepped(pooled, **variables): a program, and step(seconds)."""
    library = compiled(CLOCK, "-shared", "-fPIC", name="clock.so")
    place = tmp_path / "step"
    place.write_bytes(struct.pack("l", 0))

    def step(seconds):
        with open(place, "r+b") as f:
            f.write(struct.pack("l", seconds))

    def start(pooled=True, **env):
        preload = "%s %s" % (library, shim) if pooled else str(library)
        return script(pooled=pooled, env={"LD_PRELOAD": preload, "STEP": str(place), **env})

    start.step = step
    return start


def day(event):
    return event["time"][:10]


@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])
def test_nothing_ages(stepped, seconds):
    s = stepped(PQPOOL_RECYCLE="1h", PQPOOL_IDLE_TIMEOUT="1h")
    before = s.lease()
    assert s.lease() == before
    days = {day(e) for e in s.events("acquire")}
    stepped.step(seconds)
    assert s.lease() == before
    assert day(s.events("acquire")[-1]) not in days, "the fault did not happen"
    stepped.step(0)
    assert s.lease() == before
    assert not s.events("ping_failed") and not s.events("session_close")
    s.end()


@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])
def test_who_waits_waits_as_long(stepped, seconds):
    s = stepped(PQPOOL_SIZE="1", PQPOOL_MAX_OVERFLOW="0", PQPOOL_TIMEOUT="20s")
    held = s.connect("held")
    s.do("begin", "a")
    s.do("begin", "b")
    s.await_events("wait", 2)
    stepped.step(seconds)
    assert s.exec("held", "SELECT 1") == "1"
    assert not s.done("a") and not s.done("b")
    s.finish("held")
    served = wait_until(lambda: "a" if s.done("a") else "b" if s.done("b") else "")
    other = "b" if served == "a" else "a"
    assert s.join(served)[1] == held
    s.finish(served)
    assert wait_until(lambda: s.done(other)) and s.join(other)[1] == held
    s.finish(other)
    assert not s.events("timeout")
    s.end()


@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])
def test_who_is_refused_is_refused_in_time(stepped, seconds):
    s = stepped(PQPOOL_SIZE="1", PQPOOL_MAX_OVERFLOW="0", PQPOOL_TIMEOUT="1s")
    s.connect("held")
    s.do("begin", "a")
    s.await_events("wait", 1)
    stepped.step(seconds)
    assert wait_until(lambda: s.done("a"), 20)
    waited, outcome = s.join("a")
    assert outcome.startswith("BAD") and 0.9 < waited
    s.finish("held", "a")
    s.end()
