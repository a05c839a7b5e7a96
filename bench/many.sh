#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# many.sh - 1,000 systems with a disk of 4 MiB each, and 10 with a disk of 1 GiB
. "$(dirname "$0")/lib.sh"

count=$((QUICK ? 100 : 1000))
large=$((size / 2))
make_fs xfs xfs $((large * 10 > count * 4 ? large * 10 + 1024 : count * 4 + 1024))

make_systems xfs "$count" 4M
in_turns set_of "$count disks of 4 MiB, same XFS" xfs xfs -- refpoint cp-reflink
in_turns set_of "$count disks of 4 MiB, XFS to ext4" xfs ext -- refpoint cp rsync

forget_points xfs
make_systems xfs 10 "${large}M"
in_turns set_of "10 disks of $large MiB, XFS to ext4" xfs ext -- refpoint cp
