# SPDX-License-Identifier: PostgreSQL
"""Threads whose stacks are as small as they may be: what libpq gets along with is enough."""
import pytest

MODES = ["cycles", "steps", "wait", "fork", "exit"]
ENOUGH = 16384  # what the C library asks for at least


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [ENOUGH, 2 * ENOUGH])
def test_small_stack(run, program, mode, size):
    """Hits and misses, waiting and refusal, the report at exit; with every line of the log, and
    the stacks."""
    argv = [program("smallstack"), str(size), mode]
    bare = run(argv, pooled=False)
    assert bare.returncode == 0, "the stack is too small for libpq itself"
    done = run(argv, env={"PQPOOL_LOG_LEVEL": "debug", "PQPOOL_TIMEOUT": "1",
                          "PQPOOL_REPORT": "all",
                          **({"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"}
                             if mode == "wait" else {})})
    assert (done.returncode, done.stdout) == (0, bare.stdout), done
    assert done.events("acquire") and done.events("stack")
    if mode == "wait":
        assert done.events("timeout") or done.events("suspected_deadlock")
    if mode == "exit":
        assert done.events("kept") and "in end_all" in done.stderr
