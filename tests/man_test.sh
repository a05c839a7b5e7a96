#!/bin/bash
# SPDX-License-Identifier: MIT
#
# man_test.sh - the manual pages are well-formed, and say neither more nor less than the
# program and the header have

. "$(dirname "$0")/lib.sh"

# section PAGE MACRO TITLE: the lines under ".Sh TITLE" or ".Ss TITLE".
section() {
	awk -v macro="$2" -v title="$3" '
		$1 == ".Sh" || $1 == macro { inside = 0 }
		inside
		$1 == macro && substr($0, 5) == title { inside = 1 }' "man/$1"
}

# ------------------------------------------------------------------- the pages

for page in man/*.[1-8]; do
	if command -v groff >/dev/null; then
		check "$page: groff" groff -mdoc -ww -Tutf8 "$page"
		cp "$DIR/err" "$DIR/warnings"
		check "$page: groff has nothing to say" diff /dev/null "$DIR/warnings"
	else
		skip "$page: groff" 'no groff'
	fi
	if command -v mandoc >/dev/null; then
		check "$page: mandoc" mandoc -T lint -W warning "$page"
	else
		skip "$page: mandoc" 'no mandoc'
	fi
done

# ---------------------------------------------------------- refpoint.1 and --help

# help_options PART COMMAND...: the options in that part of its help.
help_options() {
	local part=$1
	shift
	"$REFPOINT" "$@" --help | sed -n "/^$part:/,/^\$/p" |
		sed -nE 's/^  (-[a-z], |    )(--[a-z-]+) .*/\2/p' | sort
}

# The options that have an entry of their own: .It Fl h , Fl -help
manual_options() {
	section refpoint.1 .Ss "$1" | grep '^\.It Fl' | grep -oE 'Fl -[a-z-]+' |
		sed 's/^Fl -/--/' | sort
}

mapfile -t commands < <("$REFPOINT" --help |
	sed -nE '/^Commands:/,/^$/s/^  ([a-z]+( [a-z]+)?)  .*/\1/p')
check 'the commands, in the order of the help' \
	diff <(printf '%s\n' "${commands[@]}") \
	<(section refpoint.1 .Sh COMMANDS | sed -n 's/^\.Ss //p')
check 'options of every command' diff <(help_options 'Options of every command') \
	<(manual_options 'Options of every command')
for command in "${commands[@]}"; do
	# shellcheck disable=SC2086 # "system add" is two words
	check "options of $command" diff <(help_options Options $command) \
		<(manual_options "$command")
	check "usage of $command" \
		grep -q "^\.D1 Nm Cm $command" <(section refpoint.1 .Ss "$command")
done
# What the comparisons rest on: both sides do find something.
check 'commands are found' grep -qx 'system add' <(printf '%s\n' "${commands[@]}")
check 'options in help are found' grep -qx -- --settings <(help_options Options export)
check 'options in the manual are found' grep -qx -- --settings <(manual_options export)
check 'common options are found' grep -qx -- --json \
	<(manual_options 'Options of every command')

# values: NAME VALUE of every return value in the header.
values() {
	sed -nE '/^enum rp_return/,/^}/s/^\t(RP_[A-Z_]+) = ([0-9]+),.*/\1 \2/p' include/refpoint.h
}

# An error's exit status is its value less 32767.
statuses() {
	local value
	while read -r _ value; do
		[[ $value -lt 32768 ]] || echo "$((value - 32767)) $value"
	done < <(values)
}

check 'exit statuses' diff <(statuses) <(section refpoint.1 .Sh 'EXIT STATUS' |
	awk '/^\.It/ { status = $2 } match($0, /\(327[0-9]+\)/) {
		print status, substr($0, RSTART + 1, RLENGTH - 2) }')

# ------------------------------------------------------ librefpoint.3 and the header

declared() {
	grep -vE '^[[:space:]]*(/?\*|//)' include/refpoint.h | grep -oE '\brp_[a-z_]+\(' |
		tr -d '(' | sort -u
}

named_in() {
	section librefpoint.3 .Sh "$1" | sed -nE 's/^\.F[no] (rp_[a-z_]+).*/\1/p' | sort -u
}

check 'functions in the synopsis' diff <(declared) <(named_in SYNOPSIS)
check 'functions in the text' \
	diff <(declared) <(sort -u <(named_in DESCRIPTION) <(named_in 'RETURN VALUES'))
check 'functions are found' grep -qx rp_export_reference_point <(declared)
# What may stand in the "Options" of ExportSettingData.
setting_options() {
	sed -n '/struct member options\[\]/,/};/p' engine/settings_json.c |
		grep -oE '"[A-Za-z]+"' | tr -d '"' | sort
}

check 'options of settings in the header' diff <(setting_options) \
	<(sed -n '/"Options": {/,/}}/p' include/refpoint.h | grep -oE '"[A-Za-z]+":' |
		tr -d '":' | grep -vx Options | sort)
check 'options of settings in the text' diff <(setting_options) \
	<(section librefpoint.3 .Sh DESCRIPTION | sed -nE 's/^\.It ([A-Z].*)/\1/p' |
		grep -oE '[A-Za-z]+' | sort)
check 'options of settings are found' grep -qx MaxPressure <(setting_options)

# example_taken NAME: with the ExportSettingData from stdin an export lacks nothing but its
# reference point; whose pressure there is to look at is up to the machine.
example_taken() {
	sed -E 's/"(MaxPressure|PressureOf)": [^,]*,//' >"$DIR/settings"
	check_status 10 "$1" "$REFPOINT" --store "$DIR/store" export nobody@latest "$DIR" \
		--settings "@$DIR/settings"
	check "$1 are found" grep -q ClusterSize "$DIR/settings"
}

check 'a store' "$REFPOINT" init "$DIR/store"
example_taken 'the settings in the header' \
	< <(sed -n '/{"BaseReferencePoint"/,/}}/s/^ \*//p' include/refpoint.h)
example_taken 'the settings in the text' \
	< <(section librefpoint.3 .Sh DESCRIPTION | sed -n '/^{"DisksToExport"/,/}}/p')

check 'return values' diff <(values) <(section librefpoint.3 .Sh 'RETURN VALUES' |
	sed -nE 's/^\.It Dv (RP_[A-Z_]+) Ta ([0-9]+) Ta .*/\1 \2/p')
check 'return values are found' grep -qx 'RP_OUT_OF_MEMORY 32778' <(values)

section librefpoint.3 .Sh EXAMPLES | sed -n '/^\.Bd/,/^\.Ed/{/^\./d;s/\\e/\\/g;p}' >"$DIR/example.c"
check 'the example compiles' \
	"$CC" -Wall -Wextra -Werror -Iinclude -c -o "$DIR/example.o" "$DIR/example.c"
check 'the example has a main' grep -q 'T main$' <(nm "$DIR/example.o")

done_testing
