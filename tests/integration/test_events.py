# SPDX-License-Identifier: PostgreSQL
"""Event loops do not notice that a connection's socket outlives its PQfinish."""
import pytest

from running import PYTHON, same

# How many sessions were opened for four connects; all but the first are hits where 1.
SESSIONS = {
    "again": 1,
    "tidy": 1,
    "loops": 1,
    "many": 4,  # not all loops can be told, so nothing is kept
    "dropped": 4,
    "fork": None,
}

ASYNCIO = """
import asyncio, sys
import psycopg2, psycopg2.extensions

async def hear(loop, tidy):
    conn = psycopg2.connect("")
    conn.autocommit = True
    heard = loop.create_future()
    def readable():
        conn.poll()
        if conn.notifies and not heard.done():
            heard.set_result(conn.notifies.pop().payload)
    loop.add_reader(conn.fileno(), readable)
    cursor = conn.cursor()
    cursor.execute("LISTEN channel; NOTIFY channel, 'news'")
    conn.poll()
    if conn.notifies and not heard.done():
        heard.set_result(conn.notifies.pop().payload)
    print(await asyncio.wait_for(heard, 10))
    fd = conn.fileno()
    if tidy:
        loop.remove_reader(fd)
    conn.close()
    if not tidy:
        # The loop's own books still have it; the kernel's do not.
        try:
            loop._selector.modify(fd, 3, (None, None))
        except OSError:
            print("gone")
        print(loop._selector.select(0.1))
        loop.remove_reader(fd)

async def main():
    for tidy in (True, True, False, False, True):
        await hear(asyncio.get_running_loop(), tidy)

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", SESSIONS)
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_epoll(run, program, server, mode, tcp):
    pooled = same(run, [program("events"), mode], env=server.env(tcp=tcp))
    if SESSIONS[mode] is not None:
        assert len(pooled.events("session_open")) == SESSIONS[mode]
    if mode == "many":
        assert len(pooled.events("release", reason="registered")) == 4


def test_asyncio(run):
    pooled = same(run, [PYTHON, "-c", ASYNCIO])
    assert pooled.stdout.count("news") == 5
    assert len(pooled.events("session_open")) == 1


def test_not_pooled_is_not_noted(run, program):
    """The call itself is the same where nothing is pooled."""
    same(run, [program("events"), "again"], env={"PQPOOL_DISABLE": "1"})
