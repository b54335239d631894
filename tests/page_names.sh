#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# page_names.sh - every file and function that the pages for contributors name exists. Prints TAP.
#
# A name is text in backquotes: `folder/file` is a file, `function()` must be in a C source. A function that
# follows `folder/file.c` on the same line must be in one of the files of that line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

bad=0 n=0
pages=("$@")
[[ $# -gt 0 ]] || pages=(docs/architecture.md CONTRIBUTING.md)

missing_names() {
	local line file name files
	while IFS= read -r line; do
		files=()
		while read -r file; do
			[[ -e $file ]] && files+=("$file") || echo "$file does not exist"
		done < <(grep -oE '`[A-Za-z_.-]+(/[A-Za-z0-9_.-]+)+/?`' <<<"$line" | tr -d '`' | grep -v '^build/')
		[[ ${#files[@]} -gt 0 ]] || files=(base db images vmm api daemon)
		while read -r name; do
			grep -rqE --include='*.[ch]' "(^|[ *])$name\(" "${files[@]}" || echo "$name() is not in ${files[*]}"
		done < <(grep -oE '`[a-z_0-9]+\(\)`' <<<"$line" | tr -d '`()')
	done <"$1"
}

echo "1..${#pages[@]}"
for page in "${pages[@]}"; do
	n=$((n + 1))
	found=$(missing_names "$page")
	if [[ -z $found ]]; then
		echo "ok $n - names in $page exist"
	else
		bad=1
		sed 's/^/# /' <<<"$found"
		echo "not ok $n - names in $page exist"
	fi
done
[[ $bad -eq 0 ]]
