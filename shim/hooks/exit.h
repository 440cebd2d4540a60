/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is done when the program ends: idle sessions are closed, leaks are reported.
 *
 * OpenSSL's cleanup runs as an exit handler, so sessions over TLS are closed by a handler that
 * was registered after it. The leak report comes behind the last destructor, because programs
 * finish connections in exit handlers of their own. _exit, _Exit and quick_exit run neither,
 * and are interposed to report first.
 */
#ifndef PQPOOL_HOOKS_EXIT_H
#define PQPOOL_HOOKS_EXIT_H

#include "base/libpq/libpq.h"

/* After each connect: the first one, and the first over TLS, register an exit handler. */
void exit_note_connect(const struct libpq *libpq, PGconn *conn);

/* The child of a fork reports for itself. */
void exit_fork_child(void);

#endif
