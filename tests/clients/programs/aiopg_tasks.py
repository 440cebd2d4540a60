# SPDX-License-Identifier: PostgreSQL
"""aiopg, which asks for the socket's number once: aiopg_tasks.py TASKS ROUNDS"""
import asyncio
import sys

import aiopg


async def use(i, rounds):
    for n in range(rounds):
        conn = await aiopg.connect("", timeout=20)
        cursor = await conn.cursor()
        await cursor.execute("SELECT %s::int + %s, set_config('work_mem', '5MB', false)",
                             (i * 1000, n))
        assert (await cursor.fetchone())[0] == i * 1000 + n
        cursor.close()
        await conn.close()
    return "task %d done" % i


async def main(tasks, rounds):
    print(await asyncio.gather(*[use(i, rounds) for i in range(tasks)]))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
