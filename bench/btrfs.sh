#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# btrfs.sh - full export from XFS to Btrfs: with data checksums, and to a NOCOW folder
. "$(dirname "$0")/lib.sh"

peers=(cp dd qemu-img-best nbdcopy fio-both)
((!QUICK)) || peers=(cp)

make_fs xfs xfs $((size + 512))
make_fs btrfs btrfs $((size + 1536))
make_point xfs dense "${size}M"
workload 'XFS to Btrfs' xfs btrfs "${peers[@]}"

# The folder's flag is what a user sets who gives up checksums; files inherit it.
chattr +C "$work/btrfs/out"
workload 'XFS to Btrfs, NOCOW' xfs btrfs "${peers[@]}"
