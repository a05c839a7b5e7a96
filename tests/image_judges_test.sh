#!/bin/bash
# SPDX-License-Identifier: MIT
#
# image_judges_test.sh - what QEMU and libvhdi say of exported images beyond their bytes:
# where qcow2 ones have data, zeros, and nothing of their own; what their bitmap marks;
# several disks in one export; and disks of many TiB

TEST_TIMEOUT=1200
. "$(dirname "$0")/lib.sh"

for tool in qemu-img qemu-nbd nbdinfo python3 jq; do
	command -v "$tool" >/dev/null || skip_all "no $tool"
done
why=$(no_loopfs xfs)
[[ -z $why ]] || skip_all "$why"

fs=$DIR/fs other=$DIR/other out=$DIR/stdout
mount_loopfs xfs 1024 "$fs"
mount_loopfs ext4 512 "$other" -q -F
mkdir "$fs/out" "$other/out" "$fs/disks"
export REFPOINT_STORE=$fs/store

# write DISK AT BYTES: random data, where it is told in bytes.
write() {
	head -c "$3" /dev/urandom |
		dd of="$fs/disks/$1" bs=64K oflag=seek_bytes seek="$2" conv=notrunc,fsync status=none
}

# hole DISK AT BYTES
hole() {
	fallocate -p -o "$2" -l "$3" "$fs/disks/$1"
}

# take NAME: a point; prints it.
take() {
	"$REFPOINT" create "$1"
}

# image DIRECTORY POINT DISK SUFFIX: its path.
image() {
	echo "$1/${2%@*}/${2#*@}/$3.$4"
}

# raw POINT DISK: the disk in the point.
raw() {
	echo "$fs/store/systems/${1%@*}/points/${1#*@}/$2.raw"
}

# judge NAME FORMAT RAW IMAGE [BASE IMAGE]: its bytes are those of the disk.
judge() {
	local name=$1 format=$2 raw=$3 image=$4 padded=$fs/padded
	shift 4
	if [[ $format = vhdx ]]; then
		cp --reflink=auto --sparse=always "$raw" "$padded"
		truncate -s %512 "$padded"
		check "$name: libvhdi" /usr/bin/python3 tests/vhdi_compare.py / "$padded" "$image" "$@"
		rm -f "$padded"
		(($# == 0)) || return # QEMU does not open differencing ones
	fi
	check "$name: check" qemu-img check -q -f "$format" "$image"
	check "$name: compare" qemu-img compare -q -f raw -F "$format" "$raw" "$image"
}

# ------------------------------------------------------------ where the data is

MIB=1048576
truncate -s $((64 * MIB + 5000)) "$fs/disks/map"
write map 0 4096
write map $((3 * MIB - 512)) 1024
write map $((10 * MIB)) $((7 * MIB + 100))
write map $((40 * MIB + 65536)) 65536
write map $((64 * MIB + 4096)) 904
"$REFPOINT" init "$fs/store"
"$REFPOINT" system add map --disk "vda=$fs/disks/map"
first=$(take map)

for to in "$fs" "$other"; do
	for grain in 65536 $((2 * MIB)); do
		name="${to##*/}, clusters of $grain"
		check "$name" "$REFPOINT" export "$first" "$to/out" --format qcow2 --cluster-size $grain
		check "$name: map" python3 tests/qemu_map.py map "$(raw "$first" vda)" \
			"$(image "$to/out" "$first" vda qcow2)" $grain
		rm -r "$to/out/map"
	done
done

# Shared or moved, it is the same image.
for format in qcow2 vhdx; do
	for to in "$fs" "$other"; do
		check "${to##*/}, $format" "$REFPOINT" export "$first" "$to/out" --format $format
	done
	check "$format: the same on both" cmp "$(image "$fs/out" "$first" vda $format)" \
		"$(image "$other/out" "$first" vda $format)"
	rm -r "$fs/out/map" "$other/out/map"
done

write map $((12 * MIB + 300)) 5000
write map $((20 * MIB)) $((2 * MIB))
write map $((50 * MIB + 4096)) 4096
hole map $((14 * MIB)) $((2 * MIB + 65536))
hole map 0 4096
second=$(take map)
write map $((21 * MIB)) 65536
hole map $((40 * MIB + 65536)) 65536
third=$(take map)
for to in "$fs" "$other"; do
	for grain in 65536 $((2 * MIB)); do
		name="${to##*/}, changes in clusters of $grain"
		"$REFPOINT" export "$first" "$to/out" --format qcow2 --cluster-size $grain >/dev/null
		base=$first
		for point in "$second" "$third"; do
			check "$name" "$REFPOINT" export "$point" "$to/out" --base "$base" \
				--format qcow2 --cluster-size $grain
			image=$(image "$to/out" "$point" vda qcow2)
			check "$name: change map" "$REFPOINT" --json changes "$point" --base "$base"
			cp "$DIR/out" "$out"
			check "$name: map" python3 tests/qemu_map.py map "$(raw "$point" vda)" \
				"$image" $grain "$out"
			check "$name: bitmap" python3 tests/qemu_map.py bitmap "$image" "$out"
			judge "$name" qcow2 "$(raw "$point" vda)" "$image"
			base=$point
		done
		# QEMU writes its own header into what it opens to write to it.
		check "$name: opened by QEMU" qemu-io -f qcow2 -c 'read 0 4k' "$image"
		check "$name: verify then" "$REFPOINT" verify --chain "$to/out/map/${point#*@}"
		check "$name: restore then" "$REFPOINT" restore "$to/out/map/${point#*@}" \
			--disk vda "$fs/restored"
		check "$name: the same then" cmp "$(raw "$point" vda)" "$fs/restored"
		rm "$fs/restored"
		rm -r "$to/out/map"
	done
done

# ------------------------------------------------------------------ several disks

disks=(vda:$((20 * MIB)) vdb:$((33 * MIB + 512)) vdc:$((5 * MIB + 777)) hole:$((9 * MIB)))
for disk in "${disks[@]}"; do
	truncate -s "${disk#*:}" "$fs/disks/${disk%:*}"
	[[ $disk = hole* ]] || write "${disk%:*}" $((2 * MIB + 4096)) $((2 * MIB))
	[[ $disk = hole* ]] || write "${disk%:*}" $((${disk#*:} - 700)) 700
	system+=(--disk "${disk%:*}=$fs/disks/${disk%:*}")
done
"$REFPOINT" system add many "${system[@]}"
first=$(take many)
write vda $((3 * MIB)) 100000
hole vdb $((2 * MIB + 65536)) $((MIB + 65536))
write hole 4096 4096
second=$(take many)
for to in "$fs" "$other"; do
	for format in qcow2 vhdx; do
		name="${to##*/}, disks as $format"
		check "$name" "$REFPOINT" export "$first" "$to/out" --format $format
		check "$name, changes" "$REFPOINT" export "$second" "$to/out" --base "$first" \
			--format $format
		check "$name: verify" "$REFPOINT" verify "$to/out/many/${second#*@}"
		for disk in "${disks[@]%:*}"; do
			base=$(image "$to/out" "$first" "$disk" $format)
			judge "$name: $disk" $format "$(raw "$first" "$disk")" "$base"
			judge "$name: $disk, changes" $format "$(raw "$second" "$disk")" \
				"$(image "$to/out" "$second" "$disk" $format)" "$base"
		done
		rm -r "$to/out/many"
	done
done

# Killed when a part is known to be safe, of whichever disk that has data there.
safe="[.[].Disks[] | select(.DiskId != \"hole\" and .Mark >= $((2 * MIB + 131072)))] | length > 0"
for format in qcow2 vhdx; do
	name="killed, as $format"
	journal=$other/out/many/.${first#*@}.partial/.journal
	"$REFPOINT" export "$first" "$other/out" --format $format --bwlimit 256K >/dev/null &
	until jq -se "$safe" "$journal" >"$out" 2>/dev/null; do
		kill -0 $! || break
		sleep 0.05
	done
	kill -9 $!
	wait $! 2>/dev/null
	check "$name: goes on" "$REFPOINT" export "$first" "$other/out" --format $format
	check "$name: a part was there" jq -e '[.Disks[].ResumedBytes] | add > 0' \
		"$other/out/many/${first#*@}/export.json"
	for disk in "${disks[@]%:*}"; do
		judge "$name: $disk" $format "$(raw "$first" "$disk")" \
			"$(image "$other/out" "$first" "$disk" $format)"
	done
	rm -r "$other/out/many"
done

# --------------------------------------------------------------------- very large

# Data on both sides of where numbers of bytes, sectors and tables grow out of their words.
TIB=$((MIB * MIB))
truncate -s $((5 * TIB + 1536)) "$fs/disks/large"
for at in 0 $((2048 * MIB)) $((4096 * MIB)) $TIB $((2 * TIB)) $((4 * TIB)) $((5 * TIB)); do
	((at == 0)) || write large $((at - 4096)) 4096
	write large $((at + 65536 * (at < 5 * TIB))) 1536
done
"$REFPOINT" system add large --disk "vda=$fs/disks/large"
first=$(take large)
write large $((3 * TIB - 65536)) 131072
hole large $((2 * TIB - 4096)) 4096
second=$(take large)
# same NAME POINT IMAGE: our reader, then all of both, holes are quick.
same() {
	check "$1: restore" "$REFPOINT" restore "${3%/*}" --disk vda "$fs/restored"
	check "$1: the same" qemu-img compare -q -f raw -F raw "$(raw "$2" vda)" "$fs/restored"
	rm -f "$fs/restored"
}

for to in "$fs" "$other"; do
	for format in qcow2 vhdx; do
		name="${to##*/}, 5 TiB as $format"
		check "$name" "$REFPOINT" export "$first" "$to/out" --format $format
		check "$name, changes" "$REFPOINT" export "$second" "$to/out" --base "$first" \
			--format $format
		base=$(image "$to/out" "$first" vda $format)
		tip=$(image "$to/out" "$second" vda $format)
		same "$name" "$first" "$base"
		same "$name, changes" "$second" "$tip"
		if [[ $format = vhdx ]]; then # QEMU would read all of it
			check "$name: check" qemu-img check -q -f vhdx "$base"
			check "$name: libvhdi" /usr/bin/python3 tests/vhdi_compare.py / \
				"$(raw "$first" vda)" "$base"
			check "$name, changes: libvhdi" /usr/bin/python3 tests/vhdi_compare.py / \
				"$(raw "$second" vda)" "$tip" "$base"
		else
			judge "$name" qcow2 "$(raw "$first" vda)" "$base"
			judge "$name, changes" qcow2 "$(raw "$second" vda)" "$tip"
		fi
		rm -r "$to/out/large"
	done
done

done_testing
