# SPDX-License-Identifier: Apache-2.0
"""A TD's machine is the one dstack-vmm's command line for TDX makes, byte for byte, under the newer libvirt and QEMU.

Both go through the emulator's stand-in, which takes away what only a TDX host has; what is left of the two is compared as a guest
sees it. tests/blackbox/test_measured_machine.py does the same for ordinary VMs, and says why.
"""

import base64
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "measured"))
import probe  # noqa: E402
from node import Node  # noqa: E402
from td import Argv, QGS, mr_config_id  # noqa: E402

SMBIOS = ("fw_cfg", "etc/smbios/smbios-tables")


@pytest.fixture(scope="module")
def image(root, tmp_path_factory):
    return probe.make_image(tmp_path_factory.mktemp("image"), bios=root / "usr/share/ovmf/OVMF.inteltdx.ms.fd")


@pytest.mark.parametrize("share, vcpus, nics", [("9p", 1, 1), ("vhd", 4, 2)], ids=["small", "larger"])
def test_a_td_sees_what_the_launchers_td_sees(bed, image, tmp_path, share, vcpus, nics):
    node = Node(hypervisor=bed.uri, options={"hypervisor.tee": "tdx", "hypervisor.qgs_socket": QGS, "guest.share_mode": share})
    try:
        node.start()
        node.post("/images", json={"source": str(image)}, timeout=60).ok()
        cvm, ours = probe.through_teepod(node, vcpu=vcpus, memory=256, networks=[{"mode": "user"}] * nics)
        id48 = base64.b64encode(mr_config_id(cvm)).decode()
        stored = node.dir / "images" / probe.NAME
        args, log = probe.launcher(stored, tmp_path, vcpus, 256, probe.macs(cvm.uuid, nics), nics=nics, share=share, kvm=True,
                                   bios=stored / "ovmf.fd", td={"mrconfigid": id48, "quote-generation-socket": {
                                       "type": "vsock", "cid": "2", "port": "4050"}})
        theirs = probe.run(args, log, inside=("nsenter", "--mount", "--root", f"--target={bed.holder.pid}"))
    finally:
        node.close()
    assert Argv(args).objects("tdx-guest")[0]["mrconfigid"] == id48
    assert {("acpi", "DSDT"), ("fw_cfg", "etc/acpi/tables"), ("fw_cfg", "bootorder"), SMBIOS} <= theirs.keys()
    assert probe.without_uuid(ours.pop(SMBIOS)) == probe.without_uuid(theirs.pop(SMBIOS))
    assert probe.differences(ours, theirs) == []
