#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# digest.sh - what the digest costs where it can cost most: between two devices in memory
. "$(dirname "$0")/lib.sh"

size=$((size < 1024 ? size : 1024))
use_ram $((size * 2 + 1600))
make_fs from xfs $((size + 512))
make_fs to ext4 $((size + 512))
make_point from dense "${size}M"

# An export hashes in any case, for its journal; so the library of hashes is replaced by
# one that does not.
nohash=$work/nohash.so
"${CC:-cc}" -shared -fPIC -O2 -x c -o "$nohash" - <<-'END'
	#include <string.h>
	struct hash { unsigned long long low, high; };
	struct hash XXH3_128bits(const void *p, size_t size)
	{
		struct hash h = {1, size};
		memcpy(&h, p, size < sizeof(h) ? size : sizeof(h));
		return h;
	}
	struct hash XXH3_128bits_dispatch(const void *p, size_t size)
	{
		return XXH3_128bits(p, size);
	}
END
prepare_target() {
	unset LD_PRELOAD
	[[ $1 != *unhashed ]] || export LD_PRELOAD=$nohash
}
in_turns one 'digest, in memory' from to -- refpoint refpoint-unhashed cp
