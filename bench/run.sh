#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh - all workloads, or those named, then the report; called by "make bench", as root
#
#	make bench [QUICK=1] [W='cross many']
#
# QUICK=1 ends in five minutes and is good for one thing: to see that it all works.
set -euo pipefail

: "${O:?}" "${REFPOINT:?}"
cd "$(dirname "$0")"
all=(same cross btrfs sparse images fragmented change many backend digest memory hog growth nightly)
((EUID == 0)) || { echo "bench: needs root: it mounts, and drops the page cache" >&2; exit 1; }
for tool in qemu-img nbdcopy rsync fio gnuplot mkfs.xfs mkfs.btrfs jq; do
	command -v "$tool" >/dev/null || { echo "bench: $tool is missing; see make deps" >&2; exit 1; }
done

read -ra chosen <<<"${W:-${all[*]}}"
[[ -n ${W-} ]] || rm -rf "$O/bench/runs"
for name in "${chosen[@]}"; do
	[[ " ${all[*]} " = *" $name "* ]] || { echo "bench: no workload $name; there are: ${all[*]}" >&2; exit 1; }
done
for name in "${chosen[@]}"; do
	"./$name.sh"
done
./report.sh
