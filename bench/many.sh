#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# many.sh - 1,000 systems with a disk of 4 MiB each, and 10 with a disk of 1 GiB
. "$(dirname "$0")/lib.sh"

# make_systems FS COUNT SIZE: disks in FS/disks, a store with a point of each.
make_systems() {
	local fs=$1 i name
	rm -rf "$work/$fs/disks"
	mkdir "$work/$fs/disks"
	"$O/bench/disk" files "$work/$fs/disks" "$2" "$3"
	"$REFPOINT" init "$work/$fs/store"
	for ((i = 0; i < $2; i++)); do
		printf -v name '%04d' "$i"
		"$REFPOINT" --store "$work/$fs/store" system add "vm$name" \
			--disk vda="$work/$fs/disks/$name"
		"$REFPOINT" --store "$work/$fs/store" create "vm$name" >/dev/null
	done
	data[$fs]=$(($2 * $(stat -c '%b * 512' "$work/$fs/disks/0000")))
	disks=$2
}

# set WORKLOAD TOOL FROM TO: all disks of FROM/disks at once.
set_of() {
	local name=$1 tool=$2 from=$3 to=$4 flags=(-S "$work/$4") command
	local src=$work/$from/disks dst=$work/$to/out
	case $tool in
	refpoint) command=("$REFPOINT" --store "$work/$from/store" export --all "$dst") flags=() ;;
	cp-reflink) command=(cp -r --reflink=always "$src" "$dst/disks") ;;
	cp) command=(cp -r --reflink=never "$src" "$dst/disks") ;;
	rsync) command=(rsync -r --whole-file "$src" "$dst/disks") ;;
	esac
	[[ -z ${device[$from]} ]] || flags+=(-r "${device[$from]}")
	[[ -z ${device[$to]} ]] || flags+=(-w "${device[$to]}")
	empty_out
	"$measure" -n workload="$name" -n tool="$tool" -n from="${filesystem[$from]}" \
		-n to="${filesystem[$to]}" -n disks="$disks" -b "${data[$from]}" "${flags[@]}" \
		-m $((data[$from] / 1048576 + 256)) -- "${command[@]}" >>"$runs"
	empty_out
}

count=$((QUICK ? 100 : 1000))
large=$((size / 2))
make_fs xfs xfs $((large * 10 > count * 4 ? large * 10 + 1024 : count * 4 + 1024))

make_systems xfs "$count" 4M
in_turns set_of "$count disks of 4 MiB, same XFS" xfs xfs -- refpoint cp-reflink
in_turns set_of "$count disks of 4 MiB, XFS to ext4" xfs ext -- refpoint cp rsync

chattr -R -f -i "$work/xfs/store" || true
rm -rf "$work/xfs/store"
make_systems xfs 10 "${large}M"
in_turns set_of "10 disks of $large MiB, XFS to ext4" xfs ext -- refpoint cp
