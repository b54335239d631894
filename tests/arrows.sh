#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# arrows.sh - rules that the source tree keeps, checked by reading it. Prints TAP.
#
#   daemon -> api -> vmm -> images, host -> db -> base
#                    vmm -> virt, logs         -> base
#              api, vmm -> compose    -> tdx   -> base
#
# A folder may include from itself and from those that its arrows reach. Only virt/ knows libvirt, and api/ neither that nor the rows'
# transactions; host/ is what kernel files tell of the machine, tdx/ what a TD measures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

n=0 bad=0
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

allowed() {
	case $1 in
	base) echo base ;;
	db) echo base db ;;
	images) echo base db images ;;
	host) echo base db host ;;
	virt) echo base virt ;;
	tdx) echo base tdx ;;
	compose) echo base tdx compose ;;
	logs) echo base logs ;;
	vmm) echo base db images host virt tdx compose logs vmm ;;
	api) echo base images compose logs vmm api ;;
	daemon) echo base db images host virt tdx compose logs vmm api daemon ;;
	esac
}

# "file:line: #include ..." for every arrow of folder @1 that the drawing does not have.
wrong_arrows() {
	local pattern
	pattern=$(allowed "$1" | tr ' ' '|')
	grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "$1"/*.[ch] 2>/dev/null | grep -vE "include[[:space:]]+\"($pattern)/" || true
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

echo 1..13
for folder in base db images host virt tdx compose logs vmm api daemon; do
	check "$folder includes only what the drawing allows" "$(wrong_arrows "$folder")"
done
check "api knows no SQLite" "$(grep -nE '#[[:space:]]*include[[:space:]]*<sqlite3' api/*.[ch] 2>/dev/null || true)"
check "only virt knows libvirt" \
	"$(grep -nE '#[[:space:]]*include[[:space:]]*<libvirt/' {base,db,images,host,tdx,compose,logs,vmm,api}/*.[ch] 2>/dev/null || true)"
check "every source file names its licence first" "$(without_licence)"
[[ $bad -eq 0 ]]
