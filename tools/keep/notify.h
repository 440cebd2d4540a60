/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells the service manager how far the keeper is, for units of Type=notify: the datagrams of
 * sd_notify(3), sent to the socket that NOTIFY_SOCKET names: a path, or `@` and an abstract
 * name.
 */
#ifndef PQPOOL_TOOLS_KEEP_NOTIFY_H
#define PQPOOL_TOOLS_KEEP_NOTIFY_H

/*
 * Connects to the service manager that the environment names. Without one, what is told later
 * is told to nobody; so it is, complained of, if its socket cannot be reached.
 *
 * Not for a keeper in the background: what the environment names there is the manager of the
 * service that started it.
 */
void notify_begin(void);

/* Programs can connect; and, later: sessions are being closed, after which the keeper ends. */
void notify_ready(void);
void notify_stopping(void);

#endif
