#!/bin/bash
# SPDX-License-Identifier: MIT
#
# abi_test.sh - the library exports exactly what tests/abi.list says, which is what the
# public header declares, shared and static

. "$(dirname "$0")/lib.sh"

so=$O/librefpoint.so.0

# A node of the version script is itself an absolute symbol of that name.
exported() {
	nm -D --defined-only --format=posix "$so" | awk '$2 != "A" { print $1 }' | sort
}

declared() {
	grep -vE '^[[:space:]]*(/?\*|//)' include/refpoint.h | grep -oE '\brp_[a-z_]+\(' |
		tr -d '(' | sort -u
}

# The archive has no versions.
exported_static() {
	nm --extern-only --defined-only --format=posix "$O/librefpoint.a" |
		awk 'NF > 1 { print $1 }' | sort
}

check 'exports tests/abi.list' diff -u tests/abi.list <(exported)
check 'the header declares the same' diff -u <(sed 's/@.*//' tests/abi.list) <(declared)
check 'its name is librefpoint.so.0' \
	grep -qF 'soname: [librefpoint.so.0]' <(readelf -d "$so")
# A thread of it may still be on its way out when the program has closed everything.
check 'it stays where it was loaded' grep -qE 'FLAGS_1.*NODELETE' <(readelf -d "$so")
# It brings ICU and the C++ library with it, which take longer to load than all else.
check 'libxml2 is not loaded before there is XML' \
	bash -c "! readelf -d '$so' | grep -F libxml2"
check 'the archive exports the same' \
	diff -u <(sed 's/@.*//' tests/abi.list) <(exported_static)

# A program with names that the library has inside, which it must neither call nor clash
# with.
cat >"$DIR/program.c" <<'END'
#include <refpoint.h>
#include <stdio.h>
#include <stdlib.h>

void crowd(void);
void watch_init(void);

void crowd(void)
{
	abort();
}

void watch_init(void)
{
	abort();
}

static int give(uint32_t value, const struct rp_error *error)
{
	if (value)
		printf("%s\n", error->message);
	return value != RP_OK;
}

int main(int argc, char **argv)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_store *store = NULL;
	struct rp_error error;
	char *text, *point;

	if (argc != 4)
		return 2;
	const struct rp_disk disk = {"vda", argv[2]};
	const int failed =
		give(rp_store_init(argv[1], &error), &error) ||
		give(rp_store_open(argv[1], NULL, &store, &error), &error) ||
		give(rp_system_add(store, "vm", &disk, 1, NULL, 0, &error), &error) ||
		give(rp_system_list(store, &text, &error), &error) ||
		give(rp_create_reference_point(store, "vm", &options, &point, &error),
		     &error) ||
		give(rp_export(store, point, argv[3], NULL, NULL, &error), &error);

	if (failed)
		return 1;
	rp_free(text);
	rp_free(point);
	rp_store_close(store);
	return 0;
}
END

build_static() {
	mkdir "$DIR/lib" && cp "$O/librefpoint.a" "$DIR/lib" || return
	# shellcheck disable=SC2046
	"$CC" -std=c11 -Wall -Wextra -Werror ${SAN:+"-fsanitize=$SAN"} -o "$DIR/program" \
		"$DIR/program.c" $(PKG_CONFIG_PATH=$O "${PKG_CONFIG:-pkg-config}" --static \
		--define-variable="libdir=$DIR/lib" \
		--define-variable="includedir=$ROOT/include" --cflags --libs refpoint)
}

head -c 100000 /dev/urandom >"$DIR/disk"
mkdir "$DIR/exports"
check 'a program with such names of its own is linked with it' build_static
check 'and works' "$DIR/program" "$DIR/store" "$DIR/disk" "$DIR/exports"
check 'and does not need the shared one' \
	bash -c "! readelf -d '$DIR/program' | grep -F librefpoint"

done_testing
