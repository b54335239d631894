#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# root.sh - a root of a newer Debian, for what this one's libvirt and QEMU are too old for: TDX guests.
#
#   tests/tdx/root.sh path                print its folder; build it first if there is none
#   tests/tdx/root.sh run COMMAND [ARG]   run a command in it, /tmp and this project where they are outside;
#                                         what it writes elsewhere is gone afterwards
#
# TEEPOD_TDX_SUITE   Debian suite (default: forky)
# TEEPOD_TDX_MIRROR  where from (default: the first mirror of this machine's own apt sources)
# TEEPOD_CACHE       where it is kept (default: .cache of this project), in tdx/
#
# Exit status 77: there can be none here, for the reason printed (not root, no mount namespaces, no network).
#
# A root is built beside its place and moved there when it is whole and has been tried, so what has the name is good;
# what an interrupted build left is removed by the next one. Suite and package list are in the name: change one, and
# another root is built. A suite that is not released moves on: remove the folder to follow it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
suite=${TEEPOD_TDX_SUITE:-forky}
cache=${TEEPOD_CACHE:-$project/.cache}/tdx

# mount: for what is arranged once the root is entered.
packages=(qemu-system-x86 qemu-utils ovmf ovmf-inteltdx libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
	libxml2-utils mount)

say() { echo "root.sh: $*" >&2; }

can_not() {
	say "$*"
	exit 77
}

check_host() {
	[[ $(id -u) -eq 0 ]] || can_not "a root of another Debian needs root to be made and entered"
	unshare --mount --propagation private mount -t tmpfs tmpfs /mnt 2>/dev/null ||
		can_not "nothing can be mounted here, in a namespace of one's own neither"
}

# ------------------------------------------------------------------ building

# Proxies, certificates and credentials that apt knows of count here as they will later.
has_suite() {
	/usr/lib/apt/apt-helper -o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 \
		download-file "${1%/}/dists/$suite/InRelease" "$2/InRelease" >/dev/null 2>&1
}

# The first of this machine's apt sources that has the suite, or Debian's own.
find_mirror() {
	local uri
	if [[ -n ${TEEPOD_TDX_MIRROR:-} ]]; then
		echo "$TEEPOD_TDX_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # apt's variable
	for uri in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | uniq) http://deb.debian.org/debian; do
		! has_suite "$uri" "$1" || { echo "$uri" && return; }
	done
	return 1
}

# What this machine's apt needs to get out is needed for the new root, too.
apt_options() {
	apt-config dump | grep -iE '^Acquire::(http|https)::Proxy' || true
	# A suite in the making is signed for a week; a machine's clock, or its mirror, may be behind.
	echo 'Acquire::Check-Valid-Until "false";'
	echo 'Acquire::Retries "3";'
	echo 'APT::Install-Recommends "false";'
}

build() {
	local into=$1 from option options=()
	command -v mmdebstrap >/dev/null || can_not "mmdebstrap is not installed: scripts/packages.sh install tdx"
	from=$(find_mirror "$into") || can_not "no root of Debian $suite yet, and no mirror within reach to build one from"
	mapfile -t options < <(apt_options)
	say "building a root of Debian $suite from $from, a minute or so"
	options=("${options[@]/#/--aptopt=}")
	for option in 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' force-unsafe-io; do
		options+=("--dpkgopt=$option")
	done
	# In a mount namespace of its own: nothing stays mounted however it ends.
	unshare --mount --propagation private mmdebstrap --quiet --mode=root --variant=apt "${options[@]}" \
		--include="$(IFS=, && echo "${packages[*]}")" "$suite" "$into/root" "$from" >"$into/log" 2>&1 || {
		tail -n 20 "$into/log" >&2
		say "building the root failed"
		return 1
	}
	whole "$into/root" >&2 || { say "the root that was built is not whole" && return 1; }
}

# What the test bed uses is there, and runs.
whole() {
	[[ -s $1/usr/share/ovmf/OVMF.inteltdx.ms.fd ]] && "$here/enter.sh" "$1" -- libvirtd --version &&
		"$here/enter.sh" "$1" -- qemu-system-x86_64 --version
}

path() {
	local key root work
	check_host
	key=$(echo "${packages[*]}" | sha256sum | cut -c1-12)
	root=$cache/$suite-$key
	if [[ ! -d $root ]]; then
		mkdir -p "$cache"
		exec 9>"$cache/lock"
		flock 9
	fi
	# Another one may have built it while this one waited.
	if [[ ! -d $root ]]; then
		rm -rf --one-file-system "$cache"/build.*
		work=$(mktemp -d "$cache/build.XXXXXX")
		# shellcheck disable=SC2064 # now: it is a local name
		trap "rm -rf --one-file-system '$work'" EXIT
		chmod 755 "$work"
		build "$work" || exit
		# By name it is whole; on the disk it must be too, should the machine stop now.
		sync -f "$work"
		mv "$work/root" "$root"
	fi
	echo "$root"
}

run() {
	local root
	root=$(path)
	"$here/enter.sh" "$root" /tmp "$project" -- "$@"
}

case ${1:-} in
path) path ;;
run)
	shift
	[[ $# -gt 0 ]] || { sed -n '4,7s/^# //p' "${BASH_SOURCE[0]}" >&2 && exit 2; }
	run "$@"
	;;
*) sed -n '4,7s/^# //p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
