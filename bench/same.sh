#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# same.sh - full export within one file system: blocks are shared
. "$(dirname "$0")/lib.sh" 2048

make_fs xfs xfs $((size * 5 / 2 + 512))
make_point xfs dense "${size}M"
workload 'same XFS' xfs xfs ficlone cp-reflink qemu-img
