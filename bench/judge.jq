# SPDX-License-Identifier: MIT
# judge.jq - what is asked of refpoint, what was measured, and whether that is it
#
# A median decides; of resident memory, the most that any run took. "times" are speeds: how often
# refpoint is done while the other is done once.
include "stats";

def verdict($met): if $met then "yes" else "**no**" end;
def row($asked; found; decide): [found] as $found
	| "| \($asked) | " + if $found == [] then "- | 0 | not run |"
		else "\($found | span) | \($found | length) | \($found | decide) |" end;
def at_least($limit; $asked; found):
	row("\($asked): ≥ \($limit)"; found; verdict(median >= $limit));
def at_most($limit; $asked; found):
	row("\($asked): ≤ \($limit | figures)"; found; verdict(median <= $limit));

def times($workload; $other; $tool): ratios($workload; $other; $tool; .seconds)[];
def times($workload; $other): times($workload; $other; "refpoint");
def cpu($workload; $other; $tool): ratios($workload; $tool; $other; .cpu_per_gib)[];
def peers($workload): map(select(.workload == $workload and (is_ours | not)).tool) | unique[];

def full: ("ext4 to ext4", "ext4 to XFS", "XFS to ext4") as $path
	| ("refpoint", "refpoint:--digest never") as $tool
	| "\($path)\($tool | ltrimstr("refpoint") | sub(":"; ", "))" as $it
	| at_least(0.95; "\($it), times fio's reads and writes at once"; times($path; "fio-both"; $tool)),
	at_least(1.5; "\($it), times qemu-img at its best"; times($path; "qemu-img-best"; $tool)),
	at_least(1; "\($it), times cp"; times($path; "cp"; $tool)),
	at_most(1 / 6; "\($it), CPU per GiB over qemu-img's at its best"; cpu($path; "qemu-img-best"; $tool)),
	at_most(1 / 6; "\($it), CPU per GiB over cp's"; cpu($path; "cp"; $tool));

def btrfs: "XFS to Btrfs, NOCOW" as $nocow
	| at_least(1; "XFS to Btrfs, times cp"; times("XFS to Btrfs"; "cp")),
	at_least(2; "\($nocow), times cp"; times($nocow; "cp")),
	row("\($nocow), what fio reaches, times cp"; times($nocow; "cp"; "fio-both"); "the limit");

def sparse: ("sparse, ext4 to ext4", "sparse, XFS to ext4") as $it
	| (peers($it) as $peer | at_least(1.5; "\($it), times \($peer)"; times($it; $peer))),
	(("qemu-img", "qemu-img-best") as $peer
		| at_most(1 / 6; "\($it), CPU per GiB over \($peer)'s"; cpu($it; $peer; "refpoint")));

# The bare FICLONE of the same round, a fifth and 15 ms more.
def same: "same XFS" as $it
	| (map(if .tool == "ficlone" then .seconds = .seconds * 1.2 + 0.015 else . end)
		| at_most(1; "\($it), seconds over 1.2 × FICLONE + 15 ms";
			ratios($it; "refpoint"; "ficlone"; .seconds)[])),
	at_least(100; "\($it), times qemu-img"; times($it; "qemu-img"));

def nightly: "nightly, XFS to ext4" as $it
	| at_most(1.3; "1 % of 20 GiB, seconds over the changed bytes alone";
		ratios($it; "refpoint"; "refpoint-alone"; .seconds)[]),
	at_least(20; "1 % of 20 GiB, times qemu-img of all of it"; times($it; "qemu-img")),
	at_least(10; "1 % of 20 GiB, times rsync --inplace --no-whole-file"; times($it; "rsync"));

def many: ([.[] | select(.workload | startswith("many disks")).disks][0] // 1000) as $n
	| at_least(0.8; "\($n) disks of 4 MiB, same XFS, times cp -r --reflink";
		times("many disks, same XFS"; "cp-reflink")),
	at_least(1.5; "\($n) disks of 4 MiB, XFS to ext4, times cp -r and a sync";
		times("many disks, XFS to ext4"; "cp"));

def backends: ("ext4 to ext4", "ext4 to xfs", "xfs to ext4", "xfs to btrfs") as $path
	| (["aio", 0.9], ["sync", 0.85]) as [$backend, $least]
	| at_least($least; "\($path), \($backend), times uring"; times("backends, \($path)";
		"refpoint:--io uring"; "refpoint:--io \($backend)"));

def digests: at_least(0.9; "digest on, in memory, times digest off";
	times("digest, in memory"; "refpoint:--digest never"));

# The workload that takes most stands for all of them: readme.md has each.
def memory: map(select(is_ours))
	| row("peak RSS, MiB, of any run: ≤ 64"; .[].rss_kib / 1024; verdict(max <= 64)),
	row("page cache left, MiB a disk, of the worst workload: ≤ 16";
		group_by([.workload, .tool, .x]) | map(map(.cached / disks | mib))
			| max_by(median) // [] | .[]; verdict(median <= 16));

"Medians decide. \"Times\" is how often refpoint is done while the other is done once.", "",
"| asked | measured | n | met |", "| --- | --- | --- | --- |",
full, btrfs, sparse, same, nightly, many, backends, digests, memory
