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
# Everything is one pytest session for the black box, the torture and TDX (tests/conftest.py decides which test runs next), and
# beside it the unit tests: most tests of the session wait, so the build and the unit tests take the time of the CPUs.
#
# TEEPOD_BIN   the daemon to test, instead of one built here
# TEEPOD_JOBS  tests of the session at a time (default: three for each CPU, at least 4 and at most 8)
# TEEPOD_TEST_HYPERVISOR=libvirtd  guests run by a private libvirtd instead of in the daemon
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
passed=0 failed=0 skipped=0
logs=build/test-logs
mkdir -p "$logs"

build() { make -s --no-print-directory -j2 FAILPOINTS=1 OPT=-O1 "$@"; }

count() {
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# ------------------------------------------------------------------ unit tests

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
	count "$ok" "$bad" "$skip"
	[[ $bad -eq 0 ]]
}

# Run program @1; its output and its exit status go to files named after it.
# The allocator of GCC 12's ASan is not safe over fork(): once in a great while a child of libvirt's embedded driver hangs
# before its exec, and with it the test. Only such a time-out, only of that test, is worth a second run.
run_program() {
	local name rc=0
	name=$(basename "$1" .sh)
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 300 "$1" >"$logs/$name.tap" 2>&1 || rc=$?
	if [[ $rc -eq 124 && $name == hypervisor_test ]]; then
		rc=0
		CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 300 "$1" >"$logs/$name.tap" 2>&1 || rc=$?
	fi
	echo "$rc" >"$logs/$name.status"
}

report_program() {
	local name rc
	name=$(basename "$1" .sh)
	rc=$(cat "$logs/$name.status" 2>/dev/null || echo 1)
	if count_tap "$logs/$name.tap" "$rc"; then
		echo "ok    $name ($(grep -cE '^ok ' "$logs/$name.tap"))"
	else
		echo "FAIL  $name (exit status $rc)"
		cat "$logs/$name.tap"
	fi
}

# Source checks and unit tests, two at a time, the longest first.
unit() {
	local source programs=() binaries=(build/asan/unit/durable_test)
	for source in tests/unit/*_test.c; do
		[[ $source == */durable_test.c ]] || binaries+=("build/asan/unit/$(basename "$source" .c)")
	done
	programs=("${binaries[@]}" tests/arrows.sh tests/page_names.sh)
	if ! build O=build/asan SAN="$sanitizers" "${binaries[@]}" build/asan/obj/daemon/main.o; then
		count 0 1 0
		echo "FAIL  the unit tests do not build"
		return 0
	fi
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 TEEPOD_OBJECTS=build/asan/obj logs
	export -f run_program
	printf '%s\0' "${programs[@]}" | xargs -0 -n 1 -P 2 bash -c 'run_program "$0"'
	for program in "${programs[@]}"; do
		report_program "$program"
	done
}

# ------------------------------------------------------------------ the pytest session

jobs() {
	local n=$((3 * $(nproc)))
	echo $((n < 4 ? 4 : n > 8 ? 8 : n))
}

build_daemon() {
	if [[ -z ${TEEPOD_BIN:-} ]]; then
		if ! build O=build/test build/test/teepod build/test/teepod-next build-benches; then
			count 0 1 0
			echo "FAIL  the daemon, or the programs of the benchmark, do not build"
			return 1
		fi
		export TEEPOD_BIN=build/test/teepod
	fi
}

# A subreaper above the daemon: where PID 1 is slow to collect the dead, libvirt waits for zombies.
session() {
	local report=$logs/session.xml counts rc=0
	build_daemon || return 0
	rm -f "$report"
	PYTHONDONTWRITEBYTECODE=1 timeout -k 10 1800 tini -s -- /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider \
		--durations=10 -n "${TEEPOD_JOBS:-$(jobs)}" --junitxml="$report" "$@" || rc=$?
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
	count "$p" "$f" "$s"
}

# Arguments that follow the name of a suite replace its folder.
suite() {
	local folder=tests/$1
	shift
	[[ $# -gt 0 ]] || set -- "$folder"
	session "$@"
}

# ------------------------------------------------------------------ everything

# The unit tests run in the background; a function in the background cannot count here, so it writes down its counts.
all() {
	local unit
	build_daemon || return 0
	rm -f "$logs/unit.counts"
	(unit && echo "$passed $failed $skipped" >"$logs/unit.counts") >"$logs/unit.log" 2>&1 &
	unit=$!
	session tests/blackbox tests/torture tests/tdx
	wait "$unit" || true
	cat "$logs/unit.log"
	read -r p f s <"$logs/unit.counts" || { p=0 f=1 s=0 && echo "FAIL  the unit tests did not end"; }
	count "$p" "$f" "$s"
}

case ${1:-all} in
all) all ;;
unit) unit ;;
blackbox | torture | tdx) suite "$@" ;;
*) sed -n '5,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac

echo "$SECONDS s in all"
[[ $skipped -eq 0 ]] || tail=", $skipped skipped"
echo "$passed passed, $failed failed${tail:-}"
[[ $failed -eq 0 && $((passed + skipped)) -gt 0 ]]
