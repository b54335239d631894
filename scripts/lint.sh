#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh - clang-format, both compilers, clang-tidy and cppcheck over our own sources; exit 0 only when all are silent.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t sources < <(ls base/*.c db/*.c images/*.c vmm/*.c api/*.c daemon/*.c)
mapfile -t all < <(ls base/*.[ch] db/*.[ch] images/*.[ch] vmm/*.[ch] api/*.[ch] daemon/*.[ch] tests/unit/*.[ch] \
	tests/fuzz/*.c bench/*.c demo/guest/*.c 2>/dev/null)
failed=0
jobs=$(nproc)

# shellcheck disable=SC2046
flags=(-std=gnu17 -I. -D_GNU_SOURCE -DTEEPOD_FAILPOINTS -DTEEPOD_VERSION=\"lint\" -I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1
	$(pkg-config --cflags libuv openssl jansson sqlite3 libvirt libxml-2.0 inih libarchive libsystemd yaml-0.1))

export LINT_FLAGS="${flags[*]}"

say() { printf '== %s\n' "$*"; }

say "clang-format ($(clang-format --version | grep -o '[0-9.]*' | head -1))"
clang-format --dry-run -Werror "${all[@]}" || failed=1

say "clang warnings"
printf '%s\n' "${sources[@]}" | xargs -P "$jobs" -n 1 clang -fsyntax-only -Wall -Wextra -Wshadow -Wconversion -Werror "${flags[@]}" || failed=1

say "clang-tidy"
mkdir -p build
printf '%s\n' "${sources[@]}" | xargs -P "$jobs" -n 6 sh -c 'clang-tidy --quiet "$@" -- $LINT_FLAGS' sh >build/tidy.log 2>build/tidy.err || true
if grep -qE '(error|warning):' build/tidy.log; then
	cat build/tidy.log
	failed=1
fi

# resourceLeak: does not know __attribute__((cleanup)). unknownMacro: queue macros of <sys/queue.h>.
say "cppcheck"
cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr -j "$jobs" \
	-I. -D_GNU_SOURCE --suppress=unknownMacro --suppress=missingIncludeSystem --suppress=resourceLeak "${sources[@]}" || failed=1

say "include arrows and licence lines"
tests/arrows.sh || failed=1

if [[ $failed -ne 0 ]]; then
	echo "lint: FAILED" >&2
	exit 1
fi
echo "lint: clean"
