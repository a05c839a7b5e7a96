#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - the main job on a real guest, from nothing; "make demo" runs it.
#
# A Linux machine writes to its disk, a reference point is taken meanwhile, exported
# to the same file system and to another one, verified, and each export is booted. The
# next night only what has changed since is exported. The disk restored from both exports
# is booted, and so are a merged export, a chain of qcow2 images and a VHDX.
# As root the machine's disk and the store are on an XFS image, loop-mounted under
# ${TMPDIR:-/var/tmp}, and the disk is cloned while it is written to. Without root
# they are ordinary files there; the machine is then stopped and its disk may be
# copied. Nothing is left behind but the guest's kernel package (see guest.sh).

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

guest=$(dirname "$(realpath "$0")")/guest.sh
refpoint=${REFPOINT:?"is not set; run make demo"}
doing="preparing"
work=
rows=()

step() {
	doing=$1
	printf '\n==> %s\n' "$1"
}

say() {
	printf '    %s\n' "$*"
}

refpoint() {
	say "\$ refpoint ${*//"$work"/\$DEMO}" >&3
	"$refpoint" "$@"
}

# A busy mount is waited for and never detached lazily: what keeps it busy is a fault.
unmount_xfs() {
	local i

	for ((i = 0; i < 50; i++)); do
		umount "$work/xfs" 2>/dev/null && return
		sleep 0.1
	done
	umount "$work/xfs"
}

cleanup() {
	local status=$?

	trap '' INT TERM HUP
	set +e
	if [ -n "$work" ]; then
		if [ -e "$work/pid" ]; then
			"$guest" stop "$work/pid"
		fi
		if mountpoint -q "$work/xfs"; then
			unmount_xfs
		fi
		rm -rf --one-file-system "$work"
	fi
	if [ -e "$work" ] && [ $status = 0 ]; then
		doing="cleaning up $work"
		status=1
	fi
	echo
	if [ $status = 0 ]; then
		echo "demo: OK"
	else
		echo "demo: FAILED while $doing"
	fi
	exit $status
}

check_machine() {
	local tool free

	for tool in mkfs.xfs jq qemu-img busybox mke2fs sfdisk grub-mkimage qemu-system-x86_64; do
		if ! type "$tool" >/dev/null; then
			say "make deps, as root, installs what is missing"
			return 1
		fi
	done
	free=$(df --output=avail -BM "$work" | tail -n 1)
	if [ "${free//[!0-9]/}" -lt 1536 ]; then
		say "$work: less than 1.5 GiB free; TMPDIR may name another place"
		return 1
	fi
}

file_system() {
	df --output=fstype "$1" | tail -n 1
}

size() {
	numfmt --to=iec-i --suffix=B --format=%.1f "$1"
}

# export_to DIRECTORY TITLE POINT [OPTION...]: one row of the table
export_to() {
	local directory=$1 title=$2 report disk0 method started seconds

	shift 2
	mkdir -p "$directory"
	step "exporting: $title"
	started=$EPOCHREALTIME
	report=$(refpoint --store "$store" --json export "$@" "$directory")
	seconds=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
	exported=$(jq -r .ExportPath <<<"$report")
	disk0=$(jq '.Disks[0]' <<<"$report")
	jq -r '"    \(.Method): \(.MethodReason)",
		if .Backend then "    \(.Backend): \(.BackendReason)" else empty end' <<<"$disk0"
	method=$(jq -r '[.Method, .Backend // empty] | join(", ")' <<<"$disk0")
	rows+=("$(printf '%-25s %9s %9s %9s %8.2f  %s' "$title" \
		"$(size "$(jq .VirtualSize <<<"$disk0")")" \
		"$(size "$(jq .ClonedBytes <<<"$disk0")")" \
		"$(size "$(jq .CopiedBytes <<<"$disk0")")" "$seconds" "$method")")
	say "$exported"
}

exec 3>&1
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d "${TMPDIR:-/var/tmp}/refpoint-demo.XXXXXX")
export TMPDIR=$work
check_machine

if [ "$(id -u)" = 0 ]; then
	step "making a file system with reflinks"
	mkdir "$work/xfs"
	truncate -s 3G "$work/xfs.img"
	mkfs.xfs -q -m reflink=1 "$work/xfs.img"
	mount -o loop "$work/xfs.img" "$work/xfs"
	home=$work/xfs
	say "XFS on a loop device, below \$DEMO = $work"
else
	step "preparing without root"
	home=$work
	say "Not root, so no file system can be mounted: ordinary files are used,"
	say "below \$DEMO = $work,"
	say "and the guest is stopped for its reference point."
fi
store=$home/store
disk=$home/guest.raw

step "building a bootable guest: Debian's kernel, GRUB, an ext4 root, 200 MiB of data"
"$guest" build "$disk" 1024 200
say "$(size "$(stat -c %s "$disk")") disk, $(size "$(($(stat -c %b "$disk") * 512))") used"

step "making a store and adding the guest to it"
refpoint init "$store"
refpoint --store "$store" system add guest --disk "vda=$disk"

step "starting the guest in QEMU and waiting until it writes"
"$guest" start "$disk" "$work/console" "$work/pid"
say "records on its disk: $("$guest" acked "$work/console" 100)"

create=(refpoint --store "$store" create guest)
if [ "$(id -u)" = 0 ]; then
	step "taking a reference point while the guest writes"
	acked=$("$guest" acked "$work/console")
	say "last record acknowledged before: $acked"
else
	step "stopping the guest: a copy of a running machine would be of no one instant"
	"$guest" stop "$work/pid"
	acked=$("$guest" acked "$work/console")
	say "last record acknowledged: $acked"
	step "taking a reference point of the stopped guest"
	create+=(--allow-copy)
fi
point=$("${create[@]}")
say "$point"
if [ -e "$work/pid" ]; then
	say "the guest writes on: record $("$guest" acked "$work/console" $((acked + 10)))"
fi
refpoint --store "$store" show "$point" | sed 's/^/    /'

export_to "$home/exports" "same file system ($(file_system "$home"))" "$point"
same=$exported
if [ "$(id -u)" = 0 ]; then
	away=$work/exports
	export_to "$away" "other file system ($(file_system "$work"))" "$point"
else
	away=$work/exports-2
	export_to "$away" "elsewhere on it ($(file_system "$work"))" "$point"
fi
other=$exported

step "verifying both exports"
refpoint verify "$same" | sed 's/^/    /'
refpoint verify "$other" | sed 's/^/    /'
cmp "$same/vda.raw" "$other/vda.raw"
say "the two disks are equal, byte for byte"

step "the next night: the guest has written on, and a second point is taken"
if [ ! -e "$work/pid" ]; then
	"$guest" start "$disk" "$work/console-2" "$work/pid"
	"$guest" acked "$work/console-2" $((acked + 100)) >/dev/null
	"$guest" stop "$work/pid"
	acked2=$("$guest" acked "$work/console-2")
else
	acked2=$("$guest" acked "$work/console" $((acked + 100)))
fi
say "last record acknowledged before: $acked2"
point2=$("${create[@]}")
say "$point2"
export_to "$away" "only what has changed" "$point2" --base "$point"
changed=$exported
export_to "$home/exports" "merged with the first" "$point2" --base "$point" --merge
merged=$exported

images=$home/images
export_to "$images" "the first as qcow2" "$point" --format qcow2
export_to "$images" "what has changed as qcow2" "$point2" --base "$point" --format qcow2
overlay=$exported/vda.qcow2
qemu-img info "$overlay" | grep -E '^(virtual size|backing file|backing file format):' |
	sed "s|$work|\$DEMO|g; s/^/    /"
qemu-img check "$overlay" | sed 's/^/    /'
export_to "$home/vhdx" "the second as VHDX" "$point2" --format vhdx
vhdx=$exported/vda.vhdx

step "verifying the chain, and restoring its tip"
refpoint verify "$changed" | sed 's/^/    /'
refpoint restore "$changed" --disk vda "$work/restored.raw" | sed 's/^/    /'

if [ -e "$work/pid" ]; then
	step "stopping the guest"
	"$guest" stop "$work/pid"
	say "last record acknowledged: $("$guest" acked "$work/console")"
fi

step "booting both exports: e2fsck, then every record, block and file"
for exported in "$same" "$other"; do
	say "$(file_system "$exported"): $("$guest" check "$exported/vda.raw" "$acked")"
done
say "the records acknowledged before the point, $acked, are among them"

step "booting what was restored from the full and the differential export, and the merged one"
say "restored: $("$guest" check "$work/restored.raw" "$acked2")"
say "merged: $("$guest" check "$merged/vda.raw" "$acked2")"
say "the records acknowledged before the second point, $acked2, are among them"

step "booting the tip of the qcow2 chain, and the VHDX"
say "qcow2: $("$guest" check "$overlay" "$acked2")"
say "VHDX: $("$guest" check "$vhdx" "$acked2")"

step "what it took"
printf '    %-25s %9s %9s %9s %8s  %s\n' "EXPORT TO" BYTES SHARED COPIED SECONDS METHOD
printf '    %s\n' "${rows[@]}"
doing=finishing
