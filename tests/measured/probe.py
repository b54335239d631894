# SPDX-License-Identifier: Apache-2.0
"""probe.py - a guest that tells what it sees of its machine, and the launcher's command line to hold it against.

The guest is the demo kernel with an init of its own (beside this file). Its image is made once a session.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))

from node import DEMO, IMAGES, until  # noqa: E402

NAME = "probe-1.0.0"
CMDLINE = "console=ttyS0 quiet loglevel=3 panic=-1 ipv6.disable=1 cryptomgr.notests=1 no_timer_check"


def kernel_package():
    cache = Path(os.environ.get("TEEPOD_CACHE", ROOT / ".cache")) / "demo"
    return max(cache.glob("linux-image-*-cloud-amd64_*.deb"))


def make_image(folder, bios=None):
    """An image in dstack's layout under @folder, with a root disk beside kernel and initramfs, and a firmware; its path."""
    work, image = folder / "work", folder / NAME
    (work / "root" / "modules").mkdir(parents=True)
    image.mkdir()
    subprocess.run(["dpkg", "-x", kernel_package(), work / "kernel"], check=True)
    module = next((work / "kernel").rglob("qemu_fw_cfg.ko"))
    shutil.copy(module, work / "root" / "modules")
    shutil.copy(HERE / "init", work / "root" / "init")
    (work / "root" / "init").chmod(0o755)
    overlay = subprocess.run("find . | sort | cpio -o -H newc --quiet -R 0:0", shell=True, cwd=work / "root", check=True,
                             capture_output=True).stdout
    # The kernel unpacks archives one after the other: the later /init takes the place of the demo's.
    (image / "initramfs.cpio.gz").write_bytes((IMAGES / DEMO / "initramfs.cpio.gz").read_bytes() + gzip.compress(overlay))
    shutil.copy(IMAGES / DEMO / "bzImage", image)
    (image / "rootfs.img.parted.verity").write_bytes(b"\0" * (1 << 20))
    if bios:
        shutil.copy(bios, image / "ovmf.fd")
    (image / "metadata.json").write_text(json.dumps({
        "kernel": "bzImage", "initrd": "initramfs.cpio.gz", "rootfs": "rootfs.img.parted.verity", "cmdline": CMDLINE,
        "version": "1.0.0", "is_dev": True, "shared_ro": True, **({"bios": "ovmf.fd"} if bios else {})}))
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(image.iterdir()))
    (image / "sha256sum.txt").write_text(sums)
    (image / "digest.txt").write_text(hashlib.sha256(sums.encode()).hexdigest() + "\n")
    shutil.rmtree(work)
    return image


# ---------------------------------------------------------------------- what a guest saw

def seen(text):
    """(kind, name) -> bytes, of a probe's console."""
    found, name, lines = {}, None, []

    def keep():
        if name:
            found[name] = gzip.decompress(base64.b64decode("".join(lines)))

    for line in text.replace("\r", "").split("\n"):
        head = re.search(r"== (\S+) (\S+)$", line)
        if head or "PROBE-DONE" in line:
            keep()
            name, lines = head and (head[1], head[2]), []
        else:
            lines.append(line)
    return found


def differences(ours, theirs):
    return sorted(" ".join(name) for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def without_uuid(smbios):
    """SMBIOS tables with the UUID of the system (type 1, offset 8) as zeros."""
    out, at = bytearray(smbios), 0
    while at < len(out):
        kind, length, _ = struct.unpack_from("<BBH", out, at)
        if kind == 1:
            out[at + 8:at + 24] = bytes(16)
        at = out.index(b"\0\0", at + length) + 2
    return bytes(out)


# ---------------------------------------------------------------------- the launcher's command line

def launcher(image, folder, vcpus, memory, mac, nics=1, volumes=(), share="9p", kvm=False, td=None, bios=None, pages=None):
    """What dstack-vmm runs for such a guest, argument by argument; @td: properties of its tdx-guest object, None: no TEE;
    @pages: a hugetlbfs, for memory in huge pages of host node 0."""
    log, disk = folder / "launcher.log", folder / "hda.img"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
    args = ["qemu-system-x86_64", "-accel", "kvm" if kvm else "tcg", "-cpu", "host" if kvm else "qemu64", "-nographic", "-nodefaults",
            "-chardev", f"pty,id=com0,logfile={log},logappend=on", "-serial", "chardev:com0",
            *(["-bios", bios] if bios else []),
            "-kernel", f"{image}/bzImage", "-initrd", f"{image}/initramfs.cpio.gz",
            "-drive", f"file={image}/rootfs.img.parted.verity,if=none,id=hd0,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=hd0",
            "-drive", f"file={disk},if=none,id=hd1", "-device", "virtio-blk-pci,drive=hd1"]
    for i, path in enumerate(volumes):
        args += ["-drive", f"file={path},if=none,id=vol{i},format=raw,readonly=on", "-device", f"virtio-blk-pci,drive=vol{i}"]
    for i in range(nics):
        args += ["-netdev", f"user,id=net{i},net=10.0.2.0/24,dhcpstart=10.0.2.10,restrict=no",
                 "-device", f"virtio-net-pci,netdev=net{i},mac={mac[i]}"]
    args += ["-smbios", "type=1,manufacturer=dstack,product=dstack"]
    if os.path.exists("/dev/vhost-vsock"):
        args += ["-device", "vhost-vsock-pci,guest-cid=777"]
    if share == "9p":
        (folder / "shared").mkdir(exist_ok=True)
        args += ["-virtfs", f"local,path={folder}/shared,mount_tag=host-shared,readonly=on,security_model=mapped,id=virtfs0"]
    else:
        (folder / "shared.img").write_bytes(b"\0" * (128 << 20))
        args += ["-drive", f"file={folder}/shared.img,if=none,id=hd2,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=hd2"]
    if pages:
        args += ["-numa", f"node,nodeid=0,cpus=0-{vcpus - 1},memdev=mem0",
                 "-object", f"memory-backend-file,id=mem0,size={memory // 1024}G,mem-path={pages},share=on,prealloc=yes,host-nodes=0,policy=bind",
                 "-device", "pxb-pcie,id=pcie.node0,bus=pcie.0,addr=10,numa_node=0,bus_nr=5"]
    if td:
        args += ["-object", json.dumps({"qom-type": "tdx-guest", "id": "tdx", **td}, separators=(",", ":"))]
    confidential = ["confidential-guest-support=tdx"] if td else []
    return args + ["-machine", ",".join(["q35", "kernel-irqchip=split", *confidential, "hpet=off"]), "-smp", str(vcpus), "-m", f"{memory}M",
                   "-append", CMDLINE], log


def run(args, log, seconds=120, inside=()):
    """Run a probe to its power-off, by way of the command @inside; what it saw."""
    process = subprocess.Popen([*inside, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
    text = log.read_text(errors="replace") if log.exists() else ""
    assert "PROBE-DONE" in text, f"{said}\n{text[-2000:]}"
    return seen(text)


def macs(uuid, n):
    """dstack-vmm's rule."""
    found = []
    for i in range(n):
        digest = bytearray(hashlib.sha256((f"{uuid}:{i}" if i else uuid).encode()).digest()[:6])
        digest[0] = digest[0] & 0xfe | 2
        found.append(":".join(f"{byte:02x}" for byte in digest))
    return found


def through_teepod(node, seconds=120, **fields):
    """Run a probe as a CVM of @node; the CVM, and what it saw."""
    cvm = node.create(wait=False, image=NAME, **fields)
    until(lambda: f"the probe is done:\n{cvm.log()[-2000:]}\n{node.log_tail()}", lambda: "PROBE-DONE" in cvm.log(), seconds, every=0.3)
    node.settled(cvm.uuid)
    return cvm, seen(cvm.log(tail=100000))
