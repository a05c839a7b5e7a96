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
says 'it is named' bad$'\xff'"': not UTF-8"
check_status 6 'and as the second one' "$REFPOINT" probe "$DIR/good" "$DIR"/bad$'\xff'
says 'it is named, too' bad$'\xff'"': not UTF-8"

check 'probe without the store of the environment' \
	env REFPOINT_STORE="$DIR/nothing" "$REFPOINT" probe "$DIR/good"
says 'says that nothing is kept' \
	"refpoint: probe $DIR/good: warning: the result is not kept: open store"
rp 0 'probe with a store' probe "$DIR/good"
check 'keeps it there, and says nothing' test -d "$store/probes" -a ! -s "$DIR/err"
store=$DIR/nothing rp 10 'but the store that was asked for must be one' probe "$DIR/good"

# ---------------------------------------------------------------- numbers

# With them: no such system. Without, it is wrong usage.
for number in 0 1 999999999 1000000000 4294967295; do
	rp 10 "--iops-limit $number" export nobody@latest "$DIR/good" --iops-limit $number
done
for number in 4294967296 99999999999 18446744073709551617 -1 1x 1.5; do
	rp 64 "not --iops-limit $number" export nobody@latest "$DIR/good" \
		--iops-limit=$number
done

done_testing
