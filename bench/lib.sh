# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# lib.sh - what the workloads begin with: file systems, stores, the tools and their turns
#
#	. "$(dirname "$0")/lib.sh"
#	make_fs xfs xfs 3000			# a file system in $work/xfs
#	make_point xfs dense 2G			# a store on it, and one point of a new disk
#	workload 'XFS to ext4' xfs ext cp dd	# rounds of refpoint and these tools
#
# Tools take turns, in another order each round: what a device has just done for one is
# felt by the next. Every run begins cold and ends on stable storage, but for ficlone, which
# is the bare ioctl. Each adds one JSON line to $O/bench/runs/SCRIPT.jsonl.
# All file systems lie in images that are written in full before: holes of them would be
# filled while we measure. That of $TMPDIR itself takes no part: what is removed from it may
# be given back to a host that has it in a sparse file, and takes twice as long the next time.
#
# Disks are of 1 GiB, or of the MiB that lib.sh is given, and there are seven rounds; with
# QUICK=1 a sixteenth of it, and one. ROUNDS=N and SIZE=MIB say otherwise.

set -euo pipefail
: "${O:?}" "${REFPOINT:?}"
QUICK=${QUICK:-0}
# shellcheck disable=SC2034 # for the workloads
size=${SIZE:-$((${1:-1024} / (QUICK ? 16 : 1)))} # MiB
rounds=${ROUNDS:-$((QUICK ? 1 : 7))}
round=1
cd "$(dirname "$0")/.."
mkdir -p "$O/bench/runs"
runs=$O/bench/runs/$(basename "$0" .sh).jsonl
: >"$runs"
measure=$O/bench/measure

work=$(mktemp -d "${TMPDIR:-/var/tmp}/refpoint-bench.XXXXXX")
images=$work # where images of file systems lie
mounted=()
counted=() # -p TRACEPOINT of measure
hugepages=
declare -A device=() filesystem=() points=() data=()

# The loop devices of images in it go a moment after their own file systems.
take_down() {
	local try
	for ((try = 0; try < 50; try++)); do
		! umount "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	umount "$1"
}

# cleanup [STATUS]
cleanup() {
	local status=${1:-$?} i
	trap - EXIT
	[[ -z $hugepages ]] || echo "$hugepages" >/proc/sys/vm/nr_hugepages
	for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
		take_down "$work/${mounted[i]}"
	done
	rm -rf --one-file-system "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---------------------------------------------------------------- file systems

# use_ram MIB: file systems made from now on lie in memory: a device as fast as it gets.
use_ram() {
	mkdir "$work/ram"
	mount -t tmpfs -o "size=$1m" none "$work/ram"
	mounted+=(ram)
	images=$work/ram
}

# Where it can be seen how often io_uring gave work to another thread.
use_tracing() {
	local tracepoint=events/io_uring/io_uring_queue_async_work/id
	mkdir "$work/tracing"
	mount -t tracefs none "$work/tracing" 2>/dev/null || return 0
	mounted+=(tracing)
	[[ ! -e $work/tracing/$tracepoint ]] || counted=(-p "$work/tracing/$tracepoint")
}

# make_fs NAME TYPE MIB [MKFS OPTION...]
make_fs() {
	local name=$1 type=$2 mib=$3 loop free
	shift 3
	free=$(($(stat -f -c '%a * %S' "$images") / 1048576))
	((mib < free)) || { echo "bench: no room in $images: $mib MiB wanted, $free free" >&2
		return 1; }
	mkdir "$work/$name"
	dd if=/dev/zero of="$images/$name.img" bs=1M count="$mib" iflag=fullblock status=none \
		conv=fsync
	case $type in
	ext4) "mkfs.$type" -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$@" \
		"$images/$name.img" ;;
	*) "mkfs.$type" -q -K "$@" "$images/$name.img" ;;
	esac
	loop=$(losetup --find --show --direct-io=on "$images/$name.img")
	# A limit that somebody set for the one before stays with the device.
	cat "/sys/block/${loop#/dev/}/queue/max_hw_sectors_kb" \
		>"/sys/block/${loop#/dev/}/queue/max_sectors_kb"
	if [[ $type = btrfs ]]; then
		mount -o nodiscard "$loop" "$work/$name"
	else
		mount "$loop" "$work/$name"
	fi
	losetup --detach "$loop" # with the last mount
	mounted+=("$name")
	device[$name]=${loop#/dev/}
	filesystem[$name]=$type
	mkdir "$work/$name/out"
}

# ----------------------------------------------------------------------- disks

# make_point FS KIND ARGUMENT...: a store with system "vm" and one point of a new disk;
# the arguments are those of bench/disk KIND without the file.
make_point() {
	local fs=$1 kind=$2
	shift 2
	[[ -d $work/$fs/store ]] || "$REFPOINT" init "$work/$fs/store"
	"$O/bench/disk" "$kind" "$work/$fs/disk.raw" "$@"
	"$REFPOINT" --store "$work/$fs/store" system add vm --disk vda="$work/$fs/disk.raw"
	"$REFPOINT" --store "$work/$fs/store" create vm --allow-copy >/dev/null
	points[$fs]=$(echo "$work/$fs"/store/systems/vm/points/*/vda.raw)
	data[$fs]=$(($(stat -c '%b * 512' "${points[$fs]}")))
}

# ----------------------------------------------------------------------- tools

# command_of TOOL SOURCE TARGET FROM TO: sets command and flags of measure.
command_of() {
	local tool=$1 src=$2 dst=$3 from=$4 to=$5
	flags=(-s "$dst")
	case $tool in
	refpoint*) # by itself durable; "refpoint:--io sync" has more options
		local more=()
		[[ $tool != *:* ]] || read -ra more <<<"${tool#*:}"
		flags=()
		command=("$REFPOINT" --store "$work/$from/store" export vm@latest "$work/$to/out"
			"${more[@]}") ;;
	cp) command=(cp --reflink=never "$src" "$dst") ;;
	cp-reflink) command=(cp --reflink=always "$src" "$dst") ;;
	cp-sparse) command=(cp --reflink=never --sparse=always "$src" "$dst") ;;
	dd) command=(dd if="$src" of="$dst" bs=4M iflag=direct oflag=direct status=none) ;;
	dd-sparse) command=(dd if="$src" of="$dst" bs=1M iflag=direct oflag=direct conv=sparse
		status=none) ;;
	qemu-img) command=(qemu-img convert -f raw -O raw "$src" "$dst") ;;
	qemu-img-best) command=(qemu-img convert -f raw -O raw -t none -T none -W -m 16
		"$src" "$dst") ;;
	qemu-img-*-best) command=(qemu-img convert -f raw -O "$(cut -d - -f 3 <<<"$tool")"
		-t none -T none -W -m 16 "$src" "$dst") ;;
	qemu-img-*) command=(qemu-img convert -f raw -O "${tool##*-}" "$src" "$dst") ;;
	nbdcopy) command=(nbdcopy "$src" "$dst") ;;
	rsync) command=(rsync --inplace --whole-file --sparse "$src" "$dst") ;;
	rsync-delta) command=(rsync --inplace --no-whole-file "$src" "$dst") ;;
	bare-copy) command=("$O/bench/bare" copy "$src" "$dst" "$work/changes") flags=() ;;
	ficlone) command=("$O/bench/bare" clone "$src" "$dst") flags=() ;;
	*) echo "bench: no tool $tool" >&2; return 1 ;;
	esac
}

# memory_of READ WRITTEN: MiB to be touched before a run. Memory that never was is slow, and
# who goes by the page cache needs it for all bytes read, holes too, and written, as far as
# there is any. The others wait as long, so that the device has rested as long.
memory_of() {
	local most wanted=$((($1 + $2) / 1048576 + 256))
	most=$(awk '$1 == "MemAvailable:" { print int($2 / 2048) }' /proc/meminfo)
	echo $((wanted < most ? wanted : most))
}

# What fio can do with the same requests, buffers and files; its own runtime counts.
fio_command() {
	local tool=$1 src=$2 dst=$3
	local read=(--name=read --filename="$src" --rw=read)
	local write=(--name=write --filename="$dst" --rw=write --end_fsync=1 --fallocate=native)
	# --mem=mmaphuge takes its pages from here, and fails without them.
	[[ -n $hugepages ]] || { hugepages=$(</proc/sys/vm/nr_hugepages)
		echo $((hugepages + 48)) >/proc/sys/vm/nr_hugepages; }
	flags=()
	command=(fio --output="$work/fio.json" --output-format=json --ioengine=io_uring --direct=1
		--bs=1M --iodepth=16 --registerfiles --mem=mmaphuge --thread
		--size="$(stat -c %s "$src")" --refill_buffers=0)
	case $tool in
	fio-read) command+=("${read[@]}") ;;
	fio-write) command+=("${write[@]}") ;;
	fio-both) command+=("${read[@]}" "${write[@]}") ;;
	esac
}

# The line of a fio run: the longest of its jobs, without its start and end.
fio_seconds() {
	jq -c --slurpfile fio "$work/fio.json" '
		([$fio[0].jobs[] | .read.runtime, .write.runtime] | max / 1000) as $s
		| .seconds = $s | .gib_per_s = (.bytes / 1073741824 / $s)'
}

# What an export says of itself, for its line.
method_of() {
	local manifest newest=
	for manifest in "$work/$1"/out/*/*/export.json; do
		[[ $manifest -ot $newest ]] || newest=$manifest
	done
	jq -c '.Disks[0] | {backend: .Backend, method: .Method, block: .BlockSize,
		depth: .QueueDepth}' "$newest"
}

empty_out() {
	rm -rf "$work"/*/out/*
}

# one WORKLOAD TOOL FROM TO
one() {
	local name=$1 tool=$2 from=$3 to=$4 src=${points[$3]} dst=$work/$4/out/disk.raw
	local command flags line method=null
	local notes=(-n workload="$name" -n tool="$tool" -n round="$round"
		-n from="${filesystem[$from]}" -n to="${filesystem[$to]}" -b "${data[$from]}"
		-n size="$(stat -c %s "$src")" "${counted[@]}" -c "$work/$from"
		-r "${device[$from]}" -w "${device[$to]}")
	[[ $from = "$to" ]] || notes+=(-c "$work/$to")
	empty_out
	prepare_target "$tool" "$dst"
	case $tool in
	fio-*) fio_command "$tool" "$src" "$dst" ;;
	*) command_of "$tool" "$src" "$dst" "$from" "$to" ;;
	esac
	# All of the disk, not what counts as its data: peers know nothing of a base.
	line=$("$measure" "${notes[@]}" "${flags[@]}" -m "$(memory_of "$(stat -c %s "$src")" \
		$(($(stat -c '%b * 512' "$src"))))" -- "${command[@]}")
	case $tool in
	fio-*) line=$(fio_seconds <<<"$line") ;;
	refpoint*) method=$(method_of "$to") ;;
	esac
	jq -c --argjson method "$method" '. + $method' <<<"$line" >>"$runs"
	empty_out
}

# prepare_target TOOL FILE: a tool may want the file to be something before it runs.
prepare_target() { :; }

# in_turns COMMAND... -- TOOL...: each round calls COMMAND TOOL for all, in any order.
in_turns() {
	local call=() tool tools
	while [[ $1 != -- ]]; do
		call+=("$1")
		shift
	done
	shift
	for ((round = 1; round <= rounds; round++)); do
		printf '%s: round %d of %d\n' "${call[1]}" "$round" "$rounds" >&2
		mapfile -t tools < <(printf '%s\n' "$@" | shuf)
		for tool in "${tools[@]}"; do
			"${call[0]}" "${call[1]}" "$tool" "${call[@]:2}"
		done
	done
}

# workload NAME FROM TO TOOL...: refpoint and these, in turns.
workload() {
	local name=$1 from=$2 to=$3
	shift 3
	in_turns one "$name" "$from" "$to" -- refpoint "$@"
}

# ------------------------------------------------------------------ many disks

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

# prepare_set TOOL FROM FOLDER: a tool may want something to be there before it runs.
prepare_set() { :; }

# set_of WORKLOAD TOOL FROM TO: all disks of FROM/disks at once.
set_of() {
	local name=$1 tool=$2 from=$3 to=$4 flags=(-S "$work/$4") command
	local src=$work/$from/disks dst=$work/$to/out more=()
	[[ $tool != *:* ]] || read -ra more <<<"${tool#*:}"
	case $tool in
	refpoint*) flags=()
		command=("$REFPOINT" --store "$work/$from/store" export --all "$dst" "${more[@]}") ;;
	bare) command=("$O/bench/bare" set "$src" "$dst") flags=() ;;
	cp-reflink) command=(cp -r --reflink=always "$src" "$dst/disks") ;;
	cp) command=(cp -r --reflink=never "$src" "$dst/disks") ;;
	rsync) command=(rsync -r --whole-file "$src" "$dst/disks") ;;
	rsync-delta) command=(rsync -r --inplace --no-whole-file "$src/" "$dst/disks") ;;
	esac
	flags+=(-r "${device[$from]}" -w "${device[$to]}")
	[[ $from = "$to" ]] || flags+=(-c "$work/$to")
	empty_out
	prepare_set "$tool" "$from" "$dst"
	"$measure" -n workload="$name" -n tool="$tool" -n round="$round" \
		-n from="${filesystem[$from]}" -n to="${filesystem[$to]}" -n disks="$disks" \
		-n x="${x-}" -b "${data[$from]}" "${flags[@]}" "${counted[@]}" -c "$work/$from" \
		-m "$(memory_of "${data[$from]}" "${data[$from]}")" -- "${command[@]}" >>"$runs"
	empty_out
}

forget_points() {
	chattr -R -f -i "$work/$1/store" || true
	rm -rf "$work/$1/store" "$work/$1/disk.raw"
}

use_tracing
