#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - measure build/teepod with the programs in build/bench, print the table and write build/bench/result.json.
#
#   tests/bench/run.sh [--size quick|smoke] [--peer /path/to/dstack-vmm] [PART...]
#
# Parts: xml admission boot parallel comeback autostart hung creates reads idle (default: all)
# TEEPOD_BIN         another daemon to measure, for example the one before a change
# TEEPOD_BENCH_DIR   folder for databases, disks and logs of all measured programs (default /var/tmp: on disk, not in memory)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# One subreaper above all measured programs: libvirt waits for zombies, and PID 1 may be slow to reap them.
export TEEPOD_BIN=${TEEPOD_BIN:-build/teepod} TEEPOD_IMAGES=${TEEPOD_IMAGES:-$PWD/build/images} PYTHONDONTWRITEBYTECODE=1
exec tini -s -- /usr/bin/python3 tests/bench/measure.py "$@"
