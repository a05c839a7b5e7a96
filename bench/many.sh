#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# many.sh - 1,000 systems with a disk of 4 MiB each, and 10 with a disk of 1 GiB
. "$(dirname "$0")/lib.sh"

count=$((QUICK ? 50 : 1000))
most=$((size * 10 > count * 4 ? size * 10 : count * 4))
make_fs xfs xfs $((most + 1024))
make_fs ext ext4 $((most + 1024))

make_systems xfs "$count" 4M
in_turns set_of 'many disks, same XFS' xfs xfs -- refpoint cp-reflink bare
in_turns set_of 'many disks, XFS to ext4' xfs ext -- refpoint cp rsync

forget_points xfs
make_systems xfs 10 "${size}M"
in_turns set_of "10 disks of $size MiB, XFS to ext4" xfs ext -- refpoint cp
