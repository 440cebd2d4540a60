/* SPDX-License-Identifier: PostgreSQL */
/*
 * What SQL text does that outlasts DISCARD ALL, or reaches beyond its own session.
 *
 * Statements are told by their first words, functions by their name anywhere. Comments,
 * quoted strings and dollar quotes are skipped, so that what a function's body does stays
 * hidden; so does what the server computes (a name put together at run time). The text of a
 * DO block is searched for the words alone, whatever they stand in there. A string with a
 * backslash before its quote is read as with standard_conforming_strings on, which has been
 * the default since PostgreSQL 9.1.
 *
 * Where a statement may or may not have an effect (a replication slot that is not temporary,
 * a DROP that fails) it counts as having it.
 */
#ifndef PQPOOL_SQL_EFFECTS_H
#define PQPOOL_SQL_EFFECTS_H

/* Bits of what statement_effects returns. */
enum statement_effect {
	/* left in the session, whose next lease would find it */
	STATEMENT_LOADS = 1,      /* LOAD: a library in the server process */
	STATEMENT_MAKES_SLOT = 2, /* a replication slot, which may be a temporary one */
	STATEMENT_SEEDS = 4,      /* setseed(): random() can be foretold */
	STATEMENT_ORIGIN = 16,    /* a replication origin, under which the session writes */
	STATEMENT_EXTENDS = 32,   /* what an extension keeps for the session, as dblink does */
	/* A customised setting (app.user): once named it is never NULL again, but empty. */
	STATEMENT_CUSTOM = 64,
	/* changes what sessions are made of, or wants none to be there */
	STATEMENT_ALTERS = 8
};

/*
 * The effects of all statements in `text`; NULL has none. Reads each byte at most a few
 * times, none behind the NUL; allocates nothing.
 */
unsigned statement_effects(const char *text);

#endif
