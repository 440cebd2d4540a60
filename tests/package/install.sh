#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# In a fresh Debian root (tests/debian.sh --fresh), where nothing of pqpool is and no library that
# only it needs:
#
#   tests/package/install.sh FOLDER
#
# installs the packages in the folder, has them used, by the test that they bring (tools/debian/tests),
# purges them, and prints what is then other than it was before. That should be nothing.
set -eu

folder=$(realpath "$1") # apt takes other names for names of packages
debs=("$folder"/libpqpool_*.deb "$folder"/pqpool_*.deb)
export DEBIAN_FRONTEND=noninteractive

# What is not the root's, or another at each start of it.
elsewhere=(/proc /sys /dev /src /tmp /run /.old /var/cache/pqpool)
# What dpkg, apt and the linker write of everything that was ever installed and removed.
own=(/var/lib/dpkg/status /var/lib/dpkg/status-old /var/lib/apt/extended_states
	/var/log/dpkg.log /var/log/apt/history.log /var/log/apt/term.log /var/log/apt/eipp.log.xz
	/var/cache/apt/pkgcache.bin /var/cache/apt/srcpkgcache.bin '/var/cache/apt/archives/*.deb'
	/var/cache/ldconfig/aux-cache)

# Type, mode, owner and target of everything, and the checksum of each file.
snapshot() {
	local place out=()
	for place in "${elsewhere[@]}" "${own[@]}"; do
		out+=(-path "$place" -prune -o)
	done
	find / "${out[@]}" -printf '%y %m %u:%g %p %l\n' | sort
	find / "${out[@]}" -type f -print0 | sort -z | xargs -0 sha256sum
}

snapshot >/tmp/before
apt-get install -y -qq --no-install-recommends "${debs[@]}" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
snapshot >/tmp/used
pqpool --version
cmp /usr/share/pqpool/grafana.json tools/metrics/grafana.json
runuser -u postgres -- tools/debian/tests/pgbench
snapshot | diff /tmp/used - || { echo "use leaves this"; exit 1; }
apt-get purge -y -qq pqpool libpqpool >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
apt-get autoremove -y -qq --purge >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
if cmp -s /tmp/before /tmp/used; then
	echo "what is installed is not seen"
	exit 1
fi
snapshot | diff /tmp/before - || { echo "removal leaves this"; exit 1; }
