#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# sparse.sh - a disk of 4 GiB with 1 GiB of data in 1,024 pieces
. "$(dirname "$0")/lib.sh"

pieces=$size # of 1 MiB, one every 4 MiB
peers=(cp cp-sparse dd-sparse qemu-img qemu-img-best nbdcopy rsync)
((!QUICK)) || peers=(cp qemu-img-best)

make_fs xfs xfs $((pieces * 2 + 512))
make_fs ext ext4 $((pieces * 6 + 512)) # were all of a disk written
make_point ext sparse "$((size * 4))M" "${pieces}M" "$pieces"
make_point xfs sparse "$((size * 4))M" "${pieces}M" "$pieces"
workload 'sparse, ext4 to ext4' ext ext "${peers[@]}"
workload 'sparse, XFS to ext4' xfs ext "${peers[@]}"
