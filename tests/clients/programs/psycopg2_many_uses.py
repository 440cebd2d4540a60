# SPDX-License-Identifier: PostgreSQL
"""What else a connection can do: notify, copy, notices, encodings, cancel."""
import io
import psycopg2
import psycopg2.extensions as ext

for i in range(5):
    conn = psycopg2.connect("")
    conn.set_isolation_level(ext.ISOLATION_LEVEL_AUTOCOMMIT)
    cursor = conn.cursor()
    cursor.execute("LISTEN here")
    other = psycopg2.connect("")
    other.autocommit = True
    other.cursor().execute("NOTIFY here, 'hello %d'" % i)
    other.close()
    cursor.execute("SELECT 1")
    conn.poll()
    print([(n.channel, n.payload) for n in conn.notifies])
    cursor.execute("CREATE TEMP TABLE t (a int, b text)")
    cursor.copy_from(io.StringIO("1\tone\n2\ttwo\n"), "t")
    out = io.StringIO()
    cursor.copy_expert("COPY t TO STDOUT CSV HEADER", out)
    print(repr(out.getvalue()))
    cursor.execute("DO $$ BEGIN RAISE NOTICE 'note'; END $$")
    print(conn.notices, conn.status, conn.get_transaction_status(), conn.encoding)
    conn.set_client_encoding("LATIN1")
    try:
        cursor.execute("SELEC")
    except psycopg2.Error as error:
        print(error.pgcode, error)
    conn.cancel()
    conn.close()
    try:
        conn.cancel()
    except psycopg2.Error as error:
        print(error)
    try:
        psycopg2.connect("dbname=no_such_database")
    except psycopg2.OperationalError as error:
        print(error)
