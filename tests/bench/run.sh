#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - measure build/teepod with the programs in build/bench, print the table and write build/bench/result.json.
#
#   tests/bench/run.sh [PART...]   parts: xml admission boot parallel comeback autostart hung creates reads idle (default: all)
#
# TEEPOD_BENCH_DIR   folder for databases, disks and logs of all measured programs (default /var/tmp: on disk, not in memory)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

out=build/bench
mkdir -p "$out"
rm -f "$out/result.json" # do not leave the result of an older run
# One subreaper above all measured programs: libvirt waits for zombies, and PID 1 may be slow to reap them.
PYTHONDONTWRITEBYTECODE=1 TEEPOD_BIN=${TEEPOD_BIN:-build/teepod} exec tini -s -- /usr/bin/python3 tests/bench/measure.py "$@"
