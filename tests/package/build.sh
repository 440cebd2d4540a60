#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# In a Debian root (tests/debian.sh), where it installs what that takes:
#
#   tests/package/build.sh build TARBALL   the packages, below $BUILD/deb
#   tests/package/build.sh again TARBALL   elsewhere, at another place on earth; compared with those
#   tests/package/build.sh lint            what lintian says of them
set -eu

install_missing() {
	local tree
	export DEBIAN_FRONTEND=noninteractive
	if ! command -v lintian >/dev/null || ! dpkg-checkbuilddeps tools/debian/control 2>/dev/null; then
		tree=$(mktemp -d)
		cp -r tools/debian "$tree/debian"
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends build-essential lintian
		apt-get build-dep -y -qq --no-install-recommends "$tree"
	fi
}

build() { # build FOLDER TARBALL
	make --no-print-directory deb BUILD="$1" DIST="$2"
}

again() { # again TARBALL
	local elsewhere package
	elsewhere=$(mktemp -d)
	TZ=Pacific/Kiritimati LC_ALL=C DEB_BUILD_OPTIONS=nocheck build "$elsewhere" "$1"
	for package in "$elsewhere"/deb/*.{deb,dsc,debian.tar.xz}; do
		cmp "$package" "$BUILD/deb/${package##*/}"
	done
}

install_missing
case $1 in
build) build "$BUILD" "$2" ;;
again) again "$2" ;;
# The packaging is of Debian 12's policy, which is not the last for Debian 13.
lint) lintian --allow-root --profile debian --display-info --pedantic \
	--suppress-tags out-of-date-standards-version "$BUILD"/deb/*.changes ;;
esac
