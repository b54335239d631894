#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh - run clang-format, both compilers, clang-tidy and cppcheck on the sources, and check the units, the user and the
# exposure of the service. Exits with 0 only if no check reports anything.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

mapfile -t sources < <(find base db images vmm api daemon -name '*.c' -not -path 'images/demo/*' | sort)
mapfile -t formatted < <(find base db images vmm api daemon tests -name '*.[ch]' | sort)
failed=0
jobs=$(nproc)
out=build/lint
mkdir -p "$out"

# One argument per line, the format of clang-tidy -p and of the compilers' @file: a define may contain quotes, a path spaces.
packages=$(pkg-config --cflags libuv openssl jansson sqlite3 libvirt libvirt-qemu libxml-2.0 inih libarchive libsystemd yaml-0.1)
# shellcheck disable=SC2086 # $packages is a list of words
printf '%s\n' -std=gnu17 -O1 "-I$PWD" -D_GNU_SOURCE -DTEEPOD_FAILPOINTS '-DTEEPOD_VERSION="lint"' -I/usr/share/include/llhttp \
	-DLLHTTP_STRICT_MODE=1 -Wall -Wextra -Wshadow -Wconversion $packages >"$out/compile_flags.txt"
# In an @file a backslash and a quote need a backslash.
sed 's/[\\" ]/\\&/g' "$out/compile_flags.txt" >"$out/flags"

heading() { printf '== %s\n' "$*"; }

# each N COMMAND...: run COMMAND with N source files at a time, on all cores. Its output is shown only if it fails.
each() {
	local n=$1 log
	log=$out/$2.log
	shift
	if ! printf '%s\n' "${sources[@]}" | xargs -P "$jobs" -n "$n" "$@" >"$log" 2>&1; then
		cat "$log"
		failed=1
	fi
}

heading "clang-format ($(clang-format --version | grep -o '[0-9.]*' | head -1))"
clang-format --dry-run -Werror "${formatted[@]}" || failed=1

heading "clang warnings"
each 8 clang -fsyntax-only -Werror "@$out/flags"

heading "gcc warnings"
each 1 gcc -fsyntax-only -Werror "@$out/flags"

# .clang-tidy makes every finding an error, so the exit status covers findings as well as failures to run.
heading "clang-tidy"
each 4 clang-tidy --quiet -p "$out"

# resourceLeak: cppcheck does not know __attribute__((cleanup)). unknownMacro: queue macros of <sys/queue.h>.
# varFuncNullUB: NULL is a pointer in glibc, and both compilers check the end of such lists (__attribute__((sentinel))).
heading "cppcheck"
cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr -j "$jobs" -I. -D_GNU_SOURCE \
	--suppress=unknownMacro --suppress=missingIncludeSystem --suppress=resourceLeak --suppress=varFuncNullUB "${sources[@]}" || failed=1

# The threshold is ten times the exposure. Offline: systemd need not run.
heading "exposure of the service"
if ! systemd-analyze security --offline=yes --no-pager --threshold=30 configs/teepod.service >"$out/security.log" 2>&1; then
	cat "$out/security.log"
	failed=1
fi

# Verify copies, so that /usr/bin/teepod need not be installed. "verify" exits with 0 after a warning, so check its output as
# well, ignoring what it says about other units of the machine.
verify_units() {
	local dir=$out/units log=$out/units.log
	rm -rf "$dir"
	mkdir -p "$dir/teepod.service.d"
	sed 's,^ExecStart=.*,ExecStart=/bin/true,' configs/teepod.service >"$dir/teepod.service"
	cp configs/teepod.socket "$dir"
	systemd-analyze verify --man=no "$dir"/teepod.{service,socket} >"$log" 2>&1 || return 1
	cp configs/teepod-embedded.conf "$dir/teepod.service.d/embedded.conf"
	systemd-analyze verify --man=no "$dir"/teepod.{service,socket} >>"$log" 2>&1 || return 1
	! grep -q teepod "$log"
}

# Create the user and /run/teepod below a temporary root that has only the groups of other packages. The folder is created only
# if we are root, because that requires chown.
make_user() {
	local root=$PWD/$out/root log=$out/user.log
	rm -rf "$root"
	mkdir -p "$root/etc"
	echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
	printf '%s:x:%d:\n' root 0 libvirt 120 libvirt-qemu 121 kvm 122 >"$root/etc/group"
	systemd-sysusers --root="$root" "$PWD/configs/teepod.sysusers" >"$log" 2>&1 || return 1
	[[ $(grep -cE '^(libvirt|libvirt-qemu|kvm):.*:teepod$' "$root/etc/group") -eq 3 ]] || return 1
	[[ $EUID -eq 0 ]] || return 0
	systemd-tmpfiles --root="$root" --create "$PWD/configs/teepod.tmpfiles" >>"$log" 2>&1 || return 1
	[[ $(stat -c %u:%a "$root/run/teepod") == "$(awk -F: '$1 == "teepod" { print $3 }' "$root/etc/passwd"):755" ]]
}

heading "units, user and folder of the service"
verify_units || { cat "$out/units.log"; failed=1; }
make_user || { cat "$out/user.log"; failed=1; }

heading "arrows, circles, headers and licence lines"
tests/arrows.sh || failed=1

if [[ $failed -ne 0 ]]; then
	echo "lint: FAILED" >&2
	exit 1
fi
echo "lint: clean"
