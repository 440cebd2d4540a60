# SPDX-License-Identifier: PostgreSQL
"""psycopg 3 in tasks of one event loop, each of which forgets a connection."""
import asyncio

import psycopg

kept = []


async def first():
    kept.append(await psycopg.AsyncConnection.connect(""))  # task one


async def second():
    conn = await psycopg.AsyncConnection.connect("")  # task two
    kept.append(conn)


async def tidy():
    async with await psycopg.AsyncConnection.connect("") as conn:  # tidy
        await conn.execute("SELECT 1")


async def main():
    await asyncio.gather(first(), tidy(), second(), tidy(), second())


asyncio.run(main())
