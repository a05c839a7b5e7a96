#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh - all workloads, or those named, then the report; called by "make bench", as root
#
#	make bench [QUICK=1] [W='cross many']
#
# QUICK=1 is to end in five minutes and is good for one thing: to see that it all works. What
# is reported is of this run alone. A workload that fails does not keep the others from it.
set -euo pipefail

: "${O:?}" "${REFPOINT:?}"
QUICK=${QUICK:-0}
cd "$(dirname "$0")"
# What is asked for comes first: a run may have to end early.
all=(same cross btrfs sparse change nightly many backend digest images fragmented resume memory hog growth)
((EUID == 0)) || { echo "bench: needs root: it mounts, and drops the page cache" >&2; exit 1; }
for tool in qemu-img nbdcopy rsync fio gnuplot mkfs.xfs mkfs.btrfs jq; do
	command -v "$tool" >/dev/null || { echo "bench: $tool is missing; see make deps" >&2; exit 1; }
done

read -ra chosen <<<"${W:-${all[*]}}"
for name in "${chosen[@]}"; do
	[[ " ${all[*]} " = *" $name "* ]] || { echo "bench: no workload $name; there are: ${all[*]}" >&2; exit 1; }
done

say() { printf 'bench: %s\n' "$*" >&2; }

failed=()
rm -rf "$O/bench/runs"
for name in "${chosen[@]}"; do
	begin=$SECONDS
	"./$name.sh" || { (($? != 130)) || exit 130; failed+=("$name"); }
	say "$name took $((SECONDS - begin)) s"
done
./report.sh
say "all of it took $((SECONDS / 60)) min $((SECONDS % 60)) s"
((!QUICK || SECONDS <= 300)) || say 'QUICK=1 is to end in 5 minutes, and did not'
((!${#failed[@]})) || { say "failed: ${failed[*]}"; exit 1; }
