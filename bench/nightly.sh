#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# nightly.sh - a full disk of 20 GiB, of which 1 % changes here and there in pieces of 64 KiB
#
# "alone" is the full export of a disk that holds nothing but those pieces, where they lie
# on the device: the least that can be had with the same engine. "packed" is the same with
# its pieces written one behind the other, as no guest would leave them. cmp and rsync,
# which read everything, run once.
. "$(dirname "$0")/lib.sh" 20480

changed=$((size / 100)) # MiB
store=$work/xfs/store
rp() { "$REFPOINT" --store "$store" "$@"; }

make_fs xfs xfs $((size + 4 * changed + 512))
make_fs ext ext4 $((size + 4 * changed + 512))
make_point xfs dense "${size}M"
base=$(rp --json show vm@latest | jq -r '"vm@" + .InstanceID')
old=${points[xfs]}
"$O/bench/disk" change "$work/xfs/disk.raw" "${changed}M" 64K
latest=$(rp create vm)
points[xfs]=$store/systems/vm/points/${latest#*@}/vda.raw
data[xfs]=$((changed << 20))

# make_least NAME FS: system NAME has a disk with nothing but the pieces.
make_least() {
	rp export "$latest" --base "$base" "$work/$2/out" >/dev/null
	cp --reflink=auto --sparse=always "$work/$2/out/vm/${latest#*@}/vda.raw" \
		"$work/xfs/$1.raw"
	sync
	rp system add "$1" --disk vda="$work/xfs/$1.raw"
	rp create "$1" >/dev/null
}
make_least alone xfs
make_least packed ext
empty_out

command_of() {
	local tool=$1 src=$2 dst=$3 to=$5
	flags=()
	# shellcheck disable=SC2016 # expanded by the shell that is started
	case $tool in
	refpoint) command=("$REFPOINT" --store "$store" export "$latest" --base "$base"
		"$work/$to/out") ;;
	changes) command=("$REFPOINT" --store "$store" changes "$latest" --base "$base") ;;
	refpoint-*) command=("$REFPOINT" --store "$store" export "${tool#*-}@latest"
		"$work/$to/out") ;;
	qemu-img) command=(qemu-img convert -f raw -O raw "$src" "$dst") flags=(-s "$dst") ;;
	rsync) command=(rsync --inplace --no-whole-file "$src" "$dst") flags=(-s "$dst") ;;
	cmp) command=(bash -c 'cmp -l "$1" "$2" | wc -l' cmp "$old" "$src") ;;
	esac
}

# What rsync brings up to date is a copy of the base.
prepare_target() {
	[[ $1 != rsync ]] || cp --sparse=always "$old" "$2"
}

in_turns one 'nightly, XFS to ext4' xfs ext -- \
	refpoint refpoint-alone refpoint-packed changes qemu-img
((QUICK)) || { rounds=1; in_turns one 'nightly, XFS to ext4' xfs ext -- cmp rsync; }
