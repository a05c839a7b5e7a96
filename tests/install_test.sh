#!/bin/bash
# SPDX-License-Identifier: MIT
#
# install_test.sh - what is installed is enough to build a program with pkg-config and
# to run it; what is uninstalled is gone

. "$(dirname "$0")/lib.sh"

prefix=/usr/local
root=$DIR/root # DESTDIR
make=(make -s "O=$O" "CC=$CC" "SAN=${SAN-}" "PREFIX=$prefix" "LIBDIR=$prefix/lib"
	"BINDIR=$prefix/bin" "INCLUDEDIR=$prefix/include" "MANDIR=$prefix/share/man")

# As if $root were the top of the system.
package() {
	PKG_CONFIG_PATH=$root$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root \
		"${PKG_CONFIG:-pkg-config}" "$@" refpoint
}

cat >"$DIR/program.c" <<'END'
#include <refpoint.h>
#include <stdio.h>

int main(void)
{
	printf("%s %s\n", rp_version(), rp_return_name(RP_IN_USE));
	return rp_store_open("relative", NULL, NULL, NULL) != RP_INVALID_PARAMETER;
}
END

build() {
	# shellcheck disable=SC2046
	"$CC" -std=c11 -Wall -Wextra -Werror ${SAN:+"-fsanitize=$SAN"} -o "$DIR/program" \
		"$DIR/program.c" $(package --cflags --libs)
}

files() {
	(cd "$root$prefix" && find . ! -type d | sort)
}

cat >"$DIR/expected" <<'END'
./bin/refpoint
./include/refpoint.h
./lib/librefpoint.a
./lib/librefpoint.so
./lib/librefpoint.so.0
./lib/pkgconfig/refpoint.pc
./share/man/man1/refpoint.1
./share/man/man3/librefpoint.3
END

check 'make install' "${make[@]}" install DESTDIR="$root"
check 'installs these files' diff -u "$DIR/expected" <(files)
check 'the version is right' grep -qxF "$(cat VERSION)" <(package --modversion)
check 'a program is built' build
check 'and runs' env LD_LIBRARY_PATH="$root$prefix/lib" "$DIR/program"
check 'with this library' grep -qxF "$(cat VERSION) System is in use" "$DIR/out"
check 'the command finds its library' "$root$prefix/bin/refpoint" --version
check 'make uninstall' "${make[@]}" uninstall DESTDIR="$root"
check 'leaves no file' diff -u /dev/null <(files)

done_testing
