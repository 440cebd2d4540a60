/* SPDX-License-Identifier: PostgreSQL */
/*
 * What SQL text does that outlasts DISCARD ALL, or reaches beyond its own session.
 *
 * A statement is known by its first words, a function by its name anywhere. Comments, strings
 * and dollar quotes are skipped, so that what a function's body does stays hidden; so does a
 * name that the server computes. A DO block is searched for the words alone. A string with a
 * backslash before its quote is read as with standard_conforming_strings on, the default since
 * PostgreSQL 9.1.
 *
 * A name with escapes (U&"...") may be any, and counts as a customised setting's.
 *
 * A statement that may or may not have an effect (a replication slot that is not temporary, a
 * DROP that fails) counts as having it.
 */
#ifndef PQPOOL_SQL_EFFECTS_H
#define PQPOOL_SQL_EFFECTS_H

/* Bits of what statement_effects returns. */
enum statement_effect {
	/* left in the session, for its next lease */
	STATEMENT_LOADS = 1,      /* LOAD: a library in the server process */
	STATEMENT_MAKES_SLOT = 2, /* a replication slot, which may be a temporary one */
	STATEMENT_SEEDS = 4,      /* setseed(): random() can be predicted */
	STATEMENT_ORIGIN = 16,    /* a replication origin, under which the session writes */
	STATEMENT_EXTENDS = 32,   /* what an extension keeps for the session, as dblink does */
	/* A customised setting (app.user): once named it is never NULL again, but empty. */
	STATEMENT_CUSTOM = 64,
	STATEMENT_BACKS_UP = 128, /* pg_backup_start(): a backup, which ends with the session */
	/* changes what new sessions start with, or needs them to be closed */
	STATEMENT_ALTERS = 8
};

/* The effects of all statements in `text`; NULL has none. Allocates nothing. */
unsigned statement_effects(const char *text);

#endif
