# SPDX-License-Identifier: PostgreSQL
"""With statements, errors and temporary tables."""
import psycopg2

for i in range(30):
    try:
        with psycopg2.connect("application_name=contexts") as conn:
            with conn.cursor() as cursor:
                cursor.execute("CREATE TEMP TABLE mine (a int)")
                cursor.execute("INSERT INTO mine VALUES (%s) RETURNING a", (i,))
                print(cursor.fetchone())
                if i % 3 == 0:
                    cursor.execute("SELECT 1/0")
    except psycopg2.Error as error:
        print(type(error).__name__, error)
    finally:
        conn.close()
