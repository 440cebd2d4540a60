/* SPDX-License-Identifier: PostgreSQL */
/*
 * The library's version in the library's file, for those who look at it without loading it
 * (readelf -n, readelf -p .note.pqpool, pqpool --version, pqpool doctor).
 *
 * A note, not an exported variable: that would be one of every program, and a program may have
 * one of the same name.
 */
#include <elf.h>
#include <link.h>

#include "base/config/version.h"

static const struct {
	ElfW(Nhdr) header;
	char owner[(sizeof(VERSION_NOTE_OWNER) + 3) / 4 *
	           4]; /* notes are padded to four bytes */
	char version[(sizeof(PQPOOL_VERSION) + 3) / 4 * 4];
} note __attribute__((section(".note.pqpool"), used, aligned(4))) = {
	{sizeof(VERSION_NOTE_OWNER), sizeof(PQPOOL_VERSION), NT_VERSION},
	VERSION_NOTE_OWNER,
	PQPOOL_VERSION,
};
