#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# backend.sh - what each backend makes of the same exports
. "$(dirname "$0")/lib.sh"

backends=('refpoint:--io uring' 'refpoint:--io aio' 'refpoint:--io sync')

make_fs xfs xfs $((size * 2 + 512))
make_fs ext ext4 $((size * 3 + 1024))
make_fs btrfs btrfs $((size + 1536))
make_point xfs dense "${size}M"
make_point ext dense "${size}M"
for pair in 'ext ext' 'ext xfs' 'xfs ext' 'xfs btrfs'; do
	read -r from to <<<"$pair"
	in_turns one "backends, ${filesystem[$from]} to ${filesystem[$to]}" "$from" "$to" -- \
		"${backends[@]}"
done
