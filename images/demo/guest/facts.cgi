#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# facts.cgi - GET / of the demo guest: properties of this instance as JSON.
#
# The UUID in SMBIOS is the vm_uuid of the CVM. The values need no escaping, because they come from the kernel.
export PATH=/bin

# Set $value to the first line of a file, or to an empty string. "read" fails if the line has no newline, but sets $value.
first() {
	value=
	[ -r "$1" ] && { read -r value <"$1" || [ -n "$value" ]; }
}

text() { if [ -n "$value" ]; then echo "  \"$1\": \"$value\","; fi; }
number() { if [ -n "$value" ]; then echo "  \"$1\": $value,"; fi; }

disks() {
	local dir list= size name
	for dir in /sys/block/vd*; do
		[ -r "$dir/size" ] || continue
		name=${dir##*/}
		read -r size <"$dir/size"
		list="$list${list:+, }{\"name\": \"$name\", \"mib\": $((size / 2048))}"
	done
	echo "  \"disks\": [$list]"
}

echo "Content-Type: application/json"
echo "Cache-Control: no-store"
echo
echo "{"
echo "  \"guest\": \"teepod-demo\","
first /sys/class/dmi/id/product_uuid && text vm_uuid
first /run/app_id && text app_id
first /proc/sys/kernel/hostname && text hostname
first /proc/sys/kernel/osrelease && text kernel
first /proc/uptime && value=${value%% *} && number uptime_s
value=$(nproc) && number cpus
read -r _ value _ </proc/meminfo && value=$((value / 1024)) && number memory_mib
value=$(ip -4 -o addr show dev eth0) && value=${value#* inet } && value=${value%% *} && text address
first /sys/class/net/eth0/address && text mac
first /data/boots && number boots_of_this_disk
disks
echo "}"
