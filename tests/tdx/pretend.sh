#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pretend.sh - runs inside the root: makes it look alike on every host, and puts the pretended emulator in QEMU's place.
#
#   pretend.sh QEMU.CONF    says "ready" and stays; while it does, the namespace is there to be entered
#
# libvirt keeps what it found out about an emulator only while /dev/kvm is as usable as it was, and, with KVM, while
# kernel, microcode and kvm module are what they were. Here /dev/kvm is an empty file: usable by its mode, and nobody
# gets a KVM out of it, so that QEMU's own answers are the same on a host with KVM, with one like it, or with none.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
bed=/run/teepod-tdx

mkdir -p "$bed/argv" "$bed/real" /etc/libvirt /run/libvirt /var/{lib,cache,log}/libvirt
cp "$1" /etc/libvirt/qemu.conf

: >"$bed/plain"
[[ -e /dev/kvm ]] || : >/dev/kvm
mount --bind "$bed/plain" /dev/kvm
mount -t tmpfs tmpfs /sys/module

# Microcode and model of the host are in here; without them libvirt has nothing to compare.
grep -E '^(processor|address sizes|$)' /proc/cpuinfo >"$bed/cpuinfo" || true
mount --bind "$bed/cpuinfo" /proc/cpuinfo

: >"$bed/real/qemu-system-x86_64"
mount --bind /usr/bin/qemu-system-x86_64 "$bed/real/qemu-system-x86_64"
mount --bind "$here/qemu-system-x86_64" /usr/bin/qemu-system-x86_64

echo ready
exec sleep infinity
