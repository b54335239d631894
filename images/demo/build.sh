#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh - build the two demo images, in the folder layout that the image store imports.
#
#   images/demo/build.sh OUTDIR
#
# OUTDIR/teepod-demo-1.0.0  Debian's cloud kernel and a busybox initramfs: HTTP on port 80, UDP echo on port 7
# OUTDIR/teepod-boot-1.0.0  one boot sector, for tests that need a machine within 0.1 s
#
# Builds are reproducible: times and owners are fixed, archives are sorted. The kernel package is downloaded once into .cache/
# and verified by apt; later builds require no network. The digest of each build is stored there under the hash of its inputs, so
# a second call only verifies the checksums.
set -euo pipefail

version=1.0.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TEEPOD_CACHE:-$here/../../.cache}/demo
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1704067200} LC_ALL=C TZ=UTC
umask 022

die() {
	echo "images/demo/build.sh: $*" >&2
	exit 1
}

# ------------------------------------------------------------------ kernel

kernel_deb() { find "$cache" -maxdepth 1 -name 'linux-image-*-cloud-amd64_*.deb' | sort -V | tail -n 1; }

# The package that the kernel meta package depends on; empty if apt has no lists yet.
kernel_package() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }'; }

fetch_kernel() {
	local name tmp
	[[ -z $(kernel_deb) ]] || return 0
	name=$(kernel_package)
	if [[ -z $name ]]; then
		"$here/../../scripts/packages.sh" update
		name=$(kernel_package)
	fi
	[[ -n $name ]] || die "apt knows no linux-image-cloud-amd64: the demo image needs a Debian amd64 host"
	tmp=$(mktemp -d "$work/deb.XXXXXX")
	echo "fetching $name"
	# The package lists may be outdated: update them once before failing.
	(cd "$tmp" && apt-get -q download "$name" >apt.log 2>&1) ||
		("$here/../../scripts/packages.sh" update && cd "$tmp" && apt-get -q download "$(kernel_package)" >apt.log 2>&1) ||
		{ cat "$tmp/apt.log" >&2; die "cannot download $name"; }
	mv "$tmp"/*.deb "$cache/"
}

# add_modules ROOT ORDER MODULE...: copy the modules and their dependencies to ROOT/modules; write their load order to the file
# ORDER there.
add_modules() {
	local root=$1 order=$2 path
	shift 2
	for module in "$@"; do
		modprobe -d "$work/kernel" -S "$release" --show-depends "$module" 2>/dev/null |
			awk '$1 == "insmod" { print $2 }' || die "no module $module in kernel $release"
	done | while read -r path; do
		[[ ! -e $root/modules/$(basename "$path") ]] || continue
		cp "$path" "$root/modules/"
		basename "$path" >>"$root/modules/$order"
	done
}

# ------------------------------------------------------------------ images

# Write sha256sum.txt over all files and digest.txt over sha256sum.txt. The digest identifies the image.
seal() {
	(cd "$1" && find . -type f ! -name sha256sum.txt ! -name digest.txt -printf '%P\n' | sort | xargs sha256sum >sha256sum.txt &&
		sha256sum sha256sum.txt | cut -d' ' -f1 >digest.txt)
	chmod 644 "$1"/*
	find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# Create the root file system of the guest, with a link to busybox for each of its commands.
fill_root() {
	local root=$1 name
	mkdir -p "$root"/{bin,dev,proc,sys,run,data,shared,modules,www/cgi-bin}
	cp /bin/busybox "$root/bin/busybox"
	for name in $(/bin/busybox --list); do
		[[ $name == busybox ]] || ln -s busybox "$root/bin/$name"
	done
	gcc -static -Os -s -Wl,--build-id=none -o "$root/bin/echo-udp" "$here/guest/echo.c"
	install -m 755 "$here/guest/init" "$root/init"
	install -m 755 "$here/guest/lease" "$root/bin/lease"
	install -m 755 "$here/guest/facts.cgi" "$root/www/cgi-bin/index.cgi"
	add_modules "$root" order virtio_pci virtio_blk virtio_net virtio_console button evdev
	add_modules "$root" fat.order vfat nls_cp437 nls_ascii
}

build_demo() {
	local out=$1 release
	dpkg -x "$(kernel_deb)" "$work/kernel"
	release=$(basename "$work"/kernel/lib/modules/*)
	depmod -b "$work/kernel" "$release"
	fill_root "$work/root"
	find "$work/root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$work/root" && find . -print0 | sort -z | cpio -0 -o -H newc --reproducible -R 0:0 --quiet) |
		gzip -n -9 >"$out/initramfs.cpio.gz"
	cp "$work/kernel/boot/vmlinuz-$release" "$out/bzImage"
	cp "$here/demo.json" "$out/metadata.json"
}

build_boot() {
	gcc -c -o "$work/boot.o" "$here/boot.S"
	ld -m elf_x86_64 --oformat binary -Ttext 0x7c00 -o "$1/boot.img" "$work/boot.o"
	# virtio-blk and SeaBIOS require a disk, not a single sector.
	truncate -s 1M "$1/boot.img"
	cp "$here/boot.json" "$1/metadata.json"
}

# ------------------------------------------------------------------ caching

# inputs KIND: the hash of all inputs of an image.
inputs() {
	{
		cat "$here/build.sh" "$here/$1.json"
		echo "$SOURCE_DATE_EPOCH $(gcc -dumpfullversion)"
		case $1 in
		demo)
			cat "$here"/guest/* /bin/busybox
			basename "$(kernel_deb)"
			;;
		boot) cat "$here/boot.S" ;;
		esac
	} | sha256sum | cut -d' ' -f1
}

up_to_date() {
	local dir=$1 built=$cache/built-$2
	[[ -r $built && -r $dir/digest.txt ]] && cmp -s "$built" "$dir/digest.txt" &&
		[[ $(sha256sum <"$dir/sha256sum.txt" | cut -d' ' -f1) == $(<"$dir/digest.txt") ]] &&
		(cd "$dir" && sha256sum --quiet --strict -c sha256sum.txt >/dev/null 2>&1)
}

image() {
	local kind=$1 dir=$outdir/teepod-$1-$version key new
	key=$(inputs "$kind")
	if up_to_date "$dir" "$key"; then
		echo "teepod-$kind-$version: up to date ($(<"$dir/digest.txt"))"
		return
	fi
	new=$work/image-$kind
	mkdir "$new"
	"build_$kind" "$new"
	seal "$new"
	rm -rf "$dir"
	mv "$new" "$dir"
	cp "$dir/digest.txt" "$cache/built-$key"
	echo "teepod-$kind-$version: built in $dir"
	(cd "$dir" && du -h --apparent-size -- * | sed 's/^/  /')
	echo "  os_image_hash $(<"$dir/digest.txt")"
}

[[ $# -eq 1 ]] || die "usage: images/demo/build.sh OUTDIR"
mkdir -p "$1" "$cache"
outdir=$(cd "$1" && pwd)
exec 9>"$cache/lock"
flock 9
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
fetch_kernel
image demo
image boot
