#!/bin/bash
# SPDX-License-Identifier: MIT
#
# many_disks_test.sh - a point of a thousand disks: shared and moved, verified and restored;
# and where there cannot be descriptors for all of them at once, nothing is left behind

. "$(dirname "$0")/lib.sh"

COUNT=1000

# disks FOLDER: so many files of 1 MiB, each with a name of its own in front.
disks() {
	local i
	mkdir "$1"
	for ((i = 0; i < COUNT; i++)); do
		printf 'disk %d' "$i" >"$1/$i"
	done
	truncate -s 1M "$1"/*
}

# rp STATUS NAME ARGUMENT...: with the limits that the caller has set.
rp() {
	local status=$1 name=$2
	shift 2
	check_status "$status" "$name" "$REFPOINT" --store "$fs/store" "$@"
}

same() {
	local i
	for ((i = 0; i < COUNT; i++)); do
		cmp -s "$fs/disks/$i" "$1/d$i.raw" || { echo "d$i differs"; return 1; }
	done
}

why=$(no_loopfs xfs)
[[ -z $why ]] || skip_all "$why"
fs=$DIR/xfs
mkdir "$fs" "$DIR/other"
mount_loopfs xfs 400 "$fs"
disks "$fs/disks"
arguments=()
for ((i = 0; i < COUNT; i++)); do
	arguments+=(--disk "d$i=$fs/disks/$i")
done
mkdir "$fs/out"
check 'store' "$REFPOINT" init "$fs/store"
rp 0 'system' system add vm "${arguments[@]}"

# What may be raised is: as shells have it, and as services do.
ulimit -Sn 64
rp 0 'create, with few descriptors for now' create vm
point=$(<"$DIR/out")
rp 0 'export by clone, with few descriptors for now' export "$point" "$fs/out"
check 'export by clone: every disk' same "$fs/out/vm/${point#*@}"
rp 0 'export to another file system' export "$point" "$DIR/other"
check 'export to another file system: every disk' same "$DIR/other/vm/${point#*@}"
rp 0 'verify' verify "$DIR/other/vm/${point#*@}"
rp 0 'restore one of them' restore "$DIR/other/vm/${point#*@}" --disk d999 "$DIR/restored"
check 'restore: its bytes' cmp "$fs/disks/999" "$DIR/restored"
rm -r "$fs/out/vm" "$DIR/other/vm"

ulimit -n 512
rp 1 'export, with too few descriptors' export "$point" "$fs/out"
check 'export: one line, which says why' grep -qzP \
	'\Arefpoint: export .* d\d+: .*: Too many open files \(32768 Failed\)\n\z' "$DIR/err"
check 'export: leaves nothing' rmdir "$fs/out"
rp 1 'create, with too few descriptors' create vm
check 'create: says why' grep -q 'Too many open files (32768 Failed)$' "$DIR/err"
rp 0 'there is the one point' list vm
check 'there is no other' test "$(grep -c '[0-9a-f]-[0-9a-f]' "$DIR/out")" = 1
done_testing
