#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guest-init.sh - process 1 of the test guest, in BusyBox sh.
#
# It is installed twice: as /init of the initramfs it finds the root disk and its
# role, as /sbin/init of the root file system it plays that role. The role is not on
# the disk, so that a published export boots unchanged: it is the QEMU firmware file
# opt/org.refpoint/role, "verify" or absent for "write".
#
# write	 For ever: rewrite one random 4 KiB block of "blocks" and fsync it, append one
#	 128 byte record to "records" and fsync it, then say "REFPOINT-GUEST ack=N".
# verify Check the file system before it is mounted, then every record, block and
#	 payload file, say "REFPOINT-GUEST fsck=clean records=N ... bad=0", power off.
#
# A record is "NUMBER BLOCK NONCE CHECKSUM" padded to 127 bytes and a newline, a block
# is 64 equal lines "block BLOCK record NUMBER". So after acknowledgement N the records
# 1..N are there, and no block is older than the last record that names it.
#
# BusyBox sh knows RANDOM.
# shellcheck shell=dash disable=SC3028

data=/var/lib/guest

say() {
	echo "REFPOINT-GUEST $*"
}

power_off() {
	sync
	/bin/busybox poweroff -f
}

# A polynomial over the digits, modulo the largest prime below 2^32.
checksum='function checksum(s, h, i) {
	for (i = 1; i <= length(s); i++)
		h = (h * 31 + index("0123456789 ", substr(s, i, 1))) % 4294967291
	return sprintf("%010.0f", h)
}'

print_block() {
	awk -v k="$1" -v n="$2" 'BEGIN {
		line = sprintf("%-63s", "block " k " record " n)
		for (i = 0; i < 64; i++)
			print line
	}'
}

print_record() {
	awk -v n="$1" -v k="$2" -v nonce="$3" "$checksum"'BEGIN {
		body = n " " k " " nonce
		printf "%-127s\n", body " " checksum(body)
	}'
}

# overwrite FILE BLOCK_SIZE BLOCK <DATA, on the disk when it returns
overwrite() {
	dd of="$1" bs="$2" seek="$3" count=1 iflag=fullblock conv=notrunc,fsync 2>/dev/null
}

play_writer() {
	local k n

	n=$(($(stat -c %s $data/records) / 128 + 1))
	while k=$((RANDOM % 256)) &&
		print_block $k $n | overwrite $data/blocks 4096 $k &&
		print_record $n $k $RANDOM | overwrite $data/records 128 $((n - 1)); do
		say "ack=$n"
		n=$((n + 1))
	done
	say "error=write record=$n"
}

# Prints the number of records, and of bad records and blocks. The one block that may
# be ahead of the records is the one being written.
check_records() {
	awk "$checksum"'
	FILENAME ~ /records$/ {
		records++
		body = $1 " " $2 " " $3
		if (length($0) != 127 || $1 != records || $4 != checksum(body))
			bad++
		last[$2] = records
		next
	}
	{
		lines = FNR
		k = int((lines - 1) / 64)
		if (lines % 64 == 1)
			n = $4
		if (length($0) != 63 || $1 != "block" || $2 != k || $4 != n ||
		    n < last[k] + 0 || n > records + 1)
			wrong[k] = 1
	}
	END {
		for (k in wrong)
			bad++
		print records + 0, bad + (lines != 64 * 256)
	}' $data/records $data/blocks
}

play_verifier() {
	local result files wrong

	result=$(check_records)
	files=$(wc -l <$data/payload.sha256)
	wrong=$(cd $data && sha256sum -c payload.sha256 2>/dev/null | grep -vc ': OK$')
	say "fsck=clean records=${result% *} files=$files bad=$((${result#* } + wrong))"
}

# The journal is replayed first, as any mount would; what is then left is either a
# clean file system or damage.
check_file_system() {
	e2fsck -p /dev/vda1
	[ $? -le 1 ] && e2fsck -fn /dev/vda1
}

start_initramfs() {
	/bin/busybox mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t devtmpfs dev /dev
	exec </dev/console >/dev/console 2>&1
	modprobe -a virtio_pci virtio_blk qemu_fw_cfg
	tries=0
	while [ ! -b /dev/vda1 ] && [ $tries -lt 100 ]; do
		usleep 100000
		tries=$((tries + 1))
	done

	role=$(cat /sys/firmware/qemu_fw_cfg/by_name/opt/org.refpoint/role/raw \
		2>/dev/null)
	if [ "$role" = verify ] && ! check_file_system; then
		say "fsck=dirty"
		power_off
	fi
	if ! mount -t ext4 /dev/vda1 /root; then
		say "error=mount"
		power_off
	fi
	mount -o move /dev /root/dev
	mount -o move /sys /root/sys
	mount -o move /proc /root/proc
	# Without /proc the shell no longer finds its own commands.
	exec /bin/busybox switch_root /root /sbin/init "${role:-write}"
}

case $0 in
/init)
	start_initramfs
	;;
*)
	mount -t tmpfs tmp /tmp
	say "boot role=$1"
	if [ "$1" = verify ]; then
		play_verifier
	else
		play_writer
	fi
	power_off
	;;
esac
