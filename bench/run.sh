#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh - full exports side by side with the peers; called by "make bench", as root.
#
# Tools take turns; every run begins cold and ends on stable storage. One JSON line a run
# goes to $O/bench/runs.jsonl, the table of medians to $O/bench/table.md and to stdout.
# QUICK=1: 512 MiB and 3 rounds instead of 2 GiB and 7.
set -euo pipefail

: "${O:?}" "${REFPOINT:?}"
measure=$O/bench/measure
size=$((${QUICK:-0} ? 512 : 2048)) # MiB
rounds=$((${QUICK:-0} ? 3 : 7))
runs=$O/bench/runs.jsonl
table=$O/bench/table.md

((EUID == 0)) || { echo "bench: needs root: it mounts, and drops the page cache" >&2; exit 1; }
for tool in qemu-img nbdcopy mkfs.xfs jq dd cp; do
	command -v "$tool" >/dev/null || { echo "bench: $tool is missing; see make deps" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/var/tmp}/refpoint-bench.XXXXXX")
cleanup() {
	local status=$?
	trap - EXIT
	mountpoint -q "$work/xfs" && umount "$work/xfs"
	[[ -d $work/ext/store ]] && chattr -R -i "$work/ext/store" 2>/dev/null
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The image is written in full: holes of the loop file would be filled while we measure.
make_xfs() {
	local loop
	dd if=/dev/zero of="$work/xfs.img" bs=1M count=$((size * 5 / 2 + 512)) oflag=direct status=none
	mkfs.xfs -q -K "$work/xfs.img"
	mkdir "$work/xfs" "$work/ext"
	loop=$(losetup --find --show --direct-io=on "$work/xfs.img")
	mount "$loop" "$work/xfs"
	losetup --detach "$loop" # with the last mount
	device=${loop#/dev/}
}

# One system and one point in a store on each file system.
make_points() {
	local fs
	for fs in xfs ext; do
		dd if=/dev/urandom of="$work/$fs/disk.raw" bs=1M count="$size" status=none
		"$REFPOINT" init "$work/$fs/store"
		"$REFPOINT" --store "$work/$fs/store" system add vm --disk vda="$work/$fs/disk.raw"
		"$REFPOINT" --store "$work/$fs/store" create vm --allow-copy >/dev/null
		rm "$work/$fs/disk.raw"
		mkdir "$work/$fs/out"
	done
}

point_disk() { echo "$work/$1"/store/systems/vm/points/*/vda.raw; }

# one WORKLOAD TOOL SOURCE-FS TARGET-FS
one() {
	local src dst=$work/$4/out/disk.raw args=(-m $((size + 256)) -d "$device")
	src=$(point_disk "$3")
	rm -rf "$work"/{xfs,ext}/out/*
	case $2 in
	refpoint*) # by itself durable
		local extra=()
		[[ $2 = *-* ]] && extra=(--io "${2#*-}")
		"$measure" "$2" "${args[@]}" -- "$REFPOINT" --store "$work/$3/store" \
			export vm@latest "$work/$4/out" "${extra[@]}" ;;
	cp) "$measure" "$2" "${args[@]}" -s "$dst" -- cp --reflink=never "$src" "$dst" ;;
	cp-reflink) "$measure" "$2" "${args[@]}" -s "$dst" -- cp --reflink=always "$src" "$dst" ;;
	dd) "$measure" "$2" "${args[@]}" -s "$dst" -- dd if="$src" of="$dst" bs=4M iflag=direct \
		oflag=direct status=none ;;
	qemu-img) "$measure" "$2" "${args[@]}" -s "$dst" -- qemu-img convert -O raw "$src" "$dst" ;;
	qemu-img-best) "$measure" "$2" "${args[@]}" -s "$dst" -- qemu-img convert -f raw -O raw \
		-t none -T none -W -m 16 "$src" "$dst" ;;
	nbdcopy) "$measure" "$2" "${args[@]}" -s "$dst" -- nbdcopy "$src" "$dst" ;;
	esac | jq -c --arg w "$1" '{workload: $w} + .' >>"$runs"
	rm -rf "$work"/{xfs,ext}/out/*
}

# workload NAME SOURCE-FS TARGET-FS TOOL...
workload() {
	local name=$1 from=$2 to=$3 round tool
	shift 3
	for ((round = 1; round <= rounds; round++)); do
		printf '%s: round %d of %d\n' "$name" "$round" "$rounds" >&2
		for tool in "$@"; do
			one "$name" "$tool" "$from" "$to"
		done
	done
}

report() {
	printf 'Full export of %d MiB of data; medians of %d interleaved runs, min-max in brackets.\n' \
		"$size" "$rounds"
	printf 'Linux %s, %s cores, %s.\n\n' "$(uname -r)" "$(nproc)" "$(date -u +%F)"
	echo '| workload | tool | seconds | GiB/s | CPU s/GiB | peak RSS MiB | written to XFS MiB | times refpoint |'
	echo '| --- | --- | --- | --- | --- | --- | --- | --- |'
	jq -rs --argjson gib "$((size))" '
		def median: sort | if length % 2 == 1 then .[length / 2 | floor]
			else (.[length / 2 - 1] + .[length / 2]) / 2 end;
		def r(n): . * pow(10; n) | round / pow(10; n);
		($gib / 1024) as $g
		| [group_by(.workload)[] | (map(select(.name == "refpoint").seconds) | median) as $own
		| group_by(.name)[] | (map(.seconds) | median) as $t
		| {w: .[0].workload, n: .[0].name, t: $t, ratio: ($t / $own),
		   range: "[\(map(.seconds) | min | r(3))-\(map(.seconds) | max | r(3))]",
		   cpu: ((map(.cpu) | median) / $g), rss: ((map(.rss_kib) | median) / 1024),
		   written: ((map(.written) | median) / 1048576), rate: ($g / $t)}]
		| sort_by(.w, .t)[]
		| "| \(.w) | \(.n) | \(.t | r(3)) \(.range) | \(.rate | r(2)) | \(.cpu | r(3)) | \(.rss | r(1)) | \(.written | r(1)) | \(.ratio | r(2)) |"' "$runs"
}

: >"$runs"
make_xfs
make_points
workload 'XFS same file system' xfs xfs refpoint cp-reflink qemu-img
workload 'XFS to ext4' xfs ext refpoint refpoint-aio refpoint-sync cp dd qemu-img-best nbdcopy
workload 'ext4 to XFS' ext xfs refpoint cp dd qemu-img-best nbdcopy
report | tee "$table"
