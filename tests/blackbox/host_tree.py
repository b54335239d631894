# SPDX-License-Identifier: Apache-2.0
"""host_tree.py - the files of a host with two sockets, 8 GPUs and 4 NVSwitches, for the option host.root."""

import os
import shutil
from pathlib import Path

GPUS = ["0000:18:00.0", "0000:2a:00.0", "0000:3a:00.0", "0000:5d:00.0",
        "0000:9a:00.0", "0000:ab:00.0", "0000:ba:00.0", "0000:db:00.0"]
SWITCHES = ["0000:05:00.0", "0000:06:00.0", "0000:07:00.0", "0000:08:00.0"]


class HostTree:
    def __init__(self, folder, page_kib=1048576, pages=8):
        self.root, self.page_kib = Path(folder), page_kib
        for node, cpus in enumerate(("0-31,64-95", "32-63,96-127")):
            self.put(f"/sys/devices/system/node/node{node}/cpulist", cpus)
            self.put(f"/sys/devices/system/node/node{node}/meminfo", f"Node {node} MemTotal:       268435456 kB")
            self.pages(node, pages)
        self.put("/proc/meminfo", f"MemTotal: 536870912 kB\nHugepagesize: {page_kib} kB")
        for i, address in enumerate(GPUS):
            self.device(address, "0x030200", "0x2335", i // 4, 10 + i)
        for i, address in enumerate(SWITCHES):
            self.device(address, "0x068000", "0x22a3", 0, 20 + i)

    def put(self, path, text):
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(text if isinstance(text, bytes) else text.encode() + b"\n")

    def link(self, path, target):
        at = self.root / path.lstrip("/")
        at.unlink(missing_ok=True)
        os.symlink(target, at)

    def pages(self, node, total, free=None):
        base = f"/sys/devices/system/node/node{node}/hugepages/hugepages-{self.page_kib}kB"
        self.put(f"{base}/nr_hugepages", str(total))
        self.put(f"{base}/free_hugepages", str(total if free is None else free))

    def device(self, address, kind, product, node, group, driver="vfio-pci"):
        at = f"/sys/bus/pci/devices/{address}"
        for name, text in (("class", kind), ("vendor", "0x10de"), ("device", product), ("numa_node", str(node)), ("enable", "0")):
            self.put(f"{at}/{name}", text)
        self.put(f"{at}/config", bytes.fromhex("de10") + bytes.fromhex(product[2:])[::-1] + bytes(60))
        self.link(f"{at}/iommu_group", f"../../../../kernel/iommu_groups/{group}")
        self.put(f"/sys/kernel/iommu_groups/{group}/devices/{address}", "")
        self.bind(address, driver)

    def bind(self, address, driver):
        self.link(f"/sys/bus/pci/devices/{address}/driver", f"../../../../bus/pci/drivers/{driver}")

    def remove(self, address):
        shutil.rmtree(self.root / f"sys/bus/pci/devices/{address}")
