#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest.sh - a real Linux machine for tests: Debian's kernel, GRUB, an ext4 root.
#
#   guest.sh build DISK [SIZE_MIB [PAYLOAD_MIB]]
#	Make a bootable raw disk image, with PAYLOAD_MIB of random files in it.
#   guest.sh start DISK CONSOLE PIDFILE
#	Boot DISK in the background; the guest writes until it is stopped. What it
#	says goes to the file CONSOLE.
#   guest.sh acked CONSOLE [AT_LEAST [SECONDS]]
#	Print the last record the guest acknowledged as safely on its disk; wait
#	until there are AT_LEAST.
#   guest.sh stop PIDFILE
#	Pull the plug, as kill -9 does, and wait until the machine is gone.
#   guest.sh check DISK [RECORD]
#	Boot DISK (.raw, .qcow2, .vhdx) without changing it. Success if the guest
#	finds its file system clean, all its data right, and RECORD among it.
#
# Needs no root. What the guest does is told in guest-init.sh. Debian packages:
# apt busybox-static dpkg e2fsprogs fdisk grub-common grub-pc-bin qemu-system-x86,
# and for the kernel "apt-get update", which root need not run. The kernel is kept in
# $REFPOINT_CACHE, else in refpoint/ in $XDG_CACHE_HOME or ~/.cache. A machine lives
# for at most $GUEST_SECONDS, else 300.

set -euo pipefail
shopt -s inherit_errexit
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
seconds=${GUEST_SECONDS:-300}
root_start=$((1 << 20))
apt=(apt-get -qq -o APT::Sandbox::User=root)
scratch=
launched=

die() {
	echo "guest.sh: $*" >&2
	exit 1
}

cleanup() {
	if [ -n "$launched" ]; then
		kill "$launched" 2>/dev/null || true
		wait "$launched" || true
	fi
	if [ -n "$scratch" ]; then
		rm -rf "$scratch"
	fi
}

# Prints the file of the cloud kernel that apt knows: from the cache, else downloaded.
find_kernel() {
	local cache=${REFPOINT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/refpoint}
	local package file

	cd "$scratch"
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
	[ -n "$package" ] || return
	file=$("${apt[@]}" download --print-uris "$package" | cut -d ' ' -f 2)
	[ -n "$file" ] || return
	if [ ! -e "$cache/$file" ]; then
		"${apt[@]}" download "$package" >&2 &&
			mkdir -p "$cache" &&
			cp "$file" "$cache/$file.$$" &&
			mv "$cache/$file.$$" "$cache/$file" || return
	fi
	echo "$cache/$file"
}

unpack_kernel() {
	local deb

	if ! deb=$(find_kernel) && [ "$(id -u)" = 0 ]; then
		"${apt[@]}" update >&2
		deb=$(find_kernel) || true
	fi
	[ -n "$deb" ] || die "cannot get a kernel; try apt-get update as root"
	dpkg-deb -x "$deb" "$1"
}

# The named modules and all they depend on, with modules.dep, from tree to tree.
copy_modules() {
	local from=$1 to=$2 version=$3 name line module
	local base=lib/modules/$version

	shift 3
	busybox depmod -b "$from" "$version"
	mkdir -p "$to/$base"
	for name; do
		line=$(grep "/$name\.ko[.a-z]*:" "$from/$base/modules.dep") ||
			die "kernel $version has no module $name"
		for module in ${line/:/}; do
			install -D -m 0644 "$from/$base/$module" "$to/$base/$module"
		done
	done
	busybox depmod -b "$to" "$version"
}

make_initramfs() {
	local kernel=$1 output=$2 stage=$scratch/initramfs version lib

	version=$(ls "$kernel/lib/modules")
	mkdir -p "$stage"/{bin,sbin,dev,proc,sys,root}
	cp "$(command -v busybox)" "$stage/bin/busybox"
	ln -s busybox "$stage/bin/sh"
	install -m 0755 "$here/guest-init.sh" "$stage/init"
	install -m 0755 "$(command -v e2fsck)" "$stage/sbin/e2fsck"
	ldd "$(command -v e2fsck)" | grep -o '/[^ ]*' | while read -r lib; do
		install -D "$lib" "$stage$lib"
	done
	copy_modules "$kernel" "$stage" "$version" virtio_pci virtio_blk qemu_fw_cfg
	(cd "$stage" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$output"
}

make_root() {
	local root=$1 payload_mib=$2 data=$1/var/lib/guest i

	mkdir -p "$root"/{bin,sbin,boot,dev,proc,sys,tmp} "$data/payload"
	cp "$(command -v busybox)" "$root/bin/busybox"
	ln -s busybox "$root/bin/sh"
	install -m 0755 "$here/guest-init.sh" "$root/sbin/init"
	cp "$scratch"/kernel/boot/vmlinuz-* "$root/boot/vmlinuz"
	make_initramfs "$scratch/kernel" "$root/boot/initrd.img"

	: >"$data/records"
	awk 'BEGIN {
		for (n = 0; n < 256 * 64; n++)
			printf "%-63s\n", "block " int(n / 64) " record 0"
	}' >"$data/blocks"
	for ((i = 0; i < payload_mib; i += 32)); do
		head -c $(((payload_mib - i < 32 ? payload_mib - i : 32) << 20)) \
			/dev/urandom >"$data/payload/$i"
	done
	(cd "$data" && find payload -type f -exec sha256sum {} +) >"$data/payload.sha256"
}

# GRUB as its installer lays it out on a BIOS disk: boot.img in the first sector,
# which loads core.img from the sectors after it, before the first partition.
make_boot_sectors() {
	local disk=$1 grub=/usr/lib/grub/i386-pc

	cat >"$scratch/grub.cfg" <<-'END'
		set root=(hd0,msdos1)
		linux /boot/vmlinuz console=ttyS0 quiet panic=-1
		initrd /boot/initrd.img
		boot
	END
	grub-mkimage -O i386-pc -d "$grub" -p '(hd0,msdos1)/boot/grub' \
		-c "$scratch/grub.cfg" -o "$scratch/core.img" \
		biosdisk part_msdos ext2 linux boot
	dd if="$grub/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
	dd if="$scratch/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
}

cmd_build() {
	local disk=$1 size_mib=${2:-256} payload_mib=${3:-0}

	unpack_kernel "$scratch/kernel"
	make_root "$scratch/root" "$payload_mib"
	: >"$disk"
	truncate -s "${size_mib}M" "$disk"
	sfdisk -q "$disk" <<<"start=$((root_start / 512)), type=83, bootable"
	# GRUB cannot read the two features switched off here.
	mke2fs -q -t ext4 -L guest -O ^metadata_csum_seed,^orphan_file -d "$scratch/root" \
		-E "offset=$root_start,root_owner=0:0" "$disk" "$((size_mib - 1))M"
	make_boot_sectors "$disk"
}

# launch CONSOLE QEMU_ARGUMENT...
launch() {
	local console=$1

	shift
	: >"$console"
	timeout --kill-after=5 "$seconds" qemu-system-x86_64 -accel tcg -m 256 -smp 1 \
		-nodefaults -display none -no-reboot \
		-chardev "file,id=console,append=on,path=${console//,/,,}" \
		-serial chardev:console "$@" </dev/null >>"$console" 2>&1 &
	launched=$!
}

# QEMU reads a comma in a file name when it is doubled.
drive() {
	local file

	file=$(realpath -e "$1")
	echo "if=virtio,file=${file//,/,,},$2"
}

cmd_start() {
	local cache=writeback drive

	if dd if="$1" of=/dev/null iflag=direct bs=4096 count=1 status=none 2>/dev/null
	then
		cache=none
	fi
	rm -f "$3"
	drive=$(drive "$1" "format=raw,cache=$cache")
	launch "$2" -drive "$drive" -pidfile "$3"
	while [ ! -s "$3" ]; do
		kill -0 $launched 2>/dev/null || die "QEMU does not start: $(<"$2")"
		sleep 0.02
	done
	launched=
}

cmd_stop() {
	local pid i

	pid=$(<"$1")
	for ((i = 0; i < 1000; i++)); do
		if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != qemu-system-x86 ]; then
			rm -f "$1"
			return
		fi
		kill -KILL "$pid" 2>/dev/null || true
		sleep 0.02
	done
	die "machine $pid cannot be killed"
}

last_acked() {
	# The carriage return shows that the whole line is there.
	sed -n 's/^REFPOINT-GUEST ack=\([0-9]*\)\r$/\1/p' "$1" | tail -n 1
}

cmd_acked() {
	local at_least=${2:-0} limit=$((SECONDS + ${3:-120})) last

	while true; do
		last=$(last_acked "$1")
		if [ "${last:-0}" -ge "$at_least" ]; then
			echo "${last:-0}"
			return
		fi
		if [ $SECONDS -ge $limit ] || grep -q 'GUEST error=\|panic' "$1"; then
			break
		fi
		sleep 0.1
	done
	tail -n 5 "$1" >&2
	die "the guest acknowledged ${last:-0} records, not $at_least"
}

cmd_check() {
	local disk=$1 record=${2:-0} format=raw drive result

	case $disk in
	*.qcow2) format=qcow2 ;;
	*.vhdx) format=vhdx ;;
	esac
	drive=$(drive "$disk" "format=$format,snapshot=on")
	launch "$scratch/console" -drive "$drive" \
		-fw_cfg name=opt/org.refpoint/role,string=verify
	wait $launched || true
	launched=

	result=$(tr -d '\r' <"$scratch/console" | grep '^REFPOINT-GUEST fsck=') || true
	echo "$result"
	if ! [[ $result =~ ^REFPOINT-GUEST\ fsck=clean\ records=([0-9]+)\ .*\ bad=0$ ]]
	then
		cat "$scratch/console" >&2
		die "$disk: the guest is damaged or did not finish"
	fi
	[ "${BASH_REMATCH[1]}" -ge "$record" ] ||
		die "$disk: record $record is lost"
}

usage() {
	sed -n '/^#   guest/,/^$/s/^# \{0,1\}//p' "$0" >&2
	exit 64
}

trap cleanup EXIT
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/refpoint-guest.XXXXXX")

case ${1:-}/$# in
build/[234] | start/4 | acked/[234] | stop/2 | check/[23])
	command=$1
	shift
	;;
*)
	usage
	;;
esac
"cmd_$command" "$@"
