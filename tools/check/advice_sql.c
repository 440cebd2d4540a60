/* SPDX-License-Identifier: PostgreSQL */
/*
 * The queries behind the advice.
 *
 * Columns that not every version has are read through to_jsonb, which gives null for those
 * that are not there.
 */
#include "check/advice_sql.h"

#define SETTING(name) "current_setting('" name "', true)::float8"

/* A table's own setting where it has one that is not below `least`, else the server's. */
#define OPTION(name, least)                                                                    \
	"coalesce((SELECT CASE WHEN option_value::float8 >= " least                            \
	" THEN option_value::float8 END FROM pg_options_to_table(t.options)"                   \
	" WHERE option_name = '" name "'), " SETTING(name) ")"
#define LIMIT(column, name, least) ", " OPTION(name, least) " AS " column
/* The server's is the most that a table may have. */
#define AGE_LIMIT(column, name)    ", least(" OPTION(name, "0") ", " SETTING(name) ") AS " column

const char advice_circumstances_sql[] =
	"SELECT d.datname, date_trunc('second', d.stats_reset), pg_is_in_recovery(),"
	" current_setting('autovacuum')::bool, current_setting('track_counts')::bool"
	" FROM pg_stat_database AS d WHERE d.datname = current_database()";

/*
 * As relation_needs_vacanalyze() of autovacuum.c judges, up to PostgreSQL 18. What 18 has
 * brought is null or 1 before it: a maximum for the threshold of dead rows, and the part of a
 * table that is not frozen, to which the scale factor for inserted rows applies.
 *
 * A table for which autovacuum is switched off is judged all the same: somebody else must do
 * it then. A TOAST table without settings of its own goes by those of its table. Other
 * sessions' temporary tables nobody but they can vacuum.
 */
#define TABLES                                                                                 \
	"SELECT c.oid, c.relkind, c.relname, n.nspname, m.relname AS owner_name,"              \
	" mn.nspname AS owner_schema, greatest(c.reltuples, 0)::float8 AS tuples,"             \
	" 1 - coalesce(least((to_jsonb(c) ->> 'relallfrozen')::float8, c.relpages)"            \
	" / nullif(c.relpages, 0), 0) AS unfrozen,"                                            \
	" age(c.relfrozenxid) AS xids, mxid_age(c.relminmxid) AS multixacts,"                  \
	" s.n_dead_tup AS dead, s.n_mod_since_analyze AS changed,"                             \
	" (to_jsonb(s) ->> 'n_ins_since_vacuum')::float8 AS inserted,"                         \
	" greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,"                             \
	" greatest(s.last_analyze, s.last_autoanalyze) AS analyzed,"                           \
	" CASE WHEN c.relkind = 't' THEN coalesce(c.reloptions, m.reloptions)"                 \
	" ELSE c.reloptions END AS options"                                                    \
	" FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"                 \
	" JOIN pg_stat_all_tables AS s ON s.relid = c.oid"                                     \
	" LEFT JOIN pg_class AS m ON c.relkind = 't' AND m.reltoastrelid = c.oid"              \
	" LEFT JOIN pg_namespace AS mn ON mn.oid = m.relnamespace"                             \
	" WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't'"

/* clang-format off */
#define LIMITS                                                                                 \
	"SELECT t.*"                                                                           \
	LIMIT("dead_base", "autovacuum_vacuum_threshold", "0")                                 \
	LIMIT("dead_scale", "autovacuum_vacuum_scale_factor", "0")                             \
	LIMIT("dead_most", "autovacuum_vacuum_max_threshold", "-1")                            \
	LIMIT("inserted_base", "autovacuum_vacuum_insert_threshold", "-1")                     \
	LIMIT("inserted_scale", "autovacuum_vacuum_insert_scale_factor", "0")                  \
	LIMIT("changed_base", "autovacuum_analyze_threshold", "0")                             \
	LIMIT("changed_scale", "autovacuum_analyze_scale_factor", "0")                         \
	AGE_LIMIT("xids_limit", "autovacuum_freeze_max_age")                                   \
	AGE_LIMIT("multixacts_limit", "autovacuum_multixact_freeze_max_age")                   \
	", coalesce((SELECT option_value::bool FROM pg_options_to_table(t.options)"            \
	" WHERE option_name = 'autovacuum_enabled'), true) AS enabled"                         \
	" FROM tables AS t"
/* clang-format on */

/* Neither TOAST tables nor pg_statistic are analyzed by autovacuum. */
#define JUDGED                                                                                 \
	"SELECT l.*, xids > xids_limit OR multixacts > multixacts_limit AS forced"             \
	", dead_most >= 0 AND dead_base + dead_scale * tuples > dead_most AS at_most"          \
	", dead > least(dead_base + dead_scale * tuples"                                       \
	", CASE WHEN dead_most >= 0 THEN dead_most END) AS has_dead"                           \
	", inserted_base >= 0"                                                                 \
	" AND inserted > inserted_base + inserted_scale * tuples * unfrozen AS has_inserted"   \
	", relkind <> 't' AND oid <> 'pg_statistic'::regclass"                                 \
	" AND changed > changed_base + changed_scale * tuples AS has_changed"                  \
	" FROM limits AS l"

#define REASONS                                                                                \
	"concat_ws('; '"                                                                       \
	", CASE WHEN xids > xids_limit THEN format('its oldest transaction id is %s"           \
	" transactions old, the limit (autovacuum_freeze_max_age) is %s', xids, xids_limit)"   \
	" END, CASE WHEN multixacts > multixacts_limit THEN format('its oldest multixact id"   \
	" is %s old, the limit (autovacuum_multixact_freeze_max_age) is %s'"                   \
	", multixacts, multixacts_limit) END"                                                  \
	", CASE WHEN has_dead AND at_most THEN format('%s dead rows, more than %s, the"        \
	" maximum (autovacuum_vacuum_max_threshold)', dead, dead_most)"                        \
	" WHEN has_dead THEN format('%s dead rows, more than %s + %s * %s rows'"               \
	", dead, dead_base, dead_scale, tuples) END"                                           \
	", CASE WHEN has_inserted THEN format('%s rows inserted since the last VACUUM, more"   \
	" than %s + %s * %s rows%s', inserted, inserted_base, inserted_scale"                  \
	", round(tuples * unfrozen), CASE WHEN unfrozen < 1 THEN ' that are not frozen' END)"  \
	" END, CASE WHEN has_changed THEN format('%s rows changed since the last ANALYZE,"     \
	" more than %s + %s * %s rows', changed, changed_base, changed_scale, tuples) END"     \
	", 'last VACUUM ' || coalesce(date_trunc('second', vacuumed)::text, 'never')"          \
	", CASE WHEN relkind <> 't' THEN 'last ANALYZE '"                                      \
	" || coalesce(date_trunc('second', analyzed)::text, 'never') END"                      \
	", CASE WHEN NOT enabled THEN 'autovacuum is off for this table' END) AS reason"

#define TOLD                                                                                   \
	"SELECT j.*, forced OR has_dead OR coalesce(has_inserted, false) AS to_vacuum"         \
	", CASE WHEN relkind = 't' THEN format('%I.%I', owner_schema, owner_name)"             \
	" ELSE format('%I.%I', nspname, relname) END AS name, " REASONS                        \
	" FROM judged AS j WHERE forced OR has_dead OR has_inserted OR has_changed"

const char advice_vacuum_sql[] =
	"WITH tables AS (" TABLES "), limits AS (" LIMITS "), judged AS (" JUDGED
	"), told AS (" TOLD
	") SELECT CASE WHEN relkind = 't' THEN 'the TOAST table of ' || name ELSE name END"
	", reason, CASE WHEN NOT to_vacuum THEN 'ANALYZE '"
	" WHEN has_changed THEN 'VACUUM (ANALYZE) ' ELSE 'VACUUM ' END || name"
	" FROM told ORDER BY forced DESC, greatest(dead, changed) DESC, name, relkind";

#define SIZE(pages) "pg_size_pretty(" pages "::bigint * current_setting('block_size')::bigint)"

/* Schemas whose indexes are not ours to drop. */
#define OWN_SCHEMA "nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"

/* Neither is possible for the other. */
#define DROP(index)                                                                            \
	"CASE " index ".relkind WHEN 'I' THEN 'DROP INDEX ' ELSE 'DROP INDEX CONCURRENTLY '"   \
	" END || " index ".name"

/*
 * The index of a partitioned table is judged with those of all its partitions, which cannot
 * be dropped alone. Not reported is what does its work without being scanned: unique ones
 * (a replica identity is one), constraints, those CLUSTER goes by, and those that begin with
 * the columns of a foreign key, which deletes of the referenced rows look for.
 */
const char advice_unused_sql[] =
	"WITH RECURSIVE members (root, oid) AS ("
	" SELECT c.oid, c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = "
	"c.relnamespace"
	" WHERE c.relkind IN ('i', 'I') AND NOT c.relispartition AND c.relpersistence <> 't'"
	" AND " OWN_SCHEMA " UNION ALL SELECT m.root, h.inhrelid FROM members AS m"
	" JOIN pg_inherits AS h ON h.inhparent = m.oid"
	"), roots AS ("
	" SELECT m.root, sum(pg_stat_get_numscans(m.oid)) AS scans, sum(c.relpages) AS pages"
	" FROM members AS m JOIN pg_class AS c ON c.oid = m.oid GROUP BY m.root"
	"), unused AS ("
	" SELECT c.relkind, format('%I.%I', n.nspname, c.relname) AS name, t.relname AS of, "
	"r.pages"
	", i.indexprs IS NOT NULL AS has_expressions"
	" FROM roots AS r JOIN pg_index AS i ON i.indexrelid = r.root"
	" JOIN pg_class AS c ON c.oid = r.root JOIN pg_namespace AS n ON n.oid = c.relnamespace"
	" JOIN pg_class AS t ON t.oid = i.indrelid"
	" WHERE r.scans = 0 AND i.indisvalid AND NOT i.indisunique AND NOT i.indisexclusion"
	" AND NOT i.indisclustered"
	" AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = r.root)"
	" AND NOT EXISTS (SELECT FROM pg_constraint AS k"
	" WHERE k.contype = 'f' AND k.conrelid = i.indrelid AND i.indpred IS NULL"
	" AND (SELECT array_agg(a ORDER BY a)"
	" FROM unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) AS a)"
	" = (SELECT array_agg(a ORDER BY a) FROM unnest(k.conkey) AS a)))"
	" SELECT name, format('no scan of it is on record; it takes %s beside table %I%s'"
	", " SIZE("pages") ", of"
			   ", CASE WHEN has_expressions THEN '; the planner may use the "
			   "statistics of its expressions'"
			   " ELSE '' END), " DROP(
				   "u") " FROM unused AS u ORDER BY pages DESC, name";

/*
 * Two indexes are the same if nothing but name, size and uniqueness tells them apart. The
 * one to keep is what something depends on, then the unique one, then the older one. What
 * something depends on is never to be dropped, nor a unique one in favour of an index that
 * does not forbid the same at the same moment.
 */
const char advice_duplicates_sql[] =
	"WITH indexes AS ("
	" SELECT i.indexrelid AS oid, i.indrelid, c.relkind, c.relispartition, c.relpages, "
	"i.indisunique"
	", i.indimmediate, format('%I.%I', n.nspname, c.relname) AS name"
	", to_jsonb(i) ->> 'indnullsnotdistinct' AS nulls"
	", k.conname, k.conname IS NOT NULL OR i.indisreplident OR i.indisclustered"
	" OR i.indisexclusion AS needed"
	", jsonb_build_array(c.relam, i.indkey::text, i.indclass::text, i.indcollation::text"
	", i.indoption::text, to_jsonb(i) -> 'indnkeyatts', pg_get_expr(i.indexprs, i.indrelid)"
	", pg_get_expr(i.indpred, i.indrelid), CASE WHEN am.amname <> 'btree' THEN "
	"c.reloptions END"
	", (SELECT jsonb_agg(to_jsonb(a) -> 'attoptions' ORDER BY a.attnum)"
	" FROM pg_attribute AS a WHERE a.attrelid = i.indexrelid)) AS shape"
	" FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
	" JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_am AS am ON am.oid = c.relam"
	" LEFT JOIN LATERAL (SELECT conname FROM pg_constraint WHERE conindid = i.indexrelid"
	" ORDER BY contype = 'f', oid LIMIT 1) AS k ON true"
	" WHERE i.indisvalid AND c.relpersistence <> 't' AND " OWN_SCHEMA "), ranked AS ("
	" SELECT x.*, first_value(oid) OVER same AS best FROM indexes AS x"
	" WINDOW same AS (PARTITION BY indrelid, shape"
	" ORDER BY needed DESC, indisunique DESC, relispartition DESC, oid))"
	" SELECT d.name, format('the same as %s%s; it takes %s', b.name"
	", CASE WHEN b.conname IS NOT NULL"
	" THEN format(', which belongs to the constraint %I', b.conname) ELSE '' END"
	", " SIZE("d.relpages") ")"
				", " DROP("d") " FROM ranked AS d JOIN indexes AS b ON b.oid = "
					       "d.best"
					       " WHERE d.oid <> d.best AND NOT d.needed AND "
					       "NOT d.relispartition"
					       " AND (NOT d.indisunique OR b.indisunique AND "
					       "b.indimmediate"
					       " AND b.nulls IS NOT DISTINCT FROM d.nulls)"
					       " ORDER BY d.relpages DESC, d.name";
