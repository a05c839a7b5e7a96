#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fragmented.sh - a dense disk in 100,000 extents
. "$(dirname "$0")/lib.sh"

extents=$((QUICK ? 10000 : 100000))

make_fs xfs xfs $((extents * 2 / 128 + 512))
make_fs ext ext4 $((extents * 2 / 128 + 512))
make_point xfs fragmented "$extents"
workload 'fragmented, same XFS' xfs xfs ficlone cp-reflink
workload 'fragmented, XFS to ext4' xfs ext cp qemu-img-best
