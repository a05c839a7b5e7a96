#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# many.sh - 1,000 systems with a disk of 4 MiB each, also the next night, and 10 with a disk
# of 1 GiB
. "$(dirname "$0")/lib.sh"

count=$((QUICK ? 50 : 1000))
most=$((size * 10 > count * 4 ? size * 10 : count * 4))
make_fs xfs xfs $((most + 1024))
make_fs ext ext4 $((most + 1024))

make_systems xfs "$count" 4M
in_turns set_of 'many disks, same XFS' xfs xfs -- refpoint cp-reflink bare
in_turns set_of 'many disks, XFS to ext4' xfs ext -- refpoint cp rsync

# The next night: a piece of each disk has changed, and the night before is there.
prepare_set() {
	case $1 in
	*--base*) "$REFPOINT" --store "$work/$2/store" export "${before[@]}" "$3" >/dev/null ;;
	rsync-delta) cp -r --reflink=never "$work/$2/before" "$3/disks" ;;
	esac
}

cp -r --reflink=always "$work/xfs/disks" "$work/xfs/before"
before=()
for disk in "$work"/xfs/disks/*; do
	"$O/bench/disk" change "$disk" 64K 64K
	"$REFPOINT" --store "$work/xfs/store" create "vm${disk##*/}" >/dev/null
	before+=("vm${disk##*/}@latest~1")
done
data[xfs]=$((count << 16))
in_turns set_of 'many disks, the next night, XFS to ext4' xfs ext -- \
	'refpoint:--base @latest~1' refpoint cp rsync-delta
prepare_set() { :; }
rm -r "$work/xfs/before"

forget_points xfs
make_systems xfs 10 "${size}M"
in_turns set_of "10 disks of $size MiB, XFS to ext4" xfs ext -- refpoint cp
