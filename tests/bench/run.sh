#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - build the measuring programs, measure build/teepod, print the table and write build/bench/result.json.
#
#   tests/bench/run.sh [PART...]   parts: xml admission boot parallel comeback autostart hung creates reads idle (default: all)
#
# TEEPOD_BENCH_DIR   folder for databases, disks and logs of all measured programs (default /var/tmp: on disk, not in memory)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

out=build/bench
mkdir -p "$out"
rm -f "$out/result.json" # do not leave the result of an older run
flags=(-std=gnu17 -D_GNU_SOURCE -I. -Wall -Wextra -Wshadow -Wconversion -Werror -O2)

build() {
	local name=$1
	shift
	local sources=() libs=()
	for word in "$@"; do
		case $word in
		*.c) sources+=("tests/bench/$word") ;;
		*) libs+=("$word") ;;
		esac
	done
	${CC:-gcc} "${flags[@]}" -o "$out/$name" "${sources[@]}" "${libs[@]}"
}

build load load.c http.c tool.c
build libvirt_client libvirt_client.c tool.c -lvirt -lpthread
build raw_qemu raw_qemu.c tool.c
build raw_sqlite raw_sqlite.c tool.c -lsqlite3
# shellcheck disable=SC2046
build domain_xml domain_xml.c tool.c $(pkg-config --cflags libxml-2.0) build/libteepod.a $(pkg-config --libs libxml-2.0 jansson openssl libuv libsystemd)

# One subreaper above all measured programs: libvirt waits for zombies, and PID 1 may be slow to reap them.
PYTHONDONTWRITEBYTECODE=1 TEEPOD_BIN=${TEEPOD_BIN:-build/teepod} exec tini -s -- /usr/bin/python3 tests/bench/measure.py "$@"
