#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# arrows.sh - rules of the source tree: directions of includes, circles of files, size of headers, names, licences.
# Prints TAP, and at the end how many circles of files and forbidden arrows there are.
#
#   TEEPOD_OBJECTS   folder of object files, where calls between files are read (default: build/obj)
#
#   daemon -> api/cloud -> api/http ------------------------------------> base
#                          vmm -> cvm -> guest -> op -> admit -> account -> host -> node -> images -> db -> base
#
# A folder includes only from itself and from those to its right; vmm/{compose,logs,tdx,virt} are leaf rooms, which every
# room of vmm/ and api/cloud may use. Calls follow the same directions, because each call needs an include.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

objects=${TEEPOD_OBJECTS:-build/obj}
n=0 bad=0 forbidden=0
mapfile -t sources < <(find base db images vmm api daemon -name '*.[ch]' -not -path 'images/demo/*' | sort)

check() {
	local rule=$1 found=$2
	n=$((n + 1))
	if [[ -z $found ]]; then
		echo "ok $n - $rule"
	else
		bad=$((bad + 1))
		sed 's/^/# /' <<<"$found"
		echo "not ok $n - $rule"
	fi
}

# Folders that folder @1 may include from, beside itself.
allowed() {
	local node='base db images vmm/compose vmm/logs vmm/tdx vmm/virt vmm/node' leaf='base'
	case $1 in
	base) ;;
	db) echo base ;;
	images) echo base db ;;
	vmm/virt | vmm/tdx | vmm/logs) echo $leaf ;;
	vmm/compose) echo $leaf vmm/tdx ;;
	vmm/node) echo "$node" ;;
	vmm/host) echo "$node" ;;
	vmm/account) echo "$node" vmm/host ;;
	vmm/admit) echo "$node" vmm/host vmm/account ;;
	vmm/op) echo "$node" vmm/host vmm/account vmm/admit ;;
	vmm/guest) echo "$node" vmm/host vmm/account vmm/admit vmm/op ;;
	vmm/cvm) echo "$node" vmm/host vmm/account vmm/admit vmm/op vmm/guest ;;
	vmm) echo "$node" vmm/host vmm/account vmm/admit vmm/op vmm/guest vmm/cvm ;;
	api/http) echo base ;;
	api/cloud) echo "$(allowed vmm)" vmm api/http ;;
	daemon) echo "$(allowed api/cloud)" api/cloud ;;
	*) return 1 ;;
	esac
}

# "file:line: include" for every include of folder @1 that the drawing does not have.
wrong_includes() {
	local pattern
	pattern=$(tr ' ' '|' <<<"$1 $(allowed "$1")")
	grep -nE '^#include "' "$1"/*.[ch] | grep -vE "#include \"($pattern)/[a-z0-9_]+\.h\"" || true
}

# name.c and name.h are one file here. "A B" for each A that includes B, or uses a symbol that B defines.
arrows() {
	grep -HE '^#include "' "${sources[@]}" | sed -E 's/^([^:]+)\.[ch]:#include "([^"]+)\.h".*/\1 \2/'
	(cd "$objects" && printf '%s\n' "${sources[@]}" | sed -n 's/\.c$/.o/p' | xargs nm -A) | awk '
		{ sub(/\.o:.*/, "", $1) }
		$(NF - 1) ~ /^[TDBRVWC]$/ { where[$NF] = $1; next }
		$(NF - 1) == "U" { n++; from[n] = $1; to[n] = $NF }
		END { for (i = 1; i <= n; i++) if (to[i] in where) print from[i], where[to[i]] }'
}

# The members of each circle, a circle a line.
circles() {
	arrows | awk '$1 != $2' | sort -u | tsort 2>&1 >/dev/null |
		awk '/input contains a loop/ { if (c) print c; c = ""; next } { sub(/^tsort: /, ""); c = c " " $0 } END { if (c) print c }'
}

missing_objects() {
	local source
	for source in "${sources[@]}"; do
		[[ $source != *.c || -e $objects/${source%.c}.o ]] || echo "$objects/${source%.c}.o is missing: build first"
	done
}

# base/own.h and base/alloc.h are the exceptions: their top comments give the reason.
popular_headers() {
	local all
	all=$(printf '%s\n' "${sources[@]}" | grep -c '\.c$')
	printf '%s\n' "${sources[@]}" | grep '\.c$' | xargs grep -hE '^#include "' | sort | uniq -c |
		awk -v all="$all" '$1 * 3 > all && $3 !~ /^"base\/(own|alloc)\.h"$/ { print $3 " is included by " $1 " of " all " sources" }'
}

long_headers() {
	printf '%s\n' "${sources[@]}" | grep '\.h$' | xargs wc -l | awk '$2 != "total" && $1 > 160 { print $2 " has " $1 " lines" }'
}

# struct, enum and union types that two files define.
shared_types() {
	grep -hoE '^(static )?(const )?(struct|enum|union) [a-z_0-9]+ \{' "${sources[@]}" | sed -E 's/^(static )?(const )?//' |
		sort | uniq -d
}

# Functions, static ones too, that two sources define: a search or a backtrace would not say which one is meant.
shared_functions() {
	printf '%s\n' "${sources[@]}" | grep '\.c$' | xargs awk '
		FNR == 1 { head = "" }
		/^[a-z].*\(/ && !/;$/ { head = $0; next }
		/^\{/ && head != "" { if (match(head, /[a-z_0-9]+\(/)) print FILENAME, substr(head, RSTART, RLENGTH - 1); head = "" }
		/;$/ { head = "" }' | sort -u | cut -d' ' -f2 | sort | uniq -d
}

# First line of a file may be a #! line; the licence comes next.
without_licence() {
	find . \( -path ./.git -o -path ./build -o -path ./.cache -o -name node_modules \) -prune -o -type f \
		\( -name '*.[chS]' -o -name '*.sh' -o -name '*.py' -o -name '*.sql' -o -name Makefile -o -path './configs/*' -o \
		-path './images/demo/guest/*' -o -path ./.ci/run \) -print |
		while read -r file; do
			head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
		done
}

mapfile -t folders < <(printf '%s\n' "${sources[@]%/*}" | sort -u)
echo "1..$((${#folders[@]} + 11))"
for folder in "${folders[@]}"; do
	found=$(wrong_includes "$folder")
	[[ -z $found ]] || forbidden=$((forbidden + $(wc -l <<<"$found")))
	check "$folder includes only what the drawing allows" "$found"
done
check "only db/ includes sqlite3" "$(grep -nE '#[[:space:]]*include[[:space:]]*<sqlite3' "${sources[@]}" | grep -v '^db/' || true)"
check "only vmm/virt/ includes libvirt" "$(grep -nE '#[[:space:]]*include[[:space:]]*<libvirt/' "${sources[@]}" | grep -v '^vmm/virt/' || true)"
check "vmm/ itself holds only the facade" "$(find vmm -maxdepth 1 -type f -not -name 'vmm.[ch]')"
check "struct vmm is opaque: only vmm/vmm.c and vmm/node/node.c include its members" \
	"$(grep -rn '#include "vmm/node/vmm_struct.h"' "${sources[@]}" tests --include='*.[ch]' | grep -vE '^vmm/(vmm|node/node)\.c:' || true)"
check "every source was built" "$(missing_objects)"
circles=$(circles || true)
check "no circle of files that include or call each other" "$circles"
check "no header is included by more than a third of the sources" "$(popular_headers)"
check "no header is longer than a few screens" "$(long_headers)"
check "names of types are unique" "$(shared_types)"
check "names of functions are unique" "$(shared_functions)"
check "every source file names its licence first" "$(without_licence)"
echo "# $(grep -c . <<<"$circles" || true) circles of files, $forbidden forbidden arrows"
[[ $bad -eq 0 ]]
