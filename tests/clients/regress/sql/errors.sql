-- SPDX-License-Identifier: PostgreSQL
-- Transactions that fail, and what psql says of it.
\set VERBOSITY terse
BEGIN;
SELECT 1/0;
SELECT 1;
ROLLBACK;
BEGIN;
SAVEPOINT here;
SELECT no_such_column;
ROLLBACK TO here;
SELECT 'still in it' AS state;
\c
SELECT 'a new session' AS state;
DO $$ BEGIN RAISE NOTICE 'noted'; RAISE WARNING 'warned'; END $$;
SELECT FROM no_such_table;
