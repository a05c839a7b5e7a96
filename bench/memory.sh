#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# memory.sh - full export with more and less memory for buffers
. "$(dirname "$0")/lib.sh"

make_fs xfs xfs $((size + 512))
make_fs ext ext4 $((size * 2 + 512))
make_point ext dense "${size}M"
in_turns one 'memory limit, ext4 to XFS' ext xfs -- refpoint 'refpoint:--memory 32M' \
	'refpoint:--memory 8M' 'refpoint:--memory 2M'
