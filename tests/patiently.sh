#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# tests/patiently.sh COMMAND...: runs what fetches something. Where $CI is true, and nobody there
# to try again, it is run for up to ten minutes until it succeeds, as a registry may be away.
set -u

until=$((SECONDS + 600))
while ! "$@"; do
	if [ "${CI:-}" != true ] || [ "$SECONDS" -ge "$until" ]; then
		exit 1
	fi
	sleep 10 # sleeps because nothing tells when a registry is back
done
