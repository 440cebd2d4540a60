# SPDX-License-Identifier: PostgreSQL
"""Worker processes, forked after a first use."""
import multiprocessing
import psycopg2

def work(n):
    total = 0
    for i in range(10):
        conn = psycopg2.connect("")
        cursor = conn.cursor()
        cursor.execute("SELECT %s + %s", (n, i))
        total += cursor.fetchone()[0]
        conn.close()
    return total
work(0)
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(pool.map(work, range(6)))
    pool.close()
    pool.join()
