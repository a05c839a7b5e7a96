#!/bin/bash
# SPDX-License-Identifier: MIT
#
# layers_test.sh - cli -> include/refpoint.h -> engine -> io -> kernel, one direction;
# the library is silent and leaves its process alone

. "$(dirname "$0")/lib.sh"

# only_includes ALLOWED FILE...: own headers are included with these names only.
only_includes() {
	local allowed=$1
	shift
	! grep -nE '^#[[:space:]]*include[[:space:]]*("|<refpoint)' "$@" |
		grep -vE "include[[:space:]]*($allowed)"
}

# never_calls 'NAME...' SOURCE...: the objects built from these use none of the names.
never_calls() {
	local names=" $1 " source objects=()
	shift
	for source; do
		objects+=("$O/${source%.c}.o")
	done
	nm -A --undefined-only --format=posix "${objects[@]}" >"$DIR/symbols" || return 2
	tr -d ':' <"$DIR/symbols" | awk -v names="${names//[$'\n\t']/ }" '
		{ sub(/^__(isoc99_)?/, "", $2); sub(/(64)?(_chk)?$/, "", $2) }
		index(names, " " $2 " ") { print; found = 1 }
		END { exit found || !NR }'
}

# never_says REGEX SOURCE...: there is no such text in them.
never_says() {
	! grep -nE "$@"
}

own='"[a-z0-9_]+\.h"'

check 'io includes io only' \
	only_includes "\"io/[a-z0-9_]+\.h\"|$own" io/*.[ch]
check 'engine includes the public header, engine and io' \
	only_includes "<refpoint\.h>|\"(engine|io)/[a-z0-9_]+\.h\"|$own" engine/*.[ch]
check 'cli includes the public header and cli' \
	only_includes "<refpoint\.h>|\"cli/[a-z0-9_]+\.h\"|$own" cli/*.[ch]
check 'the public header includes nothing of ours' only_includes '^$' include/refpoint.h

library=(engine/*.c io/*.c)
check 'the library never prints' never_calls \
	'printf vprintf puts putchar fputs fputc putc perror psignal stdout stderr
	syslog vsyslog err errx verr verrx warn warnx vwarn vwarnx error' "${library[@]}"
check 'the library never ends the process' never_calls \
	'exit _exit _Exit quick_exit abort atexit raise kill' "${library[@]}"
# (Its threads block signals, with pthread_sigmask, so that handlers run in the caller's.)
check 'the library leaves signals, umask, locale, folder, environment and limits alone' \
	never_calls 'signal sigaction sigprocmask umask setlocale chdir fchdir setenv putenv unsetenv clearenv setrlimit' "${library[@]}"
check 'texts are not of the allocator that a process has given to jansson' \
	never_calls 'json_dumps' "${library[@]}"
check 'no number has a comma where the locale of a process has one' \
	never_says '%[-+#0-9.*]*[aefgAEFG]|strto(d|f|ld)|atof' "${library[@]}"
check 'bytes are moved in io only' never_calls \
	'read write pread pwrite preadv pwritev preadv2 pwritev2 readv writev ioctl fallocate
	copy_file_range sendfile splice mmap fopen fdopen fread fwrite syscall
	io_submit io_uring_submit' engine/*.c
check 'H9: addresses of blocks are compared, nothing is read from them' \
	diff <(echo io/fiemap.c) <(grep -l 'fe_physical' io/*.c engine/*.c)

# These checks do find what they look for.
O=$DIR
printf '#include "engine/job.h"\n' >"$DIR/bad.h"
printf '#include <stdio.h>\nvoid f(void);\nvoid f(void)\n{\n\tperror("f");\n}\n' >"$DIR/bad.c"
check_status 1 'an include is found' only_includes "\"io/[a-z0-9_]+\.h\"|$own" "$DIR/bad.h"
check 'a bad library is built' "$CC" -c -o "$DIR/bad.o" "$DIR/bad.c"
check_status 1 'a call is found' never_calls 'puts perror' bad.c
check 'another is not' never_calls 'puts error' bad.c

done_testing
