# SPDX-License-Identifier: PostgreSQL
"""A program that has no descriptor left."""


def test_connect(stepwise):
    """A new connection is refused as libpq refuses it; one that is idle needs no descriptor; and
    all is well once there are some again."""
    seen = []
    for pooled in (False, True):
        s = stepwise(pooled=pooled)
        s.connect("a")
        before = s.do("pid", "a")
        s.do("spare", "0")
        told = s.do("connect", "b")
        assert "Too many open files" in told, "the fault did not happen"
        seen.append((told, s.do("status", "b")))
        s.finish("b")
        if pooled:
            s.finish("a")
            s.connect("a")
            assert s.do("pid", "a") == before
        s.do("spare", "100")
        s.connect("b")
        assert s.do("pid", "b") != before
        s.finish("a", "b")
    assert seen[0] == seen[1]


def test_a_full_pool(stepwise):
    """The room of a connect that failed is free for the next one."""
    s = stepwise(env={"PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0", "PQPOOL_TIMEOUT": "0"})
    s.do("spare", "0")
    assert "Too many open files" in s.do("connect", "a"), "the fault did not happen"
    s.finish("a")
    s.do("spare", "100")
    s.connect("a")
    assert "pqpool" in s.do("connect", "b")
    s.finish("a", "b")
