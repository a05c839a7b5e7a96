#!/bin/bash
# SPDX-License-Identifier: MIT
#
# nightly_test.sh - the nightly examples of refpoint(1), as they are printed there: night
# after night on XFS, some of which fail, and what was exported is the disks of that night,
# until it is deleted

. "$(dirname "$0")/lib.sh"

why=$(no_loopfs xfs)
[[ -z $why ]] || skip_all "$why"
command -v jq >/dev/null || skip_all 'no jq'
fs=$DIR/xfs
mount_loopfs xfs 320 "$fs"
PATH=$(dirname "$REFPOINT"):$PATH
mkdir "$DIR/was"
nights=0

# example TEXT: the one of the page that has TEXT in it, for $exports.
example() {
	awk -v text="$1" '
		$1 == ".Sh" { inside = $2 == "EXAMPLES" }
		$1 == ".Ed" { if (index(lines, text)) printf "%s", lines; open = 0 }
		open { lines = lines $0 "\n" }
		inside && $1 == ".Bd" { open = 1; lines = "" }' man/refpoint.1 |
		sed -e 's/\\e$/\\/' -e "s|/exports|$exports|g" -e "s|/vm/|$fs/|g"
}

# begin MACHINE...: a new store with these, which have a disk each, and a place to export to.
begin() {
	local machine
	machines=("$@")
	exports=$DIR/exports$#
	export REFPOINT_STORE=$fs/store$#
	mkdir "$exports"
	refpoint init "$REFPOINT_STORE"
	for machine; do
		head -c 3000001 /dev/urandom >"$fs/$machine.img"
		truncate -s 5000001 "$fs/$machine.img"
		refpoint system add "$machine" --disk "vda=$fs/$machine.img"
	done
}

# latest MACHINE: the UUID of its newest point.
latest() {
	refpoint --json list "$1" | jq -r '.ReferencePoints[-1].InstanceID'
}

# night STATUS NAME TEXT: the machines work, then the example with TEXT in it is run. What
# was on the disk of a new point is kept under its UUID; $point is that of the first one.
# The machine $lost has no disk meanwhile.
night() {
	local status=$1 name=$2 machine disk
	nights=$((nights + 1))
	for machine in "${machines[@]}"; do
		disk=$fs/$machine.img
		head -c 70000 /dev/urandom |
			dd of="$disk" bs=4k seek=$((nights * 37)) conv=notrunc status=none
		cp "$disk" "$DIR/was/$machine"
	done
	[[ -z ${lost-} ]] || mv "$fs/$lost.img" "$fs/lost"
	check_status "$status" "$name" sh -c "$(example "$3")"
	[[ -z ${lost-} ]] || mv "$fs/lost" "$fs/$lost.img"
	for machine in "${machines[@]}"; do
		[[ ${lost-} = "$machine" ]] ||
			mv "$DIR/was/$machine" "$DIR/was/$(latest "$machine")"
	done
	point=$(latest "${machines[0]}")
}

# based MACHINE UUID ON: the export of that point has what has changed since ON, or all.
based() {
	jq -e --arg base "$3" '(.BaseReferencePointId // "") == $base' \
		"$exports/$1/$2/export.json"
}

# come_back MACHINE: each of its exports is sound, and is the disk of its night.
come_back() {
	local path
	for path in "$exports/$1"/*; do
		rm -f "$DIR/restored"
		refpoint verify --chain "$path" &&
			refpoint restore "$path" --disk vda "$DIR/restored" &&
			cmp "$DIR/restored" "$DIR/was/${path##*/}" || return 1
	done
}

points() {
	refpoint --json list "$1" | jq '.ReferencePoints | length'
}

count() {
	test "$(find "$exports/$1" -mindepth 1 -maxdepth 1 | wc -l)" = "$2"
}

# ------------------------------------------- one machine, and its points that go

one="destroy \"\$old\""
begin web1
check 'one machine: the example is there' grep -q 'refpoint export .* --base @exported' \
	<(example "$one")
night 0 'one machine: the first night' "$one"
first=$point
check 'it is exported in full' based web1 "$first" ''
mv "$exports" "$exports.away"
night 10 'one machine: a night without the place to export to' "$one"
check 'that is said' grep -q "$exports" "$DIR/err"
check 'what the next night needs stays' test "$(points web1)" = 2
mv "$exports.away" "$exports"
night 0 'one machine: the night after it' "$one"
second=$point
check 'what has changed since the night before that' based web1 "$second" "$first"
check 'only the new point stays' test "$(points web1) $(latest web1)" = "1 $second"
night 0 'one machine: a third night' "$one"
check 'what has changed in one night' based web1 "$point" "$second"
check 'only the newest point stays' test "$(points web1) $(latest web1)" = "1 $point"
check 'three nights were exported' count web1 3
check 'and come back' come_back web1

# ---------------------------------------------- one machine, and its exports that go

keep='the newest would go'

# tidy NAME COUNT: after one more night that example is run; so many exports are left then,
# and nothing else.
tidy() {
	night 0 "$1" "$one"
	check "$1: some are kept" sh -c "$(example "$keep")"
	check "$1: so many are left" count web1 "$2"
	check "$1: they come back" come_back web1
}

# nth N: the export of the N-th night of those that are left.
nth() {
	jq -rs "sort_by(.Sequence)[$1 - 1].ReferencePointId" "$exports"/web1/*/export.json
}

kind() {
	jq -e --arg kind "$2" '.Kind == $kind' "$exports/web1/$1/export.json"
}

check 'seven are kept: the example is there' grep -q 'rm -rf' <(example "$keep")
for n in 4 5 6 7; do
	tidy "night $n" "$n"
done
check 'as long as there are seven none is merged' kind "$(nth 2)" differential
check 'and the first one stays' test "$(nth 1)" = "$first"
kept=$(nth 2)
newest=$point
tidy 'night 8' 7
check 'the first one goes' test "$(nth 1)" = "$kept"
check 'the oldest is whole' kind "$kept" merged
check 'no other is' kind "$(nth 2)" differential
check 'what was exported is based on the night before' based web1 "$point" "$newest"
tidy 'night 9' 7

mv "$exports" "$exports.away"
night 10 'night 10, without the place to export to' "$one"
check_status 2 'nothing is there to be kept' sh -c "$(example "$keep")"
mv "$exports.away" "$exports"
tidy 'night 11' 7

night 0 'night 12' "$one"
kept=$(nth 1)
mv "$exports/web1/$kept" "$exports/$kept"
check_status 123 'the base of the oldest is not there' sh -c "$(example "$keep")"
check 'that is said' grep -q "$kept" "$DIR/err"
mv "$exports/$kept" "$exports/web1/$kept"
check 'nothing was deleted' count web1 8
check 'all come back' come_back web1

# As a merge that was killed leaves it.
mkdir "$exports/web1/.$kept.merging"
tidy 'night 13, with what a merge has left' 7
check 'two have gone' test ! -e "$exports/web1/$kept"

# As an rm that was killed leaves it.
mkdir "$exports/web1/.$kept.old"

# With a clock that was wrong for one night, the newest.
night 0 'the clock goes wrong' "$one"
sed -i 's/"CreationTime": "20[0-9]*/"CreationTime": "2001/' "$exports/web1/$point/export.json"
check 'it was wrong' grep -q '"CreationTime": "2001' "$exports/web1/$point/export.json"
wrong=$point
tidy 'the night after it' 7
check 'that of the wrong clock stays' test -e "$exports/web1/$wrong/export.json"
check 'nothing is hidden there' test -z "$(find "$exports/web1" -name '.*.old')"

# As if it had been killed after that.
check 'night 14: the merge' refpoint merge "$exports/web1/$(nth 2)"
tidy 'night 14, when it was merged before' 7
for n in 15 16; do
	night 0 "night $n, when nobody looks" "$one"
done
check 'nothing goes by itself' count web1 9
tidy 'night 17' 7
check 'the oldest is whole' kind "$(nth 1)" merged
check 'the newest is of one night' kind "$(nth 7)" differential

# The store is lost, and the next night comes before anybody has imported anything.
export REFPOINT_STORE=$fs/another
old=$(nth 7)
refpoint init "$REFPOINT_STORE"
refpoint system add web1 --disk "vda=$fs/web1.img"
night 0 'the first night of a new store' "$one"
check 'it is exported in full' based web1 "$point" ''
check 'its number is lower' test "$(nth 1)" = "$point"
check_status 5 'the newest would go' sh -c "$(example "$keep")"
check 'that is said' grep -q 'the newest would go' "$DIR/err"
check 'nothing was deleted' count web1 8
check 'an export of the old one is imported' refpoint import "$exports/web1/$old"
check_status 5 'the newest would go, still' sh -c "$(example "$keep")"
tidy 'the night after it' 7
check 'it is the newest' test "$(nth 7)" = "$point"

# --------------------------------------------------------------- the worst night

worst='max_by'
check 'the worst night: the example is there' grep -q 'refpoint import' <(example "$worst")
newest=$point
rm "$fs/web1.img"
check_status 0 'the worst night' sh -c "$(example "$worst")"
check 'the disk is back' cmp "$fs/web1.img" "$DIR/was/$newest"
check 'all come back' come_back web1
export REFPOINT_STORE=$fs/points
night 0 'the night after it' "$one"
check 'what has changed since the one that was restored' based web1 "$point" "$newest"
check 'some are kept' sh -c "$(example "$keep")"
check 'it is the newest of seven' test "$(nth 7)" = "$point"
check 'they come back' come_back web1

# --------------------------------------------------------------- all machines

all='system list'
begin web1 db1
check 'all machines: the example is there' grep -q 'refpoint export --all .* --base @exported' \
	<(example "$all")
night 0 'all machines: the first night' "$all"
first=$point
db1=$(latest db1)
lost=db1 night 8 'all machines: a night without the disk of one' "$all"
check 'that is said' grep -q "db1: .*$fs/db1.img" "$DIR/err"
second=$point
check 'the other is exported' based web1 "$second" "$first"
check 'nothing new of the one' count db1 1
night 0 'all machines: the night after it' "$all"
check 'what has changed in one night' based web1 "$point" "$second"
check 'and, of the one, in two' based db1 "$(latest db1)" "$db1"
check 'only the newest point stays' test "$(points web1) $(points db1)" = '1 1'
mv "$exports/db1" "$exports/db1.away"
: >"$exports/db1"
night 10 'all machines: a night when one cannot be exported' "$all"
check 'that is said' grep -q "$exports/db1/.*Not a directory" "$DIR/err"
rm "$exports/db1"
mv "$exports/db1.away" "$exports/db1"
check 'what the next night of that one needs stays' test "$(points web1) $(points db1)" = '1 2'
night 0 'all machines: one more' "$all"
check 'only the newest point stays again' test "$(points web1) $(points db1)" = '1 1'
check 'all nights were exported' count web1 5
check 'and those there were of the one' count db1 3
check 'they come back' come_back web1
check 'they come back of the one, too' come_back db1

done_testing
