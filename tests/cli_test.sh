#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cli_test.sh - what the program prints and how it exits: wrong usage, help, JSON, errors,
# the progress bar, signals, and the whole way from a disk to its restored copy

TEST_TIMEOUT=1200
. "$(dirname "$0")/lib.sh"

out=$DIR/stdout err=$DIR/stderr
store=$DIR/store
exports=$DIR/exports
no_point=web1@00000000-0000-0000-0000-000000000000

# try STATUS NAME COMMAND...: check_status, keeping what was printed in $out and $err.
try() {
	local good=0
	check_status "$@" || good=1
	cp "$DIR/out" "$out"
	cp "$DIR/err" "$err"
	return $good
}

# rp STATUS NAME ARGUMENT...: the program on the test's store.
rp() {
	local status=$1 name=$2
	shift 2
	try "$status" "$name" "$REFPOINT" --store "$store" "$@"
}

# said NAME LINE: all that was printed on stderr; printed NAME TEXT: ... on stdout.
said() {
	check "$1" diff -u <(printf '%s' "${2:+$2$'\n'}") "$err"
}

printed() {
	check "$1" diff -u <(printf '%s' "${2:+$2$'\n'}") "$out"
}

# json NAME FILTER: stdout is exactly one JSON object on one line, and the filter is true.
json() {
	check "$1" jq -s -e "length == 1 and (.[0] | $2)" "$out"
	check "$1: one line" test "$(wc -l <"$out")" = 1
}

# wrong NAME LINE ARGUMENT...: wrong usage, which touches nothing.
wrong() {
	local name=$1 line=$2
	shift 2
	rp 64 "$name" "$@"
	said "$name: says so" "$line"
	printed "$name: nothing on stdout" ''
}

as_text() {
	sed 's/\r/\\r/g' "$1"
}

# ---------------------------------------------------------------- wrong usage

wrong 'no command' "refpoint: no command given. See 'refpoint --help'."
wrong 'no command of a group' \
	"refpoint: system: no command given. See 'refpoint system --help'." system
wrong 'unknown command' \
	"refpoint: 'exprot' is not a refpoint command; the most similar one is 'export'. See 'refpoint --help'." exprot
wrong 'beginning of a command' \
	"refpoint: 'dest' is not a refpoint command; the most similar one is 'destroy'. See 'refpoint --help'." dest web1@latest
wrong 'unknown command, nothing similar' \
	"refpoint: 'frobnicate' is not a refpoint command. See 'refpoint --help'." frobnicate
wrong 'unknown command of a group' \
	"refpoint: system: 'lits' is not a refpoint system command; the most similar one is 'list'. See 'refpoint system --help'." system lits
wrong 'empty command' "refpoint: '' is not a refpoint command. See 'refpoint --help'." ''
wrong 'unknown option' \
	"refpoint: export: unknown option '--digset' (did you mean '--digest'?). See 'refpoint export --help'." \
	export --digset always a@latest d
wrong 'unknown option with a value' \
	"refpoint: export: unknown option '--cline' (did you mean '--clone'?). See 'refpoint export --help'." \
	export --cline=never a@latest d
wrong 'unknown option, nothing similar' \
	"refpoint: list: unknown option '--colour'. See 'refpoint list --help'." list --colour
wrong 'unknown letter' "refpoint: unknown option '-v'. See 'refpoint --help'." -v
wrong 'ambiguous option' \
	"refpoint: export: option '--di' is ambiguous: it may be '--disk' or '--digest'. See 'refpoint export --help'." \
	export --di vda a@latest d
wrong 'option without its value' \
	"refpoint: create: option '--label' needs a value. See 'refpoint create --help'." \
	create web1 --label
wrong 'option with a value too many' \
	"refpoint: list: option '--json' takes no value. See 'refpoint list --help'." \
	list --json=yes
wrong 'not one of the words' \
	"refpoint: export: option '--io' takes auto|uring|aio|sync, not 'urign'. See 'refpoint export --help'." \
	export --io urign a@latest d
wrong 'part of one of the words' \
	"refpoint: export: option '--clone' takes auto|never|always, not 'auto|never'. See 'refpoint export --help'." \
	export --clone 'auto|never' a@latest d
wrong 'unknown format' \
	"refpoint: export: option '--format' takes raw|qcow2|vhdx, not 'floppy'. See 'refpoint export --help'." \
	export --format floppy a@latest d
for seconds in -1 0 0.0 1e3 ' 1' 1.2.3 . '' nan 4294967296 5s; do
	wrong "timeout '$seconds'" \
		"refpoint: export: option '--timeout' takes seconds, above 0, not '$seconds'. See 'refpoint export --help'." \
		export --timeout "$seconds" a@latest d
done
wrong 'operand missing' \
	"refpoint: destroy: an operand is missing: NAME@POINT. See 'refpoint destroy --help'." \
	destroy
wrong 'operand too many' \
	"refpoint: destroy: unexpected operand 'b@latest'. See 'refpoint destroy --help'." \
	destroy a@latest b@latest
wrong 'export without a directory' \
	"refpoint: export: a reference point and a directory are needed. See 'refpoint export --help'." \
	export a@latest
wrong 'export of all and one' \
	"refpoint: export: '--all' takes a directory and no reference point. See 'refpoint export --help'." \
	export --all a@latest d
for size in '' 0 -1 5X 1KK nan 1e3 0x10 K; do
	wrong "memory '$size'" \
		"refpoint: export: option '--memory' takes a size such as 64M, not '$size'. See 'refpoint export --help'." \
		export --memory "$size" a@latest d
done
wrong 'queue depth' \
	"refpoint: export: option '--queue-depth' takes a number above 0, not '0'. See 'refpoint export --help'." \
	export --queue-depth 0 a@latest d
wrong 'requests a second' \
	"refpoint: export: option '--iops-limit' takes a number, not '-1'. See 'refpoint export --help'." \
	export --iops-limit -1 a@latest d
for value in 0 100 5: 5:cgroup x 5x; do
	wrong "max pressure '$value'" \
		"refpoint: export: option '--max-pressure' takes 1 to 99, and :/PATH of a cgroup if wanted, not '$value'. See 'refpoint export --help'." \
		export --max-pressure "$value" a@latest d
done
for option in '--disk=vda' '--io=auto' '--clone=auto' '--digest=auto' '--timeout=5' \
	'--block-size=1M' '--queue-depth=4' '--memory=16M' '--iops-limit=9' '--max-pressure=9' \
	'--base=@latest~1' '--merge' '--strict' '--format=raw' '--cluster-size=64K' '--bwlimit=1M' \
	'--ionice=low' '--priority=9' '--restart'; do
	wrong "settings and $option" \
		"refpoint: export: '--settings' and '${option%=*}' exclude each other. See 'refpoint export --help'." \
		export --settings '{}' "$option" a@latest d
done
wrong 'system without a disk' \
	"refpoint: system add: option '--disk' is missing. See 'refpoint system add --help'." \
	system add web1
wrong 'disk without a path' \
	"refpoint: system add: option '--disk' takes ID=PATH, not 'vda'. See 'refpoint system add --help'." \
	system add web1 --disk vda
wrong 'restore without a disk' \
	"refpoint: restore: option '--disk' must be given once. See 'refpoint restore --help'." \
	restore e o
wrong 'control characters cannot break the line' \
	"refpoint: 'a\\x0ab\\x1b[1m' is not a refpoint command. See 'refpoint --help'." \
	$'a\nb\e[1m'
wrong 'nor can those beyond ASCII command the terminal' \
	"refpoint: 'ä\\xc2\\x9b1m' is not a refpoint command. See 'refpoint --help'." \
	$'ä\xc2\x9b1m'
wrong 'nor can those that are no UTF-8' \
	"refpoint: '€😀\\x9b1m\\xc3(\\xe0\\x82\\x9b\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xff\\xe2\\x82' is not a refpoint command. See 'refpoint --help'." \
	$'€😀\x9b1m\xc3(\xe0\x82\x9b\xed\xa0\x80\xf4\x90\x80\x80\xff\xe2\x82'
wrong 'only operands behind --' \
	"refpoint: list: unexpected operand '--json'. See 'refpoint list --help'." \
	list -- web1 --json

for arguments in '--json exprot' 'exprot --json' 'export --bogus a --json' \
	'system --json' 'create --json' 'export --bogus --js a'; do
	# shellcheck disable=SC2086 # several words
	rp 64 "wrong usage as JSON: $arguments" $arguments
	json "wrong usage as JSON: $arguments: object" \
		'.ReturnValue == 32773 and .Error.Code == 32773 and .Error.Step == "usage" and
		(.Error.Message | length > 0)'
	check "wrong usage as JSON: $arguments: line" grep -q "^refpoint: .*See 'refpoint" "$err"
done

# ------------------------------------------------------------ help and version

for option in -h --help --hel; do
	rp 0 "help with $option" $option
	said "help with $option: nothing on stderr" ''
	check "help with $option: on stdout" grep -q '^Usage: refpoint' "$out"
done
mapfile -t commands < <("$REFPOINT" --help |
	sed -nE '/^Commands:/,/^$/s/^  ([a-z]+( [a-z]+)?)  .*/\1/p')
check 'help lists the commands' test ${#commands[@]} -ge 23
for command in "${commands[@]}"; do
	# shellcheck disable=SC2086 # "system add" is two words
	rp 0 "help of $command" $command --help
	check "help of $command: its usage" grep -q "^Usage: refpoint $command" "$out"
done
rp 0 'help of a group' system -h
check 'help of a group: its commands only' diff <(printf '%s\n' add change list show remove) \
	<(sed -n 's/^  system \([a-z]*\) .*/\1/p' "$out")
rp 0 'help wins over the rest' export --bogus --help
rp 0 'version' --version
printed 'version: is that of the tree' "refpoint $(cat VERSION)"
rp 0 'version behind a command' list --version
rp 0 'version, JSON' --json --version
json 'version, JSON: object' ". == {ReturnValue: 0, Version: \"$(cat VERSION)\"}"
rp 0 'help, JSON' --json --help
check 'help, JSON: is text' grep -q '^Usage: refpoint' "$out"

# ------------------------------------------------------------------ the whole way

yes 'some data' | head -c 3000001 >"$DIR/a.img"
truncate -s 20M "$DIR/a.img"
yes 'other data' | head -c 70000 >"$DIR/b.img"
echo '<domain/>' >"$DIR/web1.xml"
mkdir "$exports"

try 10 'no store' "$REFPOINT" --store "$store" list
said 'no store: says so' \
	"refpoint: list: open store $store: No such file or directory (--store or REFPOINT_STORE names one, 'refpoint init' makes one) (32777 System is not available)"

rp 0 'init' init "$store"
printed 'init: silent' ''
rp 8 'init twice' init "$store"
rp 8 'init twice, JSON' init "$store" --json
json 'init twice, JSON: object' ".ReturnValue == 32775 and .Error.Code == 32775 and
	.Error.Name == \"Invalid state for this operation\" and .Error.Operand == \"$store\" and
	.Error.Offset == null and .Error.Errno == 0 and
	(.Error | has(\"Step\") and has(\"System\") and has(\"Disk\") and has(\"Message\"))"
rp 0 'init, JSON' --json init "$DIR/other"
json 'init, JSON: object' ".ReturnValue == 0 and .Store == \"$DIR/other\""

rp 0 'empty list' list
printed 'empty list: header' 'REFERENCE POINT  CREATED  DISKS  SIZE  DATA  LABEL'
rp 0 'empty list, JSON' list --json
json 'empty list, JSON: object' '. == {ReturnValue: 0, ReferencePoints: []}'
rp 0 'no systems, JSON' system list --json
json 'no systems, JSON: object' '. == {ReturnValue: 0, Systems: []}'
rp 0 'export of all of nothing' export --all "$exports" --json
json 'export of all of nothing: object' '. == {ReturnValue: 0}'
said 'export of all of nothing: says so' \
	'refpoint: export: the store has no reference points'
rp 0 'export of all of nothing, async' export --all "$exports" --async --json
json 'export of all of nothing, async: object' '. == {ReturnValue: 0}'
for async in '' --async; do
	# shellcheck disable=SC2086 # no word, or one
	rp 6 "export of all of nothing, settings that are none $async" \
		export --all "$exports" --settings '{' --json $async
	json "export of all of nothing, settings that are none $async: object" '.ReturnValue == 32773'
	check "export of all of nothing, settings that are none $async: one line" \
		test "$(wc -l <"$err")" = 1
	# shellcheck disable=SC2086
	rp 10 "export of all of nothing to nowhere $async" export --all "$DIR/nowhere" $async
	said "export of all of nothing to nowhere $async: says so" \
		"refpoint: export: open export directory $DIR/nowhere: No such file or directory (32777 System is not available)"
	# shellcheck disable=SC2086
	rp 6 "export of all of nothing, in wrong blocks $async" \
		export --all "$exports" --block-size 3M $async
done

relative() {
	(cd "$DIR" && "$REFPOINT" --store store "$@")
}
try 0 'system add with relative paths' relative system add web1 --disk vda=a.img \
	--config ./web1.xml --disk=vdb=.//b.img
rp 0 'system show' system show web1 --json
json 'system show: object, absolute paths' ".ReturnValue == 0 and
	.VirtualSystemIdentifier == \"web1\" and .ReferencePoints == [] and
	.Disks == [{DiskId: \"vda\", Path: \"$DIR/a.img\"}, {DiskId: \"vdb\", Path: \"$DIR/b.img\"}] and
	.ConfigFiles == [\"$DIR/web1.xml\"]"
rp 8 'system add twice' system add web1 --disk "vda=$DIR/a.img"
wrong 'system change without a disk' \
	"refpoint: system change: option '--disk' is missing. See 'refpoint system change --help'." \
	system change web1
rp 10 'system change of no system' system change web9 --disk "vda=$DIR/a.img"
rp 0 'system change' system change web1 --disk "vdx=$DIR/b.img" --json
json 'system change: object' '. == {ReturnValue: 0}'
rp 0 'system change: shown' system show web1 --json
json 'system change: all of it' \
	".Disks == [{DiskId: \"vdx\", Path: \"$DIR/b.img\"}] and .ConfigFiles == []"
try 0 'system change back, with relative paths' relative system change web1 \
	--disk vda=a.img --disk vdb=b.img --config web1.xml
rp 6 'bad name' system add 'a b' --disk "vda=$DIR/a.img"
rp 10 'disk that is not there' system add web2 --disk "vda=$DIR/nowhere"
check 'disk that is not there: one line with the reason' \
	grep -qx "refpoint: system add web2: .*$DIR/nowhere.*No such file.* (32777 System is not available)" "$err"
rp 0 'empty config list' system add web2 --disk "vda=$DIR/b.img" --json
json 'empty config list: object' '. == {ReturnValue: 0}'
rp 0 'system list' system list
check 'system list: header and rows' diff <(printf '%s\n' SYSTEM web1 web2) \
	<(awk '{ print $1 }' "$out")

rp 0 'create' create web1 --label $'first\tone' --allow-copy
check 'create: prints NAME@UUID' grep -qxE 'web1@[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' "$out"
first=$(cat "$out")
rp 0 'create, JSON' create --json --allow-copy web1
json 'create, JSON: name and document' '.ReturnValue == 0 and
	.ReferencePoint == "web1@" + .InstanceID and .VirtualSystemIdentifier == "web1" and
	.VirtualDiskIdentifiers == ["vda", "vdb"] and .Label == null and .Sequence == 2'
second=$(jq -r .ReferencePoint "$out")
rp 10 'create of no system' create nobody
check 'create of no system: one line' \
	grep -qx 'refpoint: create nobody: .* (32777 System is not available)' "$err"

rp 0 'list' list web1
check 'list: oldest first' diff <(printf '%s\n' REFERENCE "$first" "$second") \
	<(awk '{ print $1 }' "$out")
check 'list: a label stays on its line' grep -qF 'first\x09one' "$out"
# shellcheck disable=SC2016 # $0 is awk's
check 'list: columns are aligned' awk '
	{ at = index($0, /^REF/ ? "  CREATED" : "  20") }
	NR == 1 { want = at }
	at != want { exit 1 }' "$out"
rp 0 'list, JSON' --json list
json 'list, JSON: object' ".ReturnValue == 0 and
	[.ReferencePoints[] | \"web1@\" + .InstanceID] == [\"$first\", \"$second\"]"
rp 10 'list of no system' list nobody

for point in "$first" "${first:0:13}" "web1@latest~1"; do
	rp 0 "show $point" show "$point" --json
	json "show $point: the first" "\"web1@\" + .InstanceID == \"$first\" and .ReturnValue == 0"
done
for point in "$second" web1@latest web1@latest~0; do
	rp 0 "show $point" show "$point"
	check "show $point: the second" grep -qx "Reference point:  $second" "$out"
done
check 'show: sizes for people' grep -qE '^vda +20\.0M ' "$out"
for point in web1 web1@ @latest web1@12 web1@latest~ web1@latest~-1 web1@LATEST; do
	rp 6 "show $point" show "$point"
done
rp 10 'show beyond the oldest' show web1@latest~2

rp 0 'export' export web1@latest~1 "$exports"
one=$exports/web1/${first#*@}
check 'export: path first' test "$(head -n 1 "$out")" = "$one"
check 'export: a row for each disk' diff <(printf '%s\n' DISK vda vdb) \
	<(awk 'NR > 1 { print $1 }' "$out")
said 'export: no progress bar, no message' ''
rp 8 'export again' export "$first" "$exports"
rp 10 'export to nowhere' export "$first" "$DIR/nowhere"

rp 10 'several points: the first failure counts, the others are exported' \
	export "$first" $no_point "$second" web1@latest~9 "$exports" --json
check 'several points: one line for each' test "$(wc -l <"$out")" = 4
two=$exports/web1/${second#*@}
check 'several points: their values' jq -s -e "sort_by(.ReturnValue) |
	[.[].ReturnValue] == [0, 32775, 32777, 32777] and .[1].Error.Errno == 17 and
	.[1].Error.Operand == \"$first\" and .[0].ExportPath == \"$two\"" "$out"
check 'several points: a line for each failure' test "$(wc -l <"$err")" = 3
rp 8 'several points: all there already' export "$first" "$second" "$exports"
rp 10 'several jobs: one there already hides no other failure' \
	export "$first" $no_point "$exports" --async
rp 8 'several jobs: all there already' export "$first" "$second" "$exports" --async

mkdir "$DIR/all" "$DIR/relative" "$DIR/settings" "$DIR/part"
rp 0 'export of all' export --all "$DIR/all"
check 'export of all: the latest of each system' diff <(echo "$DIR/all/web1/${second#*@}/export.json") \
	<(echo "$DIR"/all/*/*/export.json)
try 0 'export with relative paths' relative export web1@latest relative --json
json 'export with relative paths: report' ".ReturnValue == 0 and
	.ExportPath == \"$DIR/relative/web1/${second#*@}\" and (.Job | length == 36) and
	(.Seconds | type == \"number\") and .Kind == \"full\" and .BaseReferencePointId == null and
	[.Disks[].DiskId] == [\"vda\", \"vdb\"] and .Disks[0].VirtualSize == 20971520"
rp 0 'export of one disk, options in any place' export --disk vdb "$second" --io=sync "$DIR/part" \
	--clone never --digest always --timeout 600 --format raw \
	--block-size 2M --queue-depth 4 --memory 0.5g
check 'export of one disk: only that' diff \
	<(printf '%s\n' config export.json vdb.digest vdb.raw) <(ls "$DIR/part/web1/${second#*@}")
mkdir "$DIR/images"
rp 0 'export as qcow2' export "$second" "$DIR/images" --format qcow2 --cluster-size 128K --json
json 'export as qcow2: report' '[.Disks[] | .Format, .ClusterSize] == ["qcow2", 131072, "qcow2", 131072]'
check 'export as qcow2: QEMU reads it' qemu-img compare -q -f raw -F qcow2 \
	"$two/vda.raw" "$DIR/images/web1/${second#*@}/vda.qcow2"
rp 0 'export as qcow2: verify' verify "$DIR/images/web1/${second#*@}"
rp 6 'export with clusters that qcow2 has not' export "$first" "$DIR/images" --format qcow2 \
	--cluster-size 4M
rp 6 'export with clusters of a raw disk' export "$first" "$DIR/images" --cluster-size 64K
rp 0 'export as vhdx, by settings' export "$first" "$DIR/images" \
	--settings '{"Options": {"Format": "vhdx", "ClusterSize": 2097152}}'
check 'export as vhdx: QEMU reads it' qemu-img compare -q -f raw -F vhdx \
	"$one/vda.raw" "$DIR/images/web1/${first#*@}/vda.vhdx"
rp 6 'export of a disk it has not' export "$second" --disk vdz "$DIR/settings"
rp 3 'export that must clone and cannot' export "$second" --clone always "$DIR/settings"
xml='<INSTANCE CLASSNAME="Msvm_VirtualSystemReferencePointExportSettingData"/>'
mkdir "$DIR/xml" "$DIR/no-library"
: >"$DIR/no-library/libxml2.so.2"
: >"$DIR/no-library/libxml2.so.16"
LD_LIBRARY_PATH=$DIR/no-library rp 3 'settings in XML, without libxml2' \
	export "$second" "$DIR/xml" --settings "$xml"
check 'settings in XML, without libxml2: says so' \
	grep -qE 'ExportSettingData: XML cannot be parsed: .*libxml2.* \(32770 ' "$err"
rp 0 'settings in XML' export "$second" "$DIR/xml" --settings "$xml"
rp 10 'settings: no such file' export "$second" "$DIR/settings" --settings @"$DIR/nowhere"
said 'settings: no such file: says so' \
	"refpoint: export: read settings $DIR/nowhere: No such file or directory (32777 System is not available)"
printf '{}\0' >"$DIR/nul"
rp 6 'settings: not a text' export "$second" "$DIR/settings" --settings @"$DIR/nul"
rp 6 'settings: syntax' export "$second" "$DIR/settings" --settings '{'
rp 9 'settings: type' export "$second" "$DIR/settings" --settings '{"DisksToExport": "vda"}'
rp 8 'settings: base that is none' export "$first" "$DIR/settings" --settings '{"BaseReferencePoint": "web1@latest"}'
echo '{"DisksToExport": ["vda"]}' >"$DIR/settings.json"
rp 0 'settings from a file' export web1@latest "$DIR/settings" --settings @"$DIR/settings.json" --json
json 'settings from a file: path' \
	".ReturnValue == 0 and .ExportPath == \"$DIR/settings/web1/${second#*@}\" and [.Disks[].DiskId] == [\"vda\"]"
check 'settings from a file: obeyed' diff <(printf '%s\n' vda.digest vda.raw) \
	<(cd "$DIR/settings/web1/${second#*@}" && ls vd*)

rp 0 'verify' verify "$one"
check 'verify: a line for each disk' test "$(grep -cE '^vd[ab] +ok .* every byte' "$out")" = 2
try 0 'verify of a relative path, without a store' relative --store nowhere verify \
	"exports/web1/${first#*@}" --json
json 'verify of a relative path: report' '.ReturnValue == 0 and
	[.Disks[] | .Compared] == ["digest", "digest"] and .Disks[0].Chunks == 320'
rp 0 'export without a digest' export "$first" "$DIR/part" --digest never
rp 0 'verify without a digest' verify "$DIR/part/web1/${first#*@}"
check 'verify without a digest: says so' grep -qE '^vda +ok .* only the size' "$out"
rp 10 'verify of no export' verify "$exports"
cp -r "$one" "$DIR/bad"
printf x | dd of="$DIR/bad/vda.raw" bs=1 seek=1048580 conv=notrunc status=none
rp 1 'verify of a damaged export' verify "$DIR/bad" --json
json 'verify of a damaged export: which disk, and where' '.ReturnValue == 32768 and
	.Error.Disk == "vda" and .Error.Offset == 1048576 and .Error.System == "web1"'
check 'verify of a damaged export: one line' \
	grep -qx "refpoint: verify $DIR/bad: .*vda.*1048576.* (32768 Failed)" "$err"

try 0 'restore to a relative path' relative restore "exports/web1/${first#*@}" a.restored --disk vda
check 'restore: the same bytes' cmp "$DIR/a.img" "$DIR/a.restored"
rp 8 'restore onto an existing file' restore "$one" --disk vda "$DIR/a.restored"
rp 0 'restore onto it with force' restore "$two" --disk vdb "$DIR/a.restored" --force --io sync \
	--clone never --json
json 'restore: report' ".ReturnValue == 0 and .DiskId == \"vdb\" and
	.Output == \"$DIR/a.restored\" and .VirtualSize == 70000"
check 'restore onto it: the same bytes' cmp "$DIR/b.img" "$DIR/a.restored"
rp 6 'restore of a disk it has not' restore "$one" --disk vdz "$DIR/none"
rp 1 'restore of damaged data' restore "$DIR/bad" --disk vda "$DIR/none"
check_status 1 'restore of damaged data: leaves nothing' \
	grep -q none <(ls -A "$DIR")
rp 1 'salvage of damaged data' restore "$DIR/bad" --disk vda "$DIR/salvaged" --salvage
said 'salvage of damaged data: each loss, and all of them' \
	"refpoint: restore $DIR/bad: lost 65536 bytes at 1048576
refpoint: restore $DIR/bad: vda: 65536 bytes in 1 ranges are lost, zeros stand for them (32768 Failed)"
rp 1 'salvage of damaged data, JSON' restore "$DIR/bad" --disk vda "$DIR/salvaged" --salvage \
	--force --json
json 'salvage of damaged data, JSON: object' '.ReturnValue == 32768 and .DiskId == "vda" and
	.LostBytes == 65536 and .LostCount == 1 and .Lost == [{Offset: 1048576, Length: 65536}] and
	.Error.Code == 32768 and .Error.Step == "restore" and .Error.System == "web1" and .Error.Disk == "vda"'
said 'salvage of damaged data, JSON: one line' \
	"refpoint: restore $DIR/bad: vda: 65536 bytes in 1 ranges are lost, zeros stand for them (32768 Failed)"
rp 0 'salvage of what is whole, JSON' restore "$one" --disk vda "$DIR/salvaged" --salvage \
	--force --json
json 'salvage of what is whole, JSON: object' '.ReturnValue == 0 and .LostBytes == 0 and .Lost == []'
said 'salvage of what is whole, JSON: silently' ''

REFPOINT_STORE=$store try 0 'the store from the environment' "$REFPOINT" list web1
check 'the store from the environment: used' grep -q "$first" "$out"
REFPOINT_STORE=$store try 0 '--store counts more' "$REFPOINT" --store "$DIR/other" list
check_status 1 '--store counts more: used' grep -q "$first" "$out"

# ----------------------------------------------------- output that gets lost

# shellcheck disable=SC2016 # $@ is the inner shell's
lossy=(bash -c 'exec "$@" >/dev/full' - "$REFPOINT" --store "$store")
for arguments in list 'list --json' --help --version '--json --version' 'show web1@latest'; do
	# shellcheck disable=SC2086 # several words
	try 1 "full device: $arguments" "${lossy[@]}" $arguments
	check "full device: $arguments: says so" grep -qx \
		'refpoint: .*write standard output: No space left on device (32768 Failed)' "$err"
done
try 10 'full device: an earlier error counts' "${lossy[@]}" show web1@latest~9 --json
# shellcheck disable=SC2016
try 1 'closed stdout' bash -c 'exec "$@" >&-' - "$REFPOINT" --store "$store" list
said 'closed stdout: says so' \
	'refpoint: list: write standard output: Bad file descriptor (32768 Failed)'
no_reader() {
	local reader
	exec 5> >(:)
	reader=$!
	wait "$reader"
	"$@" >&5
}
try 1 'closed pipe' no_reader "$REFPOINT" --store "$store" list
said 'closed pipe: silently' ''
exec 5>&-
mkdir "$DIR/closed"
# shellcheck disable=SC2016
try 0 'all closed: files do not get the standard numbers' \
	bash -c 'exec "$@" <&- 2>&-' - "$REFPOINT" --store "$store" export "$first" "$DIR/closed"
check 'all closed: the data is intact' cmp "$DIR/a.img" "$DIR/closed/web1/${first#*@}/vda.raw"

# ------------------------------------------------------ progress and signals

if command -v script >/dev/null; then
	mkdir "$DIR/bar"
	try 0 'on a terminal' script -qec "'$REFPOINT' --store '$store' export $first web1@latest '$DIR/bar' >'$DIR/report'" "$DIR/typescript"
	check 'on a terminal: a bar with phase, percent, bytes and rate' grep -qE \
		'\\r\[1/2\] [a-z]+ +[0-9]+%.* [0-9.]+[KM]?/[0-9.]+[KM]? +[0-9.]+[KMG]?/s' \
		<(as_text "$DIR/typescript")
	check 'on a terminal: wiped at the end' grep -qE '\\r +\\r$' \
		<(as_text "$DIR/typescript" | sed '/^Script/d' | tr -d '\n')
	check 'on a terminal: not in the results' test "$(grep -c '^/' "$DIR/report")" = 2
	check_status 1 'on a terminal: no escape sequences' grep -q $'\e' "$DIR/typescript"
	mkdir "$DIR/bar2"
	try 0 'on a terminal, stderr elsewhere' script -qec "'$REFPOINT' --store '$store' export $first web1@latest '$DIR/bar2' 2>'$DIR/elsewhere'" "$DIR/typescript"
	check 'on a terminal, stderr elsewhere: no bar' test ! -s "$DIR/elsewhere"
else
	skip 'on a terminal' 'no script'
fi

yes 'a lot of data' | head -c 768M >"$DIR/big.img"
rp 0 'a big system' system add big --disk "vda=$DIR/big.img"
rp 0 'its point' create big --allow-copy
big=$(cat "$out")

# interrupted SIGNAL EXPORT...: sends it as soon as the partial folder is there.
interrupted() {
	local signal=$1 child folder=$DIR/stop/big/.${big#*@}.partial
	shift
	# a shell starts background jobs with SIGINT ignored
	env --default-signal=INT "$@" &
	child=$!
	until [[ -d $folder ]]; do
		kill -0 "$child" || return
	done
	kill -s "$signal" "$child"
	wait "$child"
}
mkdir "$DIR/stop"
for signal in INT TERM; do
	try $((128 + $(kill -l $signal))) "SIG$signal" interrupted $signal \
		"$REFPOINT" --store "$store" --json export "$big" "$DIR/stop" --bwlimit 1K
	said "SIG$signal: one line" "refpoint: export $big: interrupted by SIG$signal (32768 Failed)"
	json "SIG$signal: one object" '.ReturnValue == 32768 and .Error.Errno == 125'
	check "SIG$signal: leaves nothing" test -z "$(find "$DIR/stop" -mindepth 2)"
	check "SIG$signal: no job is left" test -z "$(ls "$store/jobs/active")"
done

# Once something was moved it is kept.
progressed() {
	until [[ $(stat -c %b "$DIR/stop/big/.${big#*@}.partial/vda.raw" 2>/dev/null || echo 0) -gt 40000 ]]; do
		kill -0 "$1" || return
	done
	kill -INT "$1"
	wait "$1"
}
started() {
	env --default-signal=INT "$REFPOINT" --store "$store" export "$big" "$DIR/stop" --clone never \
		--bwlimit 40M &
	progressed $!
}
try 130 'SIGINT half-way' started
said 'SIGINT half-way: says how to go on' \
	"refpoint: export $big: interrupted by SIGINT; what was exported is kept: the same export again goes on (32768 Failed)"
rp 0 'the same export again' export "$big" "$DIR/stop" --json
json 'the same export again: goes on' '.Disks[0].ResumedBytes > 0'
check 'the same export again: is good' "$REFPOINT" verify "$DIR/stop/big/${big#*@}"
rm -r "$DIR/stop/big"

# Of a set the smallest comes first; each has its result, and all of them one line.
set_interrupted() {
	local child
	env --default-signal=INT "$REFPOINT" --store "$store" --json export "$@" "$big" \
		web1@latest "$DIR/stop" --bwlimit 1K &
	child=$!
	until compgen -G "$DIR/stop/web1/.*.partial" >"$DIR/partial"; do
		kill -0 "$child" || return
	done
	kill -INT "$child"
	wait "$child"
}
try 130 'a set, SIGINT' set_interrupted
check 'a set, SIGINT: one line' test "$(wc -l <"$err")" = 1
check 'a set, SIGINT: each has its result' jq -es '[.[].Error.System] == ["web1", "big"] and
	.[1].Error.Step == "waiting" and all(.ReturnValue == 32768)' "$out"
check 'a set, SIGINT: leaves nothing' test -z "$(find "$DIR/stop" -mindepth 2)"
try 130 'a set of which one has failed, SIGINT' set_interrupted $no_point
check 'a set of which one has failed, SIGINT: a line for that, too' \
	diff <(printf '%s\n' 32777 32768) <(sed 's/.*(\([0-9]*\) .*/\1/' "$err")
check 'a set of which one has failed, SIGINT: each has its result' \
	jq -es '[.[].ReturnValue] == [32777, 32768, 32768]' "$out"

# Nothing is kept in a folder that is gone.
directory_removed() {
	local child
	"$REFPOINT" --store "$store" export "$big" "$DIR/stop" --clone never --bwlimit 40M &
	child=$!
	until [[ $(stat -c %b "$DIR/stop/big/.${big#*@}.partial/vda.raw" 2>/dev/null || echo 0) -gt 4000 ]]; do
		kill -0 "$child" || return
	done
	# a file may come while it is at it
	until rm -r "$DIR/stop" 2>/dev/null; do
		[[ -d $DIR/stop ]] || break
	done
	wait "$child"
}
try 10 'the directory is removed' directory_removed
check 'the directory is removed: nothing is said to be kept' grep -qv 'is kept' "$err"
check 'the directory is removed: one line' test "$(wc -l <"$err")" = 1
mkdir "$DIR/stop"

# A path that leads to nothing is no success.
directory_moved() {
	local child
	"$REFPOINT" --store "$store" export web1@latest "$DIR/stop" --clone never --bwlimit 512K --disk vda &
	child=$!
	until compgen -G "$DIR/stop/web1/.*.partial/vda.raw" >"$DIR/partial"; do
		kill -0 "$child" || return
	done
	mv "$DIR/stop" "$DIR/moved"
	wait "$child"
}
try 10 'the directory is moved' directory_moved
check 'the directory is moved: says so' grep -q "export directory $DIR/stop: moved or removed" "$err"
mkdir "$DIR/stop"

# While it waits for a device it cannot see the first signal; the second does not ask.
stubborn() {
	local child
	echo '#include <unistd.h>
		int fsync(int fd) { for (;;) pause(); }' |
		"${CC:-cc}" -shared -fPIC -o "$DIR/hung.so" -x c - || return
	env --default-signal=INT LD_PRELOAD="$DIR/hung.so" ASAN_OPTIONS=verify_asan_link_order=0 \
		"$REFPOINT" --store "$store" create big --allow-copy &
	child=$!
	# until it is no longer a shell, which catches SIGCHLD, and catches SIGINT and SIGTERM
	until grep -qE '^SigCgt:.0{12}4..[2367abef]$' "/proc/$child/status"; do
		kill -0 "$child" || return
	done
	kill -INT "$child"
	kill -INT "$child" # so soon it is the same wish, as that of timeout(1)
	sleep 3
	kill -0 "$child" || return
	kill -INT "$child"
	wait "$child"
}
try 130 'a second signal ends it at once' stubborn

# ------------------------------------------------------------------------- jobs

mkdir "$DIR/jobs" "$DIR/jobs/1" "$DIR/jobs/2"
wrong 'job limit: no rate' \
	"refpoint: job limit: a rate is a number of bytes, or one with K, M, G or T, not 'fast'. See 'refpoint job limit --help'." \
	job limit abcd fast
wrong 'priority: not from 1 to 99' \
	"refpoint: export: option '--priority' takes a number from 1 to 99, not '0'. See 'refpoint export --help'." \
	export web1@latest "$DIR/jobs/1" --async --priority 0
wrong 'merge: with nothing' \
	"refpoint: export: option '--merge' needs '--base'. See 'refpoint export --help'." \
	export web1@latest "$DIR/jobs/1" --merge
wrong 'priority: of what has no turn' \
	"refpoint: export: option '--priority' needs '--async'. See 'refpoint export --help'." \
	export web1@latest "$DIR/jobs/1" --priority 10
rp 10 'no such job' job show 11111111-1111-4111-8111-111111111111
rp 6 'no ID' job show x
rp 6 'async: wrong parameters are known at once' export web1@latest "$DIR/jobs/1" --async --disk vdz
rp 0 'async' export "$second" "$DIR/jobs/1" --async --clone never
job=$(cat "$out")
check 'async: prints the ID' grep -qxE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' "$out"
rp 0 'job wait' job wait "$job"
printed 'job wait: silent' ''
check 'async: has exported' test -f "$DIR/jobs/1/web1/${second#*@}/export.json"
rp 0 'job show' job show "${job%%-*}"
check 'job show: says so' grep -qE '^State: +Completed$' "$out"
rp 0 'job show, JSON' job show "$job" --json
json 'job show, JSON: object' ".ReturnValue == 0 and .InstanceID == \"$job\" and .JobState == 7 and
	.PercentComplete == 100 and (.ExportedDisks | length) == 2 and .ErrorCode == 0"
rp 0 'job list, JSON' job list --json
json 'job list, JSON: object' ".ReturnValue == 0 and .Jobs[-1].InstanceID == \"$job\""
rp 8 'job cancel too late' job cancel "$job" --json
json 'job cancel too late: object' '.ReturnValue == 32775'
rp 8 'async: what is there is known at once' export "$second" "$DIR/jobs/1" --async

mkdir "$DIR/jobs/relative"
try 0 'async with relative paths' relative export "$second" jobs/relative --async --clone never
rp 0 'async with relative paths: in the store that was named' job wait "$(cat "$out")"
check 'async with relative paths: has exported' \
	test -f "$DIR/jobs/relative/web1/${second#*@}/export.json"

rp 0 'async, JSON' export "$second" "$DIR/jobs/2" --async --clone never --bwlimit 64K --ionice idle --json
json 'async, JSON: object' '.ReturnValue == 4096 and (.Job | length) == 36'
job=$(jq -r .Job "$out")
pid() { "$REFPOINT" --store "$store" job show "$job" --json | jq .ProcessId; }
check 'ionice: idle, for one thread' grep -qx idle \
	<(for task in /proc/"$(pid)"/task/*; do ionice -p "${task##*/}"; done)
# Each user has 128 of them, root too.
holds_no_inotify() {
	local try
	for ((try = 0; try < 40; try++)); do
		[[ ! -d /proc/$(pid)/fd || $(readlink /proc/"$(pid)"/fd/*) = *inotify* ]] || return 0
		sleep 0.05
	done
	return 1
}
check 'async: holds no instance of inotify' holds_no_inotify
rp 0 'job suspend' job suspend "$job"
rp 0 'job suspended' job show "$job"
check 'job suspended: says so' grep -qE '^State: +Suspended$' "$out"
rp 0 'job resume' job resume "$job" --json
json 'job resume: object' ".ReturnValue == 4096 and .Job == \"$job\""
while "$REFPOINT" --store "$store" job show "$job" | grep -qE '^State: +Suspended$'; do :; done
rp 8 'job resume twice' job resume "$job"
kill -STOP "$(pid)" # it comes to nothing
"$REFPOINT" --store "$store" job suspend "$job" 2>"$DIR/overtaken" &
until grep -q '"Request":3' "$store/jobs/active/$job/requests"; do sleep 0.01; done
rp 0 'job resume before it is suspended' job resume "$job"
wait $!
check 'job suspend, taken back: exits' test $? = 8
check 'job suspend, taken back: says so' grep -q 'another request has overtaken' "$DIR/overtaken"
kill -CONT "$(pid)"
rp 5 'job wait in vain' job wait "$job" --timeout 0.5
rp 0 'job resume before it is suspended: it goes on' job show "$job"
check 'job resume before it is suspended: says so' grep -qE '^State: +Running$' "$out"
kill -KILL "$(pid)"
rp 1 'job wait of one that was killed' job wait "$job"
said 'job wait of one that was killed: one line' \
	"refpoint: job wait $job: interrupted: its process is gone (32768 Failed)"
rp 1 'job wait of one that was killed, JSON' job wait "$job" --json
json 'job wait of one that was killed, JSON: where it was' '.Error.System == "web1" and
	.Error.Step == "copying"'
try 0 'job resume of one that was killed, of a relative store' relative job resume "$job"
kill -TERM "$(pid)"
rp 1 'SIGTERM to a worker' job wait "$job"
rp 0 'SIGTERM to a worker: it was cancelled' job show "$job" --json
json 'SIGTERM to a worker: Terminated' '.JobState == 8 and .Resumable'
rp 0 'job limit of one that has ended' job resume "$job"
rp 0 'job limit' job limit "$job" 1G --json
json 'job limit: object' ".ReturnValue == 0 and .Job == \"$job\""
rp 0 'job wait, resumed' job wait "$job"
check 'resumed: has exported' "$REFPOINT" verify "$DIR/jobs/2/web1/${second#*@}"

# A job that is about to begin is told of, and no other one begins.
mkdir "$DIR/jobs/3"
start_interrupted() {
	local child
	exec 7<"$store/jobs/queue"
	flock 7
	"$REFPOINT" --store "$store" export "$first" "$second" "$DIR/jobs/3" --async 7<&- &
	child=$!
	until compgen -G "$store/jobs/active/*" >"$DIR/active"; do
		kill -0 "$child" || return
	done
	kill -TERM "$child"
	exec 7<&-
	wait "$child"
}
try 143 'async, SIGTERM' start_interrupted
check 'async, SIGTERM: prints the ID' grep -qxE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' "$out"
said 'async, SIGTERM: one line' "refpoint: export $second: interrupted by SIGTERM (32768 Failed)"
rp 0 'async, SIGTERM: the job goes on' job wait "$(cat "$out")"
check 'async, SIGTERM: has exported one' test "$(ls "$DIR/jobs/3/web1")" = "${first#*@}"

# What a script has locked is free when the script has ended, not when the job has.
echo '#include <errno.h>
	#include <linux/filter.h>
	#include <linux/seccomp.h>
	#include <stddef.h>
	#include <sys/prctl.h>
	#include <sys/syscall.h>
	#include <unistd.h>
	int main(int argc, char **argv) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
		if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			return 1;
		return execvp(argv[1], argv + 1);
	}' | "${CC:-cc}" -o "$DIR/filtered" -x c - || exit 1
locked() {
	flock 7 && "$@"
} 7>"$DIR/lock"
for how in env "$DIR/filtered"; do
	mkdir "$DIR/jobs/${how##*/}"
	try 0 "async, ${how##*/}" locked "$how" "$REFPOINT" --store "$store" export "$first" \
		"$DIR/jobs/${how##*/}" --async --clone never --bwlimit 64K
	check "async, ${how##*/}: holds nothing of the script's" flock -n "$DIR/lock" true
	rp 0 "async, ${how##*/}: runs meanwhile" job cancel "$(cat "$out")"
done
rm -r "$DIR/jobs"

# ------------------------------------------------- changes, release, import

wrong 'changes without a base' \
	"refpoint: changes: option '--base' must be given. See 'refpoint changes --help'." \
	changes web1@latest
wrong 'changes of two disks that were named' \
	"refpoint: changes: option '--disk' can be given once. See 'refpoint changes --help'." \
	changes web1@latest --base web1@latest~1 --disk vda --disk vdb
rp 0 'changes: none' changes "$second" --base "$first"
printed 'changes: none, none listed' ''
printf x | dd of="$DIR/a.img" bs=1 seek=1048580 conv=notrunc status=none
dd if=/dev/zero of="$DIR/a.img" bs=4096 seek=2 count=1 conv=notrunc status=none
printf x | dd of="$DIR/b.img" bs=1 seek=69999 conv=notrunc status=none
rp 0 'create, to compare' create web1 --allow-copy
third=$(cat "$out")
rp 0 'changes of two disks' changes "$third" --base "$second" --prove
printed 'changes of two disks: each by its name' \
	$'vda:\n8192 4096 zero\n1048576 4096 data\nvdb:\n69632 368 data'
rp 0 'changes of one disk' changes web1@latest --base web1@latest~1 --disk vdb
printed 'changes of one disk: nothing but ranges' '69632 368 data'
rp 0 'changes since a point of the same system' changes web1@latest --base @latest~1 --disk vdb
printed 'changes since a point of the same system: the same' '69632 368 data'
rp 6 'changes since no point' changes web1@latest --base @
mkdir "$DIR/nights"
rp 0 'export of all, each from its own base' export --all "$DIR/nights" --base @latest~1 --json
check 'export of all, each from its own base: what has changed' jq -s -e \
	'map(select(.VirtualSystemIdentifier == "web1") | .Kind) == ["differential"]' "$out"
rp 0 'changes, JSON' changes "$third" --base "$first" --json
json 'changes, JSON: object' ".ReturnValue == 0 and \"web1@\" + .BaseReferencePointId == \"$first\" and
	[.Disks[].DiskId] == [\"vda\", \"vdb\"] and .Disks[0].ChangedByteOffsets == [8192, 1048576] and
	.Disks[0].ChangedByteLengths == [4096, 4096] and .Disks[0].ChangedByteZero == [true, false] and
	([.Disks[] | .Source, .SourceReason] | all(length > 0))"
rp 8 'changes the wrong way round' changes "$first" --base "$third"
check 'changes the wrong way round: one line' \
	grep -qx "refpoint: changes $first: .* is newer (32775 Invalid state for this operation)" "$err"
rp 6 'changes of a disk it has not' changes "$third" --base "$first" --disk vdz
rp 0 'release' release "$first"
printed 'release: silent' ''
rp 8 'release twice' release "$first"
rp 0 'show of a released point' show "$first"
check 'show of a released point: says so' grep -qE '^Data: +released, can be a base$' "$out"
rp 8 'export of a released point' export "$first" "$DIR/settings"
rp 0 'changes since a released point' changes "$third" --base "$first" --disk vdb --json
json 'changes since a released point: by digest' '.Disks[0].Source == "digest" and
	.Disks[0].ChangedByteOffsets == [65536]'
rp 8 'import of a point that is there' import "$one"
rp 0 'destroy, to import' destroy "$first"
rp 0 'import without digests' import "$DIR/part/web1/${first#*@}"
said 'import without digests: it is no base' \
	"$(printf "refpoint: import $DIR/part/web1/${first#*@}: warning: disk %s cannot be a base: the export has no digests\n" vda vdb)"
rp 0 'show of an imported point' show "$first"
check 'show of an imported point: it is no base' \
	grep -qE '^Data: +released, cannot be a base$' "$out"
rp 0 'destroy, to import again' destroy "$first"
try 0 'import' relative import "exports/web1/${first#*@}"
printed 'import: prints NAME@UUID' "$first"
said 'import: silently' ''
rp 0 'imported: the oldest again' show web1@latest~2 --json
json 'imported: the same' "\"web1@\" + .InstanceID == \"$first\" and .HasAssociatedData == false"
rp 10 'import of no export' import "$exports"
# More than a pipe holds, of which nobody reads but the beginning.
truncate -s 64M "$DIR/sparse.img"
rp 0 'a disk of many pieces' system add many --disk vda="$DIR/sparse.img"
rp 0 'a disk of many pieces: before' create many --allow-copy
perl -e 'open F, "+<", $ARGV[0]; for (0 .. 8191) { seek F, $_ * 8192, 0; print F "x" }' \
	"$DIR/sparse.img"
rp 0 'a disk of many pieces: after' create many --allow-copy
rp 0 'changes of many pieces' changes many@latest --base many@latest~1
check 'changes of many pieces: all of them' test "$(wc -l <"$out")" = 8192
try 1 'changes that nobody reads' no_reader "$REFPOINT" --store "$store" \
	changes many@latest --base many@latest~1
said 'changes that nobody reads: silently' ''
exec 5>&-
try 1 'changes to a full device' "${lossy[@]}" changes many@latest --base many@latest~1
said 'changes to a full device: says so' \
	'refpoint: changes: write standard output: No space left on device (32768 Failed)'
try 1 'changes to a full device, JSON' "${lossy[@]}" changes many@latest --base many@latest~1 --json
said 'changes to a full device, JSON: says so' \
	'refpoint: changes: write standard output: No space left on device (32768 Failed)'
rp 0 'a disk of many pieces: gone' destroy many@latest
rp 0 'a disk of many pieces: all of it' destroy many@latest
rp 0 'destroy, as before' destroy "$third"

# -------------------------------------------------------------------- the end

rp 6 'destroy: syntax' destroy web1
rp 10 'destroy: no such point' destroy $no_point
rp 8 'system remove while it has points' system remove web1
check 'system remove while it has points: one line' test "$(wc -l <"$err")" = 1
rp 0 'destroy' destroy "$first"
printed 'destroy: silent' ''
rp 0 'destroy, JSON' destroy web1@latest --json
json 'destroy, JSON: object' '. == {ReturnValue: 0}'
rp 0 'system remove' system remove web1
rp 10 'system remove twice' system remove web1 --json
json 'system remove twice: object' '.ReturnValue == 32777 and .Error.Operand == "web1"'

done_testing
