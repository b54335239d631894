# SPDX-License-Identifier: Apache-2.0
"""td_images.py - a node in TDX mode, and guest images for it."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

from button import seal
from node import BOOT, DEMO, IMAGES, Node

TD_BOOT, TD_DEMO, TD_REBOOTS = "tdboot-1.0.0", "tddemo-1.0.0", "tdreboots-1.0.0"
FIRMWARE = "/usr/share/ovmf/OVMF.inteltdx.ms.fd"
QGS = "/run/tdx-qgs/bed.socket"
GUESTS = Path(__file__).resolve().parent / "guests"


def new_node(bed):
    return Node(hypervisor=bed.uri, options={"hypervisor.tee": "tdx", "hypervisor.qgs_socket": QGS})


def bring_images(node, root):
    """The demo images, each with the TDX firmware of @root as its own."""
    folder = node.dir / "brought"
    folder.mkdir()
    for name, base, more in ((TD_BOOT, BOOT, None), (TD_DEMO, DEMO, None), (TD_REBOOTS, DEMO, initramfs(folder, "reboots"))):
        source = make_image(folder / name, base, root / FIRMWARE.lstrip("/"), more)
        node.post("/images", json={"source": str(source)}, timeout=60).ok()
    shutil.rmtree(folder)


def make_image(folder, base, firmware, also_at_boot=None):
    """A copy of a demo image with @firmware, in @folder; @also_at_boot: more of an initramfs."""
    shutil.copytree(IMAGES / base, folder)
    meta = json.loads((folder / "metadata.json").read_text())
    meta.update(bios="ovmf.fd", version=folder.name.rsplit("-", 1)[1])
    (folder / "metadata.json").write_text(json.dumps(meta))
    shutil.copy(firmware, folder / "ovmf.fd")
    if also_at_boot:
        with open(folder / meta["initrd"], "ab") as initrd:
            initrd.write(also_at_boot)
    seal(folder)
    return folder


def initramfs(folder, name):
    """What is unpacked over an initramfs that it follows: guests/@name as /init."""
    init = folder / "init"
    shutil.copy(GUESTS / name, init)
    init.chmod(0o755)
    packed = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=folder, input=b"init\n",
                            stdout=subprocess.PIPE, check=True)
    return gzip.compress(packed.stdout)
