# SPDX-License-Identifier: MIT
# stats.jq - medians and spreads of runs, and what two tools have in the same round
#
# Runs are an array of the lines of runs/*.jsonl. Ratios are of runs in the same round, so
# that what else the machine did in that minute is in both.

def median: sort | if length == 0 then null
	elif length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;

# Three figures that matter, and no more than the number has.
def figures: if . == null then "-"
	elif . == 0 then "0"
	else (2 - (fabs | log10 | floor)) as $n
		| if $n <= 0 then round else (. * pow(10; $n) | round) / pow(10; $n) end | tostring
	end;
def span: if length == 0 then "-" else "\(median | figures) [\(min | figures)-\(max | figures)]" end;

def runs($workload; $tool): map(select(.workload == $workload and .tool == $tool));

# What f is for a times what it is for b, a number a round.
def ratios($workload; $a; $b; f): runs($workload; $b) as $others
	| [runs($workload; $a)[] | . as $run
		| ($others[] | select(.round == $run.round and .x == $run.x)) as $other
		| select(($other | f) > 0) | ($run | f) / ($other | f)];

def is_ours: .tool | startswith("refpoint");
def disks: .disks // 1;
def mib: . / 1048576;

# How often, and of what.
def header: .[0] as $first
	| (group_by([.workload, .tool, .x]) | map(length) | max) as $rounds
	| "Linux \($first.kernel), \($first.cores) cores, \($first.date[0:10]);"
	+ " medians of \($rounds) interleaved runs, least-most in brackets."
	+ if $rounds < 7 then " **Too few to believe.**" else "" end;
