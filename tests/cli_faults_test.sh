#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cli_faults_test.sh - what the program does with paths, stores and numbers that are not as
# they should be

. "$(dirname "$0")/lib.sh"

store=$DIR/store

# rp STATUS NAME ARGUMENT...: the program on the test's store.
rp() {
	local status=$1 name=$2
	shift 2
	check_status "$status" "$name" "$REFPOINT" --store "$store" "$@"
}

# says NAME TEXT: the last command but these did, on stderr.
says() {
	[[ ! -s $DIR/err ]] || cp "$DIR/err" "$DIR/said"
	check "$1" grep -qF -- "$2" "$DIR/said"
}

"$REFPOINT" init "$store" || exit 1

# ---------------------------------------------------------------- probe

mkdir "$DIR/good" "$DIR"/bad$'\xff' "$DIR/nothing"
check_status 6 'probe of a folder that is not UTF-8' "$REFPOINT" probe "$DIR"/bad$'\xff'
says 'it is named' "bad?': not UTF-8"
check_status 6 'and as the second one' "$REFPOINT" probe "$DIR/good" "$DIR"/bad$'\xff'
says 'it is named, too' "bad?': not UTF-8"

check 'probe without the store of the environment' \
	env REFPOINT_STORE="$DIR/nothing" "$REFPOINT" probe "$DIR/good"
says 'says that nothing is kept' \
	"refpoint: probe $DIR/good: warning: the result is not kept: open store"
rp 0 'probe with a store' probe "$DIR/good"
check 'keeps it there, and says nothing' test -d "$store/probes" -a ! -s "$DIR/err"
store=$DIR/nothing rp 10 'but the store that was asked for must be one' probe "$DIR/good"

# ---------------------------------------------------------------- relative paths

# gone NAME ARGUMENT...: the program in a folder that was removed.
gone() {
	local name=$1
	shift
	mkdir "$DIR/gone"
	# shellcheck disable=SC2016 # $1 and $@ are the inner shell's
	check_status 10 "$name" bash -c 'cd "$1" && rmdir "$1" && shift && exec "$@"' - \
		"$DIR/gone" "$REFPOINT" "$@"
	cp "$DIR/out" "$DIR/printed"
	check "$name: one line, with the reason" diff \
		<(echo 'find the current directory: No such file or directory (32777 System is not available)') \
		<(sed 's/.*: find/find/' "$DIR/err")
}

truncate -s 1M "$DIR/disk"
gone 'a relative store, without a current directory' --store here list
gone 'init there' init here
gone 'a relative disk' --store "$store" system add vm --disk vda=disk
gone 'a relative config' --store "$store" system add vm --disk "vda=$DIR/disk" --config here
check 'system add' "$REFPOINT" --store "$store" system add vm --disk "vda=$DIR/disk"
check 'create' "$REFPOINT" --store "$store" create vm --allow-copy
gone 'export to there' --store "$store" export vm@latest here
gone 'export of all to there' --store "$store" export --all . --async
check 'export' "$REFPOINT" --store "$store" export vm@latest "$DIR/good"
export=$(head -n 1 "$DIR/out")
gone 'verify of what was there' verify here
gone 'verify with a base there' verify "$export" --search "$DIR" --search here
gone 'restore to there' restore "$export" --disk vda here
gone 'import from there' --store "$store" import here
gone 'probe of it' probe .
gone 'and as the second one' probe "$DIR/good" .
gone 'as JSON' --json --store here list
check 'as JSON: an object' jq -se 'length == 1 and .[0].ReturnValue == 32777 and
	.[0].Error.Errno == 2' "$DIR/printed"
mkdir "$DIR/gone"
# shellcheck disable=SC2016
check 'an absolute one is as good as ever' \
	bash -c 'cd "$1" && rmdir "$1" && shift && exec "$@"' - "$DIR/gone" \
	"$REFPOINT" --store "$store" list

# ---------------------------------------------------------------- numbers

# With them: no such system. Without, it is wrong usage.
for number in 0 1 999999999 1000000000 4294967295; do
	rp 10 "--iops-limit $number" export nobody@latest "$DIR/good" --iops-limit $number
done
for number in 4294967296 99999999999 18446744073709551617 -1 1x 1.5; do
	rp 64 "not --iops-limit $number" export nobody@latest "$DIR/good" \
		--iops-limit=$number
done
# Also what is far more than the engine takes, which says how much it does.
for number in 257 1000000000 4294967295; do
	rp 6 "--queue-depth $number" export nobody@latest "$DIR/good" --queue-depth $number
done
for number in 0 4294967296 99999999999 -1 1x; do
	rp 64 "not --queue-depth $number" export nobody@latest "$DIR/good" \
		--queue-depth=$number
done
for number in 0 100 1x -1 4294967297; do
	rp 64 "not --priority $number" export nobody@latest "$DIR/good" --async \
		--priority=$number
done

done_testing
