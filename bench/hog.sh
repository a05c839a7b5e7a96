#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hog.sh - full export while every core is busy with something else
. "$(dirname "$0")/lib.sh"

peers=(cp qemu-img-best)
hogs=()
stop_hogs() {
	local status=$?
	((!${#hogs[@]})) || kill "${hogs[@]}"
	cleanup "$status"
}

make_fs xfs xfs $((size + 512))
make_fs ext ext4 $((size * 2 + 512))
make_point ext dense "${size}M"
trap stop_hogs EXIT
for ((core = 0; core < $(nproc); core++)); do
	(while :; do :; done) &
	hogs+=($!)
done
workload 'busy cores, ext4 to XFS' ext xfs "${peers[@]}"
