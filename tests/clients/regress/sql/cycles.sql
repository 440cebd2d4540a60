-- SPDX-License-Identifier: PostgreSQL
-- Connecting anew, a few times.
SELECT current_database() AS here \gset
\c postgres
SELECT current_database();
\c :here
SELECT current_database() = :'here' AS back;
\c postgres
SELECT current_database();
\c :here
SELECT current_database() = :'here' AS back;
