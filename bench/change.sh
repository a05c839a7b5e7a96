#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# change.sh - differential exports: a disk of which 0.1, 1 and 10 per cent have changed
. "$(dirname "$0")/lib.sh"

peers=(bare-copy qemu-img-best rsync-delta)
((!QUICK)) || peers=(bare-copy qemu-img-best)

# rsync begins with a copy of the base, which is not its time.
prepare_target() {
	[[ $1 != rsync-delta ]] || dd if="$base" of="$2" bs=4M iflag=direct oflag=direct status=none
}

make_fs xfs xfs $((size * 5 / 4 + 1024))
make_point xfs dense "${size}M"
base=${points[xfs]}
for tenths in 1 10 100; do
	"$O/bench/disk" change "$work/xfs/disk.raw" $((size * tenths * 1048576 / 1000)) 64K
	"$REFPOINT" --store "$work/xfs/store" create vm >/dev/null
	id=$("$REFPOINT" --store "$work/xfs/store" --json show vm@latest | jq -r .InstanceID)
	points[xfs]=$work/xfs/store/systems/vm/points/$id/vda.raw
	"$REFPOINT" --store "$work/xfs/store" changes vm@latest --base vm@latest~1 >"$work/changes"
	data[xfs]=$(awk '$3 == "data" { sum += $2 } END { printf "%d", sum }' "$work/changes")
	in_turns one "differential, $((tenths / 10)).$((tenths % 10)) %, XFS to ext4" xfs ext -- \
		'refpoint:--base vm@latest~1' "${peers[@]}"
	"$REFPOINT" --store "$work/xfs/store" destroy vm@latest~1
	base=${points[xfs]}
done
