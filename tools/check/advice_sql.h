/* SPDX-License-Identifier: PostgreSQL */
/*
 * The queries behind the advice, for servers from 10 on. search_path is empty, so names
 * are those of pg_catalog. None of them takes a lock on what it judges.
 */
#ifndef PQPOOL_TOOLS_CHECK_ADVICE_SQL_H
#define PQPOOL_TOOLS_CHECK_ADVICE_SQL_H

/* columns: database, begin of the statistics (null: never reset), is a standby, autovacuum
 * is on, track_counts is on */
extern const char advice_circumstances_sql[];

/* columns: what it is about, the reason, the statement */
extern const char advice_vacuum_sql[];
extern const char advice_unused_sql[];
extern const char advice_duplicates_sql[];

#endif
