# SPDX-License-Identifier: PostgreSQL
"""Connects that are cancelled while they wait for their turn, and one after them.

psycopg3_cancelled.py HOW: what is done with the cancelled ones' exceptions, which have the
connections: keep, drop
"""
import asyncio
import sys
import time

import psycopg


async def use(seconds):
    conn = await asyncio.wait_for(psycopg.AsyncConnection.connect("", autocommit=True), seconds)
    await conn.execute("SELECT 1")
    await conn.close()
    return "served"


async def main(how):
    held = [await psycopg.AsyncConnection.connect("", autocommit=True) for _ in range(2)]
    results = await asyncio.gather(*[use(0.3) for _ in range(4)], return_exceptions=True)
    print([type(r).__name__ for r in results])
    if how == "drop":
        del results
    for conn in held:
        await conn.close()
    began = time.monotonic()
    print(await asyncio.gather(*[use(20) for _ in range(3)]))
    print("in time" if time.monotonic() - began < 10 else "late")


asyncio.run(main(sys.argv[1]))
