#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# packages.sh - the list of Debian packages that building, running, demonstrating and testing teepod requires.
#
#   scripts/packages.sh list [GROUP...]      print the names, one per line (default: all)
#   scripts/packages.sh missing [GROUP...]   print those that are not installed
#   scripts/packages.sh install [GROUP...]   install those, and create the user that libvirt's QEMU driver requires
#   scripts/packages.sh update               refresh apt's lists (images/demo/build.sh needs them for one download)
#
# GROUP is build, run, demo, test, tdx or all. systemd is not required, so this also works in a container.
set -euo pipefail

usage() {
	sed -n '4,9s/^# //p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

debian=$(. /etc/os-release && echo "${VERSION_ID:-99}")
debian=${debian%%.*}

# gcc only recommends libc6-dev, and install() uses --no-install-recommends: list it here.
build_packages() {
	echo gcc libc6-dev binutils make pkg-config
	echo libuv1-dev libssl-dev libjansson-dev libsqlite3-dev libvirt-dev
	echo libxml2-dev libinih-dev libarchive-dev libsystemd-dev libyaml-dev
	# Debian 12 has llhttp only as source code in the package node-llhttp.
	if [[ $debian -le 12 ]]; then echo node-llhttp; else echo libllhttp-dev; fi
}

run_packages() {
	echo libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils dosfstools mtools ca-certificates
}

demo_packages() {
	echo busybox-static cpio gzip kmod zstd xz-utils curl jq procps
}

test_packages() {
	echo clang clang-tidy clang-format cppcheck libcmocka-dev util-linux
	# Fuzzing requires the runtime of the clang version that the package "clang" installs.
	if [[ $debian -le 12 ]]; then echo libclang-rt-14-dev; else echo libclang-rt-19-dev; fi
	echo python3 python3-pytest python3-pytest-xdist python3-hypothesis python3-yaml python3-jsonschema python3-requests
	echo libvirt-daemon tini sqlite3 openssl wrk
	# For systemd-analyze; systemd need not run.
	echo systemd libseccomp2
	# The tests with the phala CLI require Node; an installed Node of any version will do.
	command -v node >/dev/null || echo nodejs
	command -v npm >/dev/null || echo npm
}

# For tests/tdx/root.sh, which builds a root folder with a newer Debian.
tdx_packages() {
	echo mmdebstrap debian-archive-keyring util-linux mount cpio
}

packages() {
	local group
	for group in "$@"; do
		case $group in
		all) build_packages && run_packages && demo_packages && test_packages && tdx_packages ;;
		*) "${group}_packages" ;;
		esac
	done | tr ' ' '\n' | sort -u
}

missing() {
	local names
	names=$(packages "$@")
	# dpkg-query fails if it does not know a name, and leaves that name out of its output.
	# shellcheck disable=SC2086
	comm -23 <(echo "$names") \
		<(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' $names 2>/dev/null | sed -n 's/^ii //p' | sort -u)
}

as_root() {
	if [[ $(id -u) -eq 0 ]]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "packages.sh: need root or sudo for: $*" >&2
		return 1
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

# libvirt's QEMU driver looks up its default user before it reads qemu.conf. If it runs as root and the user does not exist, it
# fails with "Failed to parse user 'libvirt-qemu'". Only the package libvirt-daemon-system creates that user.
ensure_user() {
	getent group libvirt-qemu >/dev/null || as_root groupadd -r libvirt-qemu
	getent passwd libvirt-qemu >/dev/null ||
		as_root useradd -r -g libvirt-qemu -d /var/lib/libvirt -s /usr/sbin/nologin libvirt-qemu
}

install() {
	local wanted
	mapfile -t wanted < <(missing "$@")
	if [[ ${#wanted[@]} -gt 0 ]]; then
		echo "packages.sh: installing ${wanted[*]}"
		apt update
		apt install -y --no-install-recommends "${wanted[@]}"
	fi
	ensure_user
}

verb=${1:-}
shift || usage
[[ $# -gt 0 ]] || set -- all
# Check the groups here: an error inside a pipeline would not end the script.
for group in "$@"; do
	[[ $group =~ ^(build|run|demo|test|tdx|all)$ ]] || usage
done
case $verb in
list) packages "$@" ;;
missing) missing "$@" ;;
install) install "$@" ;;
update) apt update ;;
*) usage ;;
esac
