# SPDX-License-Identifier: PostgreSQL
"""Many connections at once in one event loop, whose heart beats meanwhile.

Prints the answers, and on stderr the longest time in ms that the loop was not heard of.
With the argument uvloop the loop is libuv's.
"""
import asyncio
import sys
import time

import psycopg

CONNECTIONS = 50
BEAT_SECONDS = 0.002


class Heart:
    """Beats in the loop as often as it may, and remembers the longest pause."""

    def __init__(self, loop):
        self.loop = loop
        self.longest = 0.0
        self.last = time.monotonic()
        self.beat()

    def beat(self):
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        self.timer = self.loop.call_later(BEAT_SECONDS, self.beat)

    def stop(self):
        self.beat()
        self.timer.cancel()


async def use(i):
    conn = await psycopg.AsyncConnection.connect("")
    cursor = await conn.execute("SELECT %s::int * 2, pg_backend_pid() > 0", (i,))
    row = await cursor.fetchone()
    await conn.close()
    return row


async def main():
    await use(0)  # what Python loads on first use is not counted
    heart = Heart(asyncio.get_running_loop())
    tasks = []
    for i in range(CONNECTIONS):
        tasks.append(asyncio.create_task(use(i)))
        await asyncio.sleep(0)  # sleeps because each connect shall have a turn of its own
    print(sorted(await asyncio.gather(*tasks)))
    heart.stop()
    print(round(heart.longest * 1000, 1), file=sys.stderr)


if sys.argv[1:] == ["uvloop"]:
    import uvloop

    uvloop.install()
asyncio.run(main())
