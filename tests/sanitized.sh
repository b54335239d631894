#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sanitized.sh - black-box tests against a daemon with sanitizers; any report of theirs is a failure.
#
#   tests/sanitized.sh asan [PYTEST ...]   build/asan/teepod: addresses, undefined behaviour, leaks at a graceful end
#   tests/sanitized.sh tsan [PYTEST ...]   build/tsan/teepod: data races
#
# Reports go to build/KIND/reports, one file per process. Tests end such a daemon by SIGTERM (TEEPOD_GRACEFUL): killed it
# could not say what it leaked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kind=${1:?asan or tsan}
shift
reports=$PWD/build/$kind/reports
rm -rf "$reports"
mkdir -p "$reports"
export TEEPOD_BIN=build/$kind/teepod TEEPOD_GRACEFUL=1
# The allocators of these runtimes are not safe over fork(): now and then a child of libvirt's embedded driver would hang
# before its exec. With a libvirtd it is another process that forks.
export TEEPOD_TEST_HYPERVISOR=libvirtd

# Addresses that are laid out too randomly (vm.mmap_rnd_bits above 28) overlap the shadow memory of older runtimes.
plain=()
if setarch -R true 2>/dev/null; then plain=(setarch -R); fi

case $kind in
asan)
	export ASAN_OPTIONS=detect_leaks=1:log_path=$reports/asan
	export UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan
	;;
tsan)
	export TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp:log_path=$reports/tsan:second_deadlock_stack=1
	;;
esac

rc=0
"${plain[@]}" tests/run.sh blackbox "$@" || rc=$?
if compgen -G "$reports/*" >/dev/null; then
	cat "$reports"/*
	echo "$kind: $(grep -chE '^(SUMMARY|.*runtime error)' "$reports"/* | awk '{ n += $1 } END { print n + 0 }') reports in $reports" >&2
	exit 1
fi
exit "$rc"
