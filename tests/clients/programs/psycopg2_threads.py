# SPDX-License-Identifier: PostgreSQL
"""Connecting in threads."""
import psycopg2
import threading

answers = []
def work(n):
    for i in range(15):
        conn = psycopg2.connect("")
        cursor = conn.cursor()
        cursor.execute("SELECT %s * 100 + %s", (n, i))
        answers.append(cursor.fetchone()[0])
        conn.close()
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(answers))
