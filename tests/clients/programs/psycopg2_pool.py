# SPDX-License-Identifier: PostgreSQL
"""Its own pool on top of ours."""
import psycopg2.pool

pool = psycopg2.pool.ThreadedConnectionPool(1, 5, "")
for i in range(10):
    a, b = pool.getconn(), pool.getconn()
    a.cursor().execute("SELECT 1")
    pool.putconn(a, close=True)
    pool.putconn(b)
print(len(pool._pool))
pool.closeall()
