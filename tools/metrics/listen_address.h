/* SPDX-License-Identifier: PostgreSQL */
/* Where `pqpool metrics --listen` listens. */
#ifndef PQPOOL_TOOLS_METRICS_LISTEN_ADDRESS_H
#define PQPOOL_TOOLS_METRICS_LISTEN_ADDRESS_H

/*
 * A listening socket at `text`: "ADDRESS:PORT", with an IPv6 address in brackets, or "PORT"
 * alone, of 127.0.0.1; port 0 is any that is free. Names are not looked up. Non-blocking,
 * close-on-exec. -1: complained of, and `*status` is the exit status.
 */
int listen_address_open(const char *text, int *status);

/* The address of a socket as text that the caller frees: "127.0.0.1:9719", "[::1]:9719". */
char *listen_address_of(int fd);

#endif
