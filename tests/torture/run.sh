#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - the torture against build/test/teepod (or TEEPOD_BIN), which it builds; arguments: see torture.py.
#
# A subreaper above all of it: where PID 1 is slow to collect the dead, libvirt waits for zombies.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ -z ${TEEPOD_BIN:-} ]]; then
	make -s --no-print-directory -j2 O=build/test FAILPOINTS=1 OPT=-O1 build/test/teepod
	export TEEPOD_BIN=build/test/teepod
fi
PYTHONDONTWRITEBYTECODE=1 exec tini -s -- /usr/bin/python3 tests/torture/torture.py "$@"
