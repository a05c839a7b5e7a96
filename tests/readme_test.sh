#!/bin/bash
# SPDX-License-Identifier: MIT
#
# readme_test.sh - README is true: every file is in its table and the other way round, its
# commands work as written, its C programs build and export a disk

. "$(dirname "$0")/lib.sh"

# Files of the folders, and what the table says, as FOLDER/FILE.
sources() {
	find include io engine cli man bench tests -type f | sort
}

# shellcheck disable=SC2016
listed() {
	awk -F ' [|] ' '/^[|] [a-z]+ [|] `/ {
		n = split($2, files, "`")
		for (i = 2; i <= n; i += 2) print substr($1, 3) "/" files[i]
	}' README.md | sort
}

# program N: the N-th C program, what stands between ```c and ```.
# shellcheck disable=SC2016
program() {
	awk -v want="$1" '/^```c$/ { n++; in_it = 1; next } /^```$/ { in_it = 0 }
		in_it && n == want' README.md
}

build() { # N NAME
	program "$1" >"$DIR/$2.c"
	"$CC" -Wall -Wextra -Werror ${SAN:+"-fsanitize=$SAN"} -Iinclude -o "$DIR/$2" \
		"$DIR/$2.c" -L"$O" -Wl,-rpath,"$O" -lrefpoint
}

check 'every file is in the table' diff -u <(sources) <(listed)
check 'the C program builds' build 1 export
check 'it is short' test "$(program 1 | grep -c .)" -le 25
check 'the one with a job builds' build 2 follow
check 'it is short too' test "$(program 2 | grep -c .)" -le 33

# The walk from the shell, with its paths below $DIR; a copy where there is no reflink.
mkdir "$DIR/vm" "$DIR/backup" "$DIR/backup2"
head -c 3000001 /dev/urandom >"$DIR/vm/web1.raw"
truncate -s 5000001 "$DIR/vm/web1.raw"
echo '<domain/>' >"$DIR/vm/web1.xml"
export REFPOINT_STORE=$DIR/vm/store
# shellcheck disable=SC2016
walk() {
	sed -n '/^## From the shell$/,/^## From C$/s/^    \( *\(job=\$(\)*refpoint .*\)/\1/p' README.md |
		sed -e 's/ *#.*//' -e 's/create web1/& --allow-copy/' \
			-e "s|/srv/vm|$DIR/vm|g; s|/etc/libvirt/qemu|$DIR/vm|g" \
			-e "s|/backup|$DIR/backup|g; s|/<uuid>|/*|g" \
			-e 's|\([^ ]*\)/<kept>|$(ls -td \1/* \| head -n 1)|' \
			-e 's|\([^ ]*\)/<older>|$(ls -td \1/* \| tail -n +2)|' -e "s#^\( *\(job=\$(\)*\)refpoint#\1\"$REFPOINT\"#"
}
check 'the walk has all of it' test "$(walk | wc -l)" -eq 14
check 'the walk works' bash -euc "$(walk)"
check 'what is kept needs no other' "$REFPOINT" verify "$DIR"/backup/web1/*
check 'what is restored is the disk' cmp "$DIR/vm/web1.raw" "$DIR/vm/web1-restored.raw"

"$REFPOINT" create web1 --allow-copy >/dev/null
mkdir "$DIR/from-c"
check 'the C program exports' "$DIR/export" "$REFPOINT_STORE" web1@latest "$DIR/from-c"
check 'the same bytes' cmp "$DIR/vm/web1.raw" "$DIR"/from-c/web1/*/vda.raw
mkdir "$DIR/followed"
check 'the one with a job exports' "$DIR/follow" "$REFPOINT_STORE" web1@latest "$DIR/followed"
check 'the same bytes again' cmp "$DIR/vm/web1.raw" "$DIR"/followed/web1/*/vda.raw
check_status 1 'it ends when the job has failed' "$DIR/follow" "$REFPOINT_STORE" web1@latest \
	"$DIR/followed"
check 'and says why' grep -q 'exists already (32775 Invalid state for this operation)' "$DIR/err"
check_status 1 'it says when it cannot' "$DIR/export" "$REFPOINT_STORE" web2@latest "$DIR/from-c"
check 'and why' grep -q 'system web2: no such system (32777 System is not available)' "$DIR/err"

done_testing
