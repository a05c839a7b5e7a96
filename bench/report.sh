#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# report.sh - from the runs to Markdown tables and plots in $O/bench, and what was asked
#
#	table.md      every tool in every workload
#	readme.md     for README: each workload in a row, growth, what was asked and measured
#	*.svg         throughput, and growth with size, extents and disks (in readme.md as text)
#
# Prints readme.md. "make bench-report" does this again for the runs there are.
set -euo pipefail
: "${O:?}"
cd "$(dirname "$0")"
runs=("$O"/bench/runs/*.jsonl)

# table NAME: what NAME.jq makes of all runs.
table() {
	cat "${runs[@]}" | jq -rs -L . -f "$1.jq"
}

# growth FILE XLABEL WORKLOAD...: seconds over x, both logarithmic, medians. Prints it as text.
growth() {
	local file=$1 label=$2 workload tool data series=()
	shift 2
	data=$(mktemp -d)
	for workload in "$@"; do
		for tool in $(jq -r --arg w "$workload" 'select(.workload == $w).tool' \
			"$O/bench/runs/growth.jsonl" | sort -u); do
			jq -rs --arg w "$workload" --arg t "$tool" '
				map(select(.workload == $w and .tool == $t)) | group_by(.x)[]
				| "\(.[0].x) \(map(.seconds) | sort | .[length / 2 | floor])"' \
				"$O/bench/runs/growth.jsonl" >"$data/$workload $tool"
			series+=("'$data/$workload $tool' using 1:2 with linespoints title '${workload#*, }: $tool'")
		done
	done
	gnuplot <<-END
		set terminal svg size 720,420 background '#ffffff'
		set output '$O/bench/$file'
		set logscale xy
		set format '%g'
		set key left top
		set grid
		set xlabel '$label'
		set ylabel 'seconds, whole command'
		plot $(IFS=,; echo "${series[*]}")
		set terminal dumb size 100,20 noenhanced
		set output '$data/text'
		set key outside right top
		unset grid
		set ylabel 's'
		replot
	END
	printf '\n```\n'
	tr -d '\f' <"$data/text" | sed 's/ *$//; /./!d'
	printf '```\n'
	rm -r "$data"
}

all_growth() {
	growth size.svg 'MiB of data' 'growth with size, XFS to ext4' 'growth with size, same XFS'
	growth extents.svg 'extents of 8 KiB' 'growth with extents, XFS to ext4' \
		'growth with extents, same XFS'
	growth disks.svg 'disks of 4 MiB' 'growth with disks, XFS to ext4' \
		'growth with disks, same XFS'
}

# Throughput of every tool in the workloads that move bytes.
rates() {
	local data
	data=$(mktemp)
	jq -rs 'map(select(.workload == "ext4 to ext4" or .workload == "ext4 to XFS"
			or .workload == "XFS to ext4"))
		| group_by(.tool)[] | (group_by(.workload) | map({key: .[0].workload,
			value: (map(.gib_per_s) | sort | .[length / 2 | floor])}) | from_entries) as $v
		| "\(.[0].tool) \($v["ext4 to ext4"] // 0) \($v["ext4 to XFS"] // 0) \($v["XFS to ext4"] // 0)"' \
		"$O"/bench/runs/cross.jsonl | sort -k 2 -g >"$data"
	gnuplot <<-END
		set terminal svg size 720,420 background '#ffffff'
		set output '$O/bench/rates.svg'
		set style data histograms
		set style fill solid
		set key left top
		set grid y
		set xtics rotate by -30
		set ylabel 'GiB/s'
		plot '$data' using 2:xtic(1) title 'ext4 to ext4', '' using 3 title 'ext4 to XFS', \
			'' using 4 title 'XFS to ext4'
	END
	rm "$data"
}

table table >"$O/bench/table.md"
{
	table workloads
	echo
	table growth
	[[ ! -s $O/bench/runs/growth.jsonl ]] || all_growth
	table judge
} | tee "$O/bench/readme.md"
if [[ -s $O/bench/runs/cross.jsonl ]]; then
	rates
fi
