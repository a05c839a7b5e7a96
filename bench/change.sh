#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# change.sh - differential exports: a disk of which 0.1, 1 and 10 per cent have changed;
# and the export of that merged with the export of its base
. "$(dirname "$0")/lib.sh"

peers=(bare-copy qemu-img-best rsync-delta)
((!QUICK)) || peers=(bare-copy qemu-img-best)

# rsync and a merge begin with a copy of the base, which is not their time.
prepare_target() {
	case $1 in
	rsync-delta) dd if="$base" of="$2" bs=4M iflag=direct oflag=direct status=none ;;
	*--merge) "$REFPOINT" --store "$work/xfs/store" export vm@latest~1 "$(dirname "$2")" \
		>/dev/null ;;
	esac
}

make_fs xfs xfs $((size * 5 / 4 + 1024))
make_fs ext ext4 $((size * 5 / 4 + 512))
make_fs to xfs $((size * 5 / 4 + 512))
make_point xfs dense "${size}M"
base=${points[xfs]}
for tenths in 1 10 100; do
	percent=$((tenths / 10)).$((tenths % 10))
	"$O/bench/disk" change "$work/xfs/disk.raw" $((size * tenths * 1048576 / 1000)) 64K
	"$REFPOINT" --store "$work/xfs/store" create vm >/dev/null
	id=$("$REFPOINT" --store "$work/xfs/store" --json show vm@latest | jq -r .InstanceID)
	points[xfs]=$work/xfs/store/systems/vm/points/$id/vda.raw
	"$REFPOINT" --store "$work/xfs/store" changes vm@latest --base vm@latest~1 >"$work/changes"
	data[xfs]=$(awk '$3 == "data" { sum += $2 } END { printf "%d", sum }' "$work/changes")
	in_turns one "differential, $percent %, XFS to ext4" xfs ext -- \
		'refpoint:--base vm@latest~1' "${peers[@]}"
	((tenths != 10)) || in_turns one "merged, $percent %, XFS to another XFS" xfs to -- \
		'refpoint:--base vm@latest~1 --merge' "${peers[@]}"
	"$REFPOINT" --store "$work/xfs/store" destroy vm@latest~1
	base=${points[xfs]}
done
