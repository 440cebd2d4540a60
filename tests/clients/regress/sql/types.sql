-- SPDX-License-Identifier: PostgreSQL
-- What a session may be left with.
CREATE TABLE basket (id serial PRIMARY KEY, name text NOT NULL, weight numeric(6, 2));
INSERT INTO basket (name, weight) VALUES ('apple', 1.5), ('pear', 2.25), ('plum', NULL);
SELECT name, weight FROM basket ORDER BY id;
INSERT INTO basket (name) VALUES (NULL);
SET work_mem = '8MB';
SHOW work_mem;
PREPARE heavy (numeric) AS SELECT name FROM basket WHERE weight > $1 ORDER BY id;
EXECUTE heavy (2);
CREATE TEMP TABLE mine AS SELECT * FROM basket;
SELECT count(*) FROM mine;
\d basket
\c
EXECUTE heavy (2);
SELECT count(*) FROM mine;
SELECT setting FROM pg_settings WHERE name = 'work_mem' AND source = 'session';
COPY basket (name, weight) TO STDOUT WITH (FORMAT csv, HEADER);
COPY basket (name, weight) FROM STDIN WITH (FORMAT csv);
fig,0.25
\.
SELECT sum(weight) FROM basket;
DROP TABLE basket;
