# SPDX-License-Identifier: PostgreSQL
"""What lasts too long while the program runs: leases held for long, pools near their limit."""
from server import wait_until

SOON = {"PQPOOL_LONG_HOLD": "100ms"}


def await_long_hold(s, count=1):
    """Nothing is noticed but at calls, so there are some."""
    def called():
        s.lease()
        return len(s.events("long_hold")) >= count

    assert wait_until(called, 20), s.events("long_hold")


def test_a_long_hold_is_named_once_and_its_end_is_told(script):
    s = script(env=SOON)
    backend = s.connect("a")
    s.exec("a", "BEGIN", "SELECT 1 AS secret")
    await_long_hold(s)
    for _ in range(5):
        s.lease()
    hold, = s.events("long_hold")
    taken = s.events("acquire")[0]
    assert all(hold[k] == taken[k] for k in ("lease", "session", "pool", "stack"))
    assert hold["backend"] == backend and hold["thread"] == taken["tid"]
    assert hold["level"] == "warning" and int(hold["hold_us"]) >= 100_000
    assert hold["transaction"] == "in_transaction" and hold["statement"].startswith("SELECT")
    assert int(hold["transaction_us"]) > int(hold["hold_us"]) / 2
    assert not s.events("long_hold_ended")
    s.finish("a")
    ended, = s.events("long_hold_ended")
    assert ended["lease"] == hold["lease"] and ended["msg"] == "the lease that was held for long was given back"
    assert int(ended["hold_us"]) > int(hold["hold_us"])
    s.lease()
    assert len(s.events("long_hold")) == len(s.events("long_hold_ended")) == 1
    assert not s.events("leak")


def test_several_long_holds_are_each_named(script):
    s = script(env=SOON)
    names = ["c%d" % i for i in range(9)]
    for name in names:
        s.connect(name)
    await_long_hold(s, 9)
    assert len({e["lease"] for e in s.events("long_hold")}) == 9 == len(s.events("long_hold"))
    s.finish(*names[:4])
    assert len(s.events("long_hold_ended")) == 4
    s.finish(*names[4:])
    assert len(s.events("long_hold_ended")) == 9


def test_what_is_used_again_and_again_is_no_long_hold(script):
    """As a pool of the program's own does with its connections."""
    s = script(env={"PQPOOL_LONG_HOLD": "1500ms"})
    s.connect("used")
    s.connect("forgotten")

    def named():
        s.exec("used", "SELECT 1")
        s.do("exec", "used", "EXECUTE nothing")
        s.lease()
        return s.events("long_hold")

    assert wait_until(named, 20, interval=0.1)
    hold, = s.events("long_hold")
    assert hold["lease"] == "2" and int(hold["hold_us"]) >= 1_500_000 and "unused_us" not in hold
    s.finish("forgotten")
    # When it is used no more it is one.
    await_long_hold(s, 2)
    hold = s.events("long_hold")[1]
    assert hold["lease"] == "1" and int(hold["hold_us"]) > int(hold["unused_us"]) >= 1_500_000
    s.finish("used")


def test_a_long_statement_is_use(script):
    s = script(env={"PQPOOL_LONG_HOLD": "300ms"})
    s.connect("a")
    s.exec("a", "SELECT pg_sleep(1)")
    s.lease()
    assert not s.events("long_hold")
    await_long_hold(s)
    s.finish("a")


def test_whoever_waits_notices_a_long_hold(script):
    s = script(env={**SOON, "PQPOOL_SIZE": "1", "PQPOOL_MAX_OVERFLOW": "0"})
    s.connect("a")
    s.do("begin", "b")
    s.await_events("long_hold", 1)
    s.finish("a")
    s.join("b")
    s.finish("b")
    assert s.events("long_hold")[0]["lease"] == "1"


def test_a_short_hold_is_not_named(script):
    s = script()
    s.connect("a")
    s.lease()
    s.finish("a")
    assert not s.events("long_hold") and not s.events("long_hold_ended")


def test_no_long_holds_where_they_are_off(script):
    s = script(env={"PQPOOL_LONG_HOLD": "0"})
    s.connect("a")
    s.exec("a", "SELECT pg_sleep(0.2)")
    s.lease()
    s.finish("a")
    assert not s.events("long_hold") and not s.events("long_hold_ended")


def test_near_the_limit_for_long(script):
    """Eight of ten, for the ten seconds that README states."""
    s = script(env={"PQPOOL_SIZE": "10", "PQPOOL_MAX_OVERFLOW": "0"})
    names = ["c%d" % i for i in range(8)]
    for name in names:
        s.connect(name)
    assert not s.events("near_limit")

    def named():
        s.lease()
        return s.events("near_limit")

    assert wait_until(named, 40)
    event, = s.events("near_limit")
    assert (event["limit"], event["level"]) == ("10", "warning")
    assert int(event["in_use"]) >= 8 and 10_000_000 <= int(event["since_us"]) < 40_000_000
    for _ in range(5):
        s.lease()
    assert len(s.events("near_limit")) == 1
    s.finish(*names)
