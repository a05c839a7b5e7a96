#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# growth.sh - how cost grows: with size, with extents, with the number of disks
. "$(dirname "$0")/lib.sh"

rounds=$((rounds > 3 ? 3 : rounds))
most=$((QUICK ? 1000 : 100000))
most_disks=$((most / 100)) # of 4 MiB
make_fs xfs xfs $((size * 2 + most_disks * 4 + 1024))
make_fs ext ext4 $((size + most_disks * 4 + 512))

# at WORKLOAD TOOL X FROM TO: one(), with its place on the axis
at() {
	local name=$1 tool=$2 x=$3 from=$4 to=$5 line
	one "$name" "$tool" "$from" "$to"
	line=$(tail -n 1 "$runs")
	sed -i '$d' "$runs"
	jq -c --argjson x "$x" '. + {x: $x}' <<<"$line" >>"$runs"
}

for ((mib = 16; mib <= size; mib *= 4)); do
	make_point xfs dense "${mib}M"
	in_turns at 'growth with size, XFS to ext4' "$mib" xfs ext -- refpoint cp
	in_turns at 'growth with size, same XFS' "$mib" xfs xfs -- refpoint ficlone
	forget_points xfs
done
for ((extents = 100; extents <= most; extents *= 10)); do
	make_point xfs fragmented "$extents"
	in_turns at 'growth with extents, same XFS' "$extents" xfs xfs -- refpoint ficlone
	in_turns at 'growth with extents, XFS to ext4' "$extents" xfs ext -- refpoint cp
	forget_points xfs
done
for ((count = 1; count <= most_disks; count *= 10)); do
	make_systems xfs "$count" 4M
	x=$count in_turns set_of 'growth with disks, same XFS' xfs xfs -- refpoint cp-reflink
	x=$count in_turns set_of 'growth with disks, XFS to ext4' xfs ext -- refpoint cp
	forget_points xfs
done
