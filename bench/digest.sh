#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# digest.sh - what the digest costs where it can cost most: between two devices in memory
. "$(dirname "$0")/lib.sh"

size=$((size < 1024 ? size : 1024))
use_ram $((size * 2 + 1600))
make_fs from xfs $((size + 512))
make_fs to ext4 $((size + 512))
make_point from dense "${size}M"

in_turns one 'digest, in memory' from to -- refpoint 'refpoint:--digest never' cp
