# SPDX-License-Identifier: Apache-2.0
"""bed.py - a libvirtd of a newer Debian that believes that this machine is a TDX host.

The libvirt and the QEMU are real, from the root that root.sh builds; what is made up is the answer to "can this host run
TDX guests?". libvirt probes QEMU once and caches the result in a file; a few lines are added to that file.
"""

import copy
import os
import subprocess
import sys
import xml.etree.ElementTree as tree
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNAVAILABLE = 77    # exit status of root.sh
sys.path.insert(0, str(HERE.parent / "blackbox"))

from libvirtd import Libvirtd, Unavailable, virsh  # noqa: E402


def find_root():
    """The folder that root.sh has, or builds. Unavailable where this machine cannot have one."""
    found = subprocess.run([HERE / "root.sh", "path"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if found.returncode == UNAVAILABLE:
        raise Unavailable(f"no root of a newer Debian: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


class Bed(Libvirtd):
    def __init__(self, root):
        self.root = Path(root)
        super().__init__()
        try:
            self._pretend()
        except BaseException:
            self.close()
            raise

    def check(self):
        if os.geteuid() != 0:
            raise Unavailable("a root of another Debian needs root to be entered")

    def namespace(self):
        # QEMU's logs are read by teepod, outside.
        logs = Path("/var/log/libvirt/qemu")
        logs.mkdir(parents=True, exist_ok=True)
        return [HERE / "enter.sh", self.root, "/tmp", logs, HERE, "--", HERE / "pretend.sh", self.folder / "qemu.conf"]

    def inside(self, path):
        """A file in the root, as it is seen from outside."""
        return Path(f"/proc/{self.holder.pid}/root") / str(path).lstrip("/")

    def argv(self, pid):
        """The arguments that libvirt gave to the emulator process @pid."""
        return self.inside(f"run/teepod-tdx/argv/{pid}").read_text().split("\0")[:-1]

    def live_xml(self, uuid):
        return virsh(self.uri, "dumpxml", uuid)

    def _pretend(self):
        self.start()
        if not virsh(self.uri, "domcapabilities", "--machine", "q35", "--virttype", "qemu"):
            raise AssertionError(f"libvirtd finds no QEMU: {self.log()}")
        self.kill()
        found = [path for path in self.inside("var/cache/libvirt/qemu/capabilities").glob("*.xml") if add_tdx(path)]
        assert found, "libvirt keeps no capabilities of qemu-system-x86_64"
        self.start()
        caps = virsh(self.uri, "domcapabilities", "--machine", "q35", "--virttype", "kvm")
        assert "<value>tdx</value>" in caps, f"libvirt does not believe the capabilities it reads: {self.log()}"

    def log(self):
        return (self.folder / "log").read_text()[-1500:]


def add_tdx(path):
    """Add KVM and TDX to a cached capabilities file. False if it belongs to another emulator."""
    document = tree.parse(path)
    caps = document.getroot()
    if caps.findtext("emulator") != "/usr/bin/qemu-system-x86_64":
        return False
    for child in list(caps):
        if child.get("type") == "tcg":
            twin = copy.deepcopy(child)
            twin.set("type", "kvm")
            caps.append(twin)
    for flag in ("kvm", "tdx-guest"):
        tree.SubElement(caps, "flag", name=flag)
    # With KVM libvirt compares the kernel that the file was made under.
    host = os.uname()
    tree.SubElement(caps, "kernelVersion").text = f"{host.release} {host.version}"
    document.write(path)
    return True
