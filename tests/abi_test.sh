#!/bin/bash
# SPDX-License-Identifier: MIT
#
# abi_test.sh - the library exports exactly what tests/abi.list says, which is what the
# public header declares

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

check 'exports tests/abi.list' diff -u tests/abi.list <(exported)
check 'the header declares the same' diff -u <(sed 's/@.*//' tests/abi.list) <(declared)
check 'its name is librefpoint.so.0' \
	grep -qF 'soname: [librefpoint.so.0]' <(readelf -d "$so")
# It brings ICU and the C++ library with it, which take longer to load than all else.
check 'libxml2 is not loaded before there is XML' \
	bash -c "! readelf -d '$so' | grep -F libxml2"

done_testing
