# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# lib.sh - what shell tests begin with: TAP, a scratch folder, file systems, cleanup
#
#	TEST_TIMEOUT=1200			# seconds; 600 unless set here
#	. "$(dirname "$0")/lib.sh"
#	check 'adds a system' "$REFPOINT" system add vm --disk "vda=$DIR/disk"
#	check_status 10 'no such system' "$REFPOINT" show nobody@latest
#	check 'says why' grep -q 'nobody' "$DIR/err"
#	done_testing
#
# The script is run again from here under a time limit and, as root, in mount and
# process namespaces of its own: whatever it mounts or starts is gone with it. $DIR is
# a new folder that is removed at the end; $ROOT, the top of the tree, is where it runs.
# Standard output is TAP; what the last checked command printed is in $DIR/out and
# $DIR/err, for the next one to look at.

if [[ -z ${TEST_INSIDE-} ]]; then
	export TEST_INSIDE=1
	inside=(timeout --kill-after=30 $((${TEST_TIMEOUT:-600} * (${#SAN} ? 4 : 1))))
	namespaces=(unshare --mount --pid --fork --mount-proc --kill-child)
	if [[ $EUID = 0 ]] && "${namespaces[@]}" true 2>/dev/null; then
		inside+=("${namespaces[@]}")
	fi
	exec "${inside[@]}" bash "$0" "$@"
fi

set -u
ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT" || exit 1
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin O=${O:-$ROOT/build}
export REFPOINT=${REFPOINT:-$O/refpoint} CC=${CC:-cc}
unset REFPOINT_STORE
umask 022
test_count=0
test_failed=0
test_mounts=()

DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/refpoint-test.XXXXXX") || exit 1
trap 'exit 1' HUP INT TERM
trap cleanup EXIT
echo 'TAP version 13'

cleanup() {
	local i
	for ((i = ${#test_mounts[@]} - 1; i >= 0; i--)); do
		umount "${test_mounts[i]}" || echo "# ${test_mounts[i]} stays" >&2
	done
	[[ $EUID != 0 ]] || chattr -R -f -i "$DIR"
	rm -rf --one-file-system "$DIR"
}

# not_ok NAME | ok NAME [# SKIP WHY]
ok() {
	test_count=$((test_count + 1))
	echo "ok $test_count $*"
}

not_ok() {
	test_count=$((test_count + 1))
	test_failed=1
	echo "not ok $test_count $*"
	echo "# not ok: $*" >&2
}

# skip NAME WHY; skip_all WHY ends the script.
skip() {
	ok "$1 # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# check_status STATUS NAME COMMAND...: the command ends with this exit status.
check_status() {
	local want=$1 name=$2 got=0
	shift 2
	# Only then moved: the command may read what the last one printed.
	"$@" >"$DIR/out.new" 2>"$DIR/err.new" </dev/null || got=$?
	mv "$DIR/out.new" "$DIR/out"
	mv "$DIR/err.new" "$DIR/err"
	if [[ $got = "$want" ]]; then
		ok "$name"
		return 0
	fi
	not_ok "$name"
	{
		echo "exit status $got, not $want, of: $*"
		tail -n 20 "$DIR/out" "$DIR/err"
	} | sed 's/^/# /' >&2
	return 1
}

check() {
	check_status 0 "$@"
}

done_testing() {
	echo "1..$test_count"
	exit $test_failed
}

# Why a file system of this type cannot be mounted here; nothing if it can.
no_loopfs() {
	if [[ $EUID != 0 ]]; then
		echo 'not root'
	elif ! grep -qw "$1" /proc/filesystems && ! modprobe "$1" 2>/dev/null; then
		echo "the kernel has no $1"
	elif [[ $1 != tmpfs ]] && ! command -v "mkfs.$1" >/dev/null; then
		echo "no mkfs.$1"
	elif [[ $1 != tmpfs && ! -w /dev/loop-control ]]; then
		echo 'no loop devices'
	fi
}

# mount_loopfs TYPE MIB FOLDER [MKFS OPTION...]: a new file system on FOLDER.
mount_loopfs() {
	local type=$1 mib=$2 folder=$3
	shift 3
	mkdir -p "$folder"
	if [[ $type = tmpfs ]]; then
		mount -t tmpfs -o "size=${mib}m" none "$folder" || exit 1
	else
		truncate -s "${mib}M" "$folder.img"
		"mkfs.$type" "$@" "$folder.img" >"$DIR/mkfs" 2>&1 ||
			{ cat "$DIR/mkfs" >&2; exit 1; }
		mount -o loop "$folder.img" "$folder" || exit 1
	fi
	test_mounts+=("$folder")
}
