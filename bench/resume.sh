#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# resume.sh - an export that was stopped when four fifths were there, and goes on: it reads
# those at both ends, and copies the rest
. "$(dirname "$0")/lib.sh" 2048

# What process PID has written.
written() { awk '$1 == "write_bytes:" { print $2 }' "/proc/$1/io"; }

prepare_target() {
	local tool=$1 options=() pid
	[[ $tool = *resumed* ]] || return 0
	[[ $tool != *:* ]] || read -ra options <<<"${tool#*:}"
	# shellcheck disable=SC2154 # of one()
	"$REFPOINT" --store "$work/$from/store" export vm@latest "$work/$to/out" \
		--bwlimit $((size / 2))M "${options[@]}" >"$work/log" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null && (($(written $pid) < size * 1048576 * 4 / 5)); do
		sleep 0.02
	done
	kill -TERM $pid
	! wait $pid || { echo 'bench: the export has ended too early' >&2; return 1; }
}

make_fs xfs xfs $((size * 2 + 512))
make_fs ext ext4 $((size + 512))
make_point xfs dense "${size}M"
workload 'resumed' xfs ext 'refpoint-resumed' 'refpoint:--digest never' \
	'refpoint-resumed:--digest never'
