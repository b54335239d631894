#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - runs the tests; the last line it prints is "N passed, N failed" (and "N skipped" when there are any).
#
#   tests/run.sh                        everything
#   tests/run.sh unit                   source checks and unit tests, under ASan and UBSan
#   tests/run.sh blackbox [PYTEST ...]  a real daemon with failure points; arguments go to pytest
#   tests/run.sh torture [PYTEST ...]   the torture in short, with fixed seeds (make torture is the long form)
#   tests/run.sh tdx [PYTEST ...]       TDX guests by a newer libvirt, with TDX made up (docs/testing-tdx.md)
#
# TEEPOD_BIN   the daemon to test, instead of one built here
# TEEPOD_JOBS  black-box tests at a time (default 2)
# TEEPOD_TEST_HYPERVISOR=libvirtd  guests run by a private libvirtd instead of in the daemon
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
passed=0 failed=0 skipped=0
logs=build/test-logs
mkdir -p "$logs"

build() { make -s --no-print-directory -j2 FAILPOINTS=1 OPT=-O1 "$@"; }

# Count TAP in file @1 of a program that ended with @2. Tests that were planned and never reported have failed: the
# program died. A bad end after good tests (a leak, a time-out at exit) is one more failure.
count_tap() {
	local ok bad skip planned
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$1" | awk '{ n += $1 } END { print n + 0 }')
	skip=$(grep -cE '^ok .*# SKIP' "$1" || true)
	ok=$(($(grep -cE '^ok ' "$1" || true) - skip))
	bad=$(grep -cE '^not ok ' "$1" || true)
	[[ $planned -le $((ok + bad + skip)) ]] || bad=$((planned - ok - skip))
	[[ $2 -eq 0 || $bad -gt 0 ]] || bad=1
	[[ $((ok + bad + skip)) -gt 0 ]] || bad=1
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	[[ $bad -eq 0 ]]
}

tap() {
	local name=$1 log=$logs/$1.tap rc=0
	shift
	"$@" >"$log" 2>&1 || rc=$?
	if count_tap "$log" "$rc"; then
		echo "ok    $name ($(grep -cE '^ok ' "$log"))"
	else
		echo "FAIL  $name (exit status $rc)"
		cat "$log"
	fi
}

# The allocator of GCC 12's ASan is not safe over fork(): once in a great while a child of libvirt's embedded driver hangs
# before its exec, and with it the test. Only such a time-out, only of that test, is worth a second run.
one_unit() {
	local rc=0 out=$logs/unit.out
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 300 "$1" >"$out" 2>&1 || rc=$?
	if [[ $rc -eq 124 && $1 == */hypervisor_test ]]; then
		rc=0
		CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 300 "$1" >"$out" 2>&1 || rc=$?
	fi
	cat "$out"
	return "$rc"
}

unit() {
	local source binaries=()
	tap arrows tests/arrows.sh
	for source in tests/unit/*_test.c; do
		[[ ! -e $source ]] || binaries+=("build/asan/unit/$(basename "$source" .c)")
	done
	[[ ${#binaries[@]} -gt 0 ]] || return 0
	if ! build O=build/asan SAN="$sanitizers" "${binaries[@]}"; then
		failed=$((failed + 1))
		echo "FAIL  the unit tests do not build"
		return 0
	fi
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
	for binary in "${binaries[@]}"; do
		tap "$(basename "$binary")" one_unit "$binary"
	done
}

# A subreaper above the daemon: where PID 1 is slow to collect the dead, libvirt waits for zombies.
blackbox() {
	local report=$logs/blackbox.xml counts rc=0
	if [[ -z ${TEEPOD_BIN:-} ]]; then
		if ! build O=build/test build/test/teepod build/test/teepod-next; then
			failed=$((failed + 1))
			echo "FAIL  the daemon does not build"
			return 0
		fi
		export TEEPOD_BIN=build/test/teepod
	fi
	[[ $# -gt 0 ]] || set -- tests/blackbox
	rm -f "$report"
	PYTHONDONTWRITEBYTECODE=1 timeout -k 10 1800 tini -s -- /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider \
		--durations=5 -n "${TEEPOD_JOBS:-2}" --junitxml="$report" "$@" || rc=$?
	counts=$(/usr/bin/python3 - "$report" <<-'PYTHON'
		import sys, xml.etree.ElementTree as tree
		try:
		    suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
		except (OSError, tree.ParseError):
		    suites = []
		n = {k: sum(int(s.get(k, 0)) for s in suites) for k in ("tests", "failures", "errors", "skipped")}
		bad = n["failures"] + n["errors"]
		print(max(0, n["tests"] - bad - n["skipped"]), bad, n["skipped"])
	PYTHON
	)
	read -r p f s <<<"$counts"
	# Ended badly without a failed test: nothing was collected, or pytest itself died.
	[[ $rc -eq 0 || $f -gt 0 ]] || f=1
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# What depends on the hypervisor once more, with guests under a libvirtd instead of inside the daemon.
other_hypervisor() {
	local file files=()
	for file in lifecycle ports adopt crash; do files+=("tests/blackbox/test_$file.py"); done
	TEEPOD_TEST_HYPERVISOR=libvirtd blackbox "${files[@]}"
}

# The one suite that needs more of its machine than packages: where there can be no root for it, it counts as one skipped.
tdx() {
	local rc=0
	tests/tdx/root.sh path >/dev/null || rc=$?
	if [[ $rc -eq 77 ]]; then
		skipped=$((skipped + 1))
		echo "skip  tdx: see above"
	elif [[ $rc -ne 0 ]]; then
		failed=$((failed + 1))
		echo "FAIL  no root for the TDX test bed (exit status $rc)"
	else
		[[ $# -gt 0 ]] || set -- tests/tdx
		blackbox "$@"
	fi
}

# Clients and chaos against one model of the node (tests/torture); what it found is printed with its seed.
torture() {
	[[ $# -gt 0 ]] || set -- tests/torture
	blackbox "$@"
}

case ${1:-all} in
all) unit && blackbox && other_hypervisor && torture && tdx ;;
unit) unit ;;
blackbox) shift && blackbox "$@" ;;
torture) shift && torture "$@" ;;
tdx) shift && tdx "$@" ;;
*) sed -n '5,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac

[[ $skipped -eq 0 ]] || tail=", $skipped skipped"
echo "$passed passed, $failed failed${tail:-}"
[[ $failed -eq 0 && $((passed + skipped)) -gt 0 ]]
