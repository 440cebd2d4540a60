# SPDX-License-Identifier: PostgreSQL
"""Connections with settings of their own go out of scope, not closed."""
import psycopg2

def use(i):
    conn = psycopg2.connect("")
    conn.set_session(autocommit=True, isolation_level="SERIALIZABLE")
    conn.cursor().execute("SET application_name TO 'x%s'" % i)
    # and out of scope, not closed
for i in range(30):
    use(i)
conn = psycopg2.connect("")
cursor = conn.cursor()
cursor.execute("SELECT current_setting('application_name'),"
               " current_setting('default_transaction_isolation')")
print(cursor.fetchone())
conn.close()
