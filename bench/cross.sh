#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cross.sh - full export to another file system: all bytes are moved
. "$(dirname "$0")/lib.sh" 1536

# The peers make no digests; without them this is the same work.
peers=('refpoint:--digest never' cp dd qemu-img qemu-img-best nbdcopy rsync fio-read fio-write fio-both)
((!QUICK)) || peers=('refpoint:--digest never' cp qemu-img-best fio-both)

make_fs xfs xfs $((size * 2 + 512))
make_fs ext ext4 $((size * 3 + 1024))
make_point xfs dense "${size}M"
make_point ext dense "${size}M"
workload 'ext4 to ext4' ext ext "${peers[@]}"
workload 'ext4 to XFS' ext xfs "${peers[@]}"
workload 'XFS to ext4' xfs ext "${peers[@]}"
