#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# enter.sh - runs a command in a root made by root.sh, for itself alone.
#
#   tests/tdx/enter.sh ROOT [FOLDER...] -- COMMAND [ARG...]
#
# A mount namespace of its own, with a fresh root on a tmpfs: /usr of ROOT read-only, copies of its /etc and /var, the
# host's processes, network and those devices that guests need, and each FOLDER at the path it has outside. What is
# written elsewhere is gone when the last process inside has ended: ROOT stays as it was built, also for others.
# pivot_root, not chroot: programs inside may make user namespaces.
set -euo pipefail

if [[ ${TEEPOD_TDX_ENTERED:-} != yes ]]; then
	exec env TEEPOD_TDX_ENTERED=yes unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi
unset TEEPOD_TDX_ENTERED

root=$1
folders=()
shift
while [[ $1 != -- ]]; do
	folders+=("$1")
	shift
done
shift

# Any folder will do: it is covered in this namespace only.
new=$root/mnt
mount -t tmpfs -o mode=0755 tmpfs "$new"
mkdir "$new"/{usr,proc,sys,dev,run,tmp,outside}
chmod 1777 "$new/tmp"
cp -a "$root"/{bin,sbin,lib,lib64,etc,var,root} "$new/"
mount --bind "$root/usr" "$new/usr"
mount -o remount,bind,ro "$new/usr"
mount --rbind /proc "$new/proc"
mount --rbind /sys "$new/sys"

mkdir "$new"/dev/{pts,shm,net}
for device in null zero full random urandom tty net/tun vhost-net vhost-vsock kvm; do
	[[ -e /dev/$device ]] || continue
	: >"$new/dev/$device"
	mount --bind "/dev/$device" "$new/dev/$device"
done
# A terminal is looked for beside the ptmx that was opened: the host's would not find these.
mount -t devpts -o newinstance,mode=0620,ptmxmode=0666 devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
for link in fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
	ln -s "/proc/self/${link#*:}" "$new/dev/${link%%:*}"
done

for folder in "${folders[@]}"; do
	mkdir -p "$new$folder"
	mount --rbind "$folder" "$new$folder"
done

where=$PWD
cd "$new"
pivot_root . outside
cd "$where" 2>/dev/null || cd /
umount -l /outside
rmdir /outside
export PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C
exec "$@"
