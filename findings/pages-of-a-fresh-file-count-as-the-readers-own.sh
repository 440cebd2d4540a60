#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Linux (seen with 6.18, ext4): a program maps a file that was just written and only reads it.
# /proc/PID/smaps counts each page that is not on the disk yet as Private_Dirty, as if the program
# had written it, and as Private_Clean once the file is on the disk. So the memory that a program
# has "of its own" depends on how long ago its libraries were built: one that was linked a moment
# before is 512 kB larger here, for half a minute.
#
# The mapping is private and not writable; the program never wrote a byte. The kernel asks whether
# the page is dirty, and a page of the page cache is until it was written back.
#
# Output (kB of the mapping that a reader of 512 kB sees):
#   just written: dirty 512, clean 0
#   on the disk: dirty 0, clean 512
set -eu

# Not in memory: what has no disk is never written back.
work=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$work"' EXIT
[ "$(stat -f -c %T "$work")" != tmpfs ]

cat >"$work/reader.py" <<'EOT'
import mmap, os, re, sys

with open(sys.argv[1], "rb") as f:
    size = os.fstat(f.fileno()).st_size
    m = mmap.mmap(f.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    assert all(m[at] == 1 for at in range(0, size, mmap.PAGESIZE))
    with open("/proc/self/smaps", encoding="ascii") as smaps:
        part = smaps.read().split(sys.argv[1], 1)[1]
kb = [int(re.search(r"^Private_%s: *(\d+) kB$" % kind, part, re.M).group(1))
      for kind in ("Dirty", "Clean")]
print("%s: dirty %d, clean %d" % (sys.argv[2], *kb))
EOT

python3 -c 'import sys; sys.stdout.buffer.write(b"\1" * (512 * 1024))' >"$work/file"
seen=$(python3 "$work/reader.py" "$work/file" "just written"
	sync "$work/file"
	python3 "$work/reader.py" "$work/file" "on the disk")
expected='just written: dirty 512, clean 0
on the disk: dirty 0, clean 512'
uname -r
echo "$seen"
[ "$seen" = "$expected" ]
