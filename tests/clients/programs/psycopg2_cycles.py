# SPDX-License-Identifier: PostgreSQL
"""Connect, query, commit, close."""
import psycopg2

for i in range(30):
    conn = psycopg2.connect("")
    cursor = conn.cursor()
    cursor.execute("SELECT %s::int * 2, count(*) FROM fruit", (i,))
    print(cursor.fetchone())
    conn.commit()
    conn.close()
