#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# images.sh - a disk of 2.5 GiB with 512 MiB of data in 128 runs, as qcow2 and VHDX
. "$(dirname "$0")/lib.sh" 512

same=('refpoint:--format qcow2' 'refpoint:--format vhdx' qemu-img-qcow2 qemu-img-vhdx)
cross=(refpoint "${same[@]}" qemu-img-qcow2-best qemu-img-vhdx-best)

make_fs xfs xfs $((size * 2 + 512))
make_fs ext ext4 $((size * 2 + 512))
make_fs btrfs btrfs $((size * 2 + 1536))
for fs in xfs btrfs; do
	make_point "$fs" sparse "$((size * 5))M" "${size}M" $((size / 4))
	in_turns one "images, same ${filesystem[$fs]}" "$fs" "$fs" -- "${same[@]}"
done
in_turns one 'images, XFS to ext4' xfs ext -- "${cross[@]}"
