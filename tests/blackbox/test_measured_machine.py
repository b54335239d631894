# SPDX-License-Identifier: Apache-2.0
"""The measured parts of a guest's machine are equal to those under dstack-vmm's command line, byte for byte.

RTMR0 of a TD holds the digests of its ACPI tables, and verifiers compute them from that command line. So a probe boots twice,
once as a CVM by libvirt, once by the launcher's arguments in plain QEMU, and everything it sees is compared.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "measured"))
import probe  # noqa: E402

SMBIOS = ("fw_cfg", "etc/smbios/smbios-tables")

VOLUME = {"source": "extra.verity", "verity_root": "ab" * 32, "target": "/models"}

CASES = {
    "one vCPU": {"vcpus": 1},
    "four vCPUs": {"vcpus": 4},
    "two interfaces": {"nics": 2},
    "a volume": {"volumes": 1},
    "a share by FAT disk": {"share": "vhd"},
    "everything at once": {"vcpus": 3, "nics": 3, "volumes": 1, "share": "vhd"},
}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return probe.make_image(tmp_path_factory.mktemp("image"))


def compose(volumes):
    file = {"docker_compose_file": "services:\n  web:\n    image: nginx:1.27\n"}
    if not volumes:
        return file
    return {"manifest_version": 2, "name": "probe", "runner": "docker-compose", **file, "verity_volumes": [VOLUME] * volumes}


@pytest.mark.parametrize("case", CASES, ids=[name.replace(" ", "-") for name in CASES])
def test_a_guest_sees_what_the_launchers_guest_sees(spawn, image, tmp_path, case):
    want = {"vcpus": 1, "nics": 1, "volumes": 0, "share": "9p", **CASES[case]}
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "extra.verity").write_bytes(b"\0" * (1 << 20))
    node = spawn(options={"guest.share_mode": want["share"], "cvm.volumes_dir": tmp_path / "volumes"})
    node.post("/images", json={"source": str(image)}).ok()
    cvm, ours = probe.through_teepod(node, vcpu=want["vcpus"], memory=256, networks=[{"mode": "user"}] * want["nics"],
                                     compose_file=compose(want["volumes"]))
    args, log = probe.launcher(node.dir / "images" / probe.NAME, tmp_path, want["vcpus"], 256, probe.macs(cvm.uuid, want["nics"]),
                               nics=want["nics"], volumes=[tmp_path / "volumes" / "extra.verity"] * want["volumes"],
                               share=want["share"], kvm=node.get("/node").json["hypervisor"]["kvm"])
    theirs = probe.run(args, log)

    # The comparison is not empty.
    assert {("acpi", "DSDT"), ("acpi", "APIC"), ("fw_cfg", "etc/acpi/tables"), ("fw_cfg", "etc/table-loader"), ("fw_cfg", "bootorder"),
            ("config", "0000:00:1f.0"), SMBIOS} <= theirs.keys()
    disks = 2 + want["volumes"] + (want["share"] == "vhd")
    assert sum(kind == "pci" and b"0x1af4 0x1001" in value for (kind, _), value in theirs.items()) == disks
    # libvirt always gives the guest a UUID, the launcher never. No firmware measures SMBIOS into a TD.
    assert probe.without_uuid(ours.pop(SMBIOS)) == probe.without_uuid(theirs.pop(SMBIOS))
    assert probe.differences(ours, theirs) == []


@pytest.fixture
def huge_pages(tmp_path):
    """Reserve 1 GiB of 2 MiB pages. Returns a command line that mounts a file system of them and runs its arguments, and the
    folder of that mount. The mount is in a namespace of its own: libvirt looks at all mounts of the host when it starts, and
    another test's libvirt fails if one disappears meanwhile."""
    setting, mount = Path("/proc/sys/vm/nr_hugepages"), tmp_path / "pages"
    before = int(setting.read_text())
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
               f'mount -t hugetlbfs -o pagesize=2M none {mount} && exec "$@"', "sh"]
    mount.mkdir()
    try:
        setting.write_text(str(before + 512))
    except OSError as e:
        pytest.skip(f"huge pages cannot be reserved here: {e}")
    try:
        if int(setting.read_text()) < before + 512:
            pytest.skip("there is no room for 1 GiB of huge pages")
        if subprocess.run([*private, "true"], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("a hugetlbfs cannot be mounted here")
        yield private, mount
    finally:
        setting.write_text(str(before))


def test_a_guest_in_huge_pages_sees_the_launchers_numa_node_and_expander(spawn, image, tmp_path, huge_pages):
    private, mount = huge_pages
    node = spawn(start=False)
    plain = node.command
    node.command = lambda: [*private, *plain()]
    node.start()
    node.post("/images", json={"source": str(image)}).ok()
    cvm, ours = probe.through_teepod(node, vcpu=2, memory=700, hugepages=True, pin_numa=True)
    assert cvm.get()["placement"] == {"hugepages": True, "pin_numa": True, "numa_nodes": [0], "vcpus": 2, "memory_mib": 1024,
                                      "gpu_attach": None}
    config = json.loads((node.dir / "cvms" / cvm.uuid / "shared" / ".sys-config.json").read_text())
    config = json.loads(config["vm_config"])
    assert (config["hugepages"], config["memory_size"], config["cpu_count"]) == (True, 1 << 30, 2)
    args, log = probe.launcher(node.dir / "images" / probe.NAME, tmp_path, 2, 1024, probe.macs(cvm.uuid, 1), pages=mount,
                               kvm=node.get("/node").json["hypervisor"]["kvm"])
    theirs = probe.run(["nsenter", "--mount", "--target", str(node.process.pid), *args], log)
    assert ("acpi", "SRAT") in theirs and any(b"0x1b36 0x000b" in value for value in theirs.values()), "a NUMA node and an expander"
    assert probe.without_uuid(ours.pop(SMBIOS)) == probe.without_uuid(theirs.pop(SMBIOS))
    assert probe.differences(ours, theirs) == []


def test_the_comparison_finds_a_device_that_sits_elsewhere(image, tmp_path):
    """Arguments in another order, or one interface less, make a different machine."""
    def saw(folder, **change):
        (tmp_path / folder).mkdir()
        args, log = probe.launcher(image, tmp_path / folder, 1, 256, probe.macs("x", 2), **change)
        return probe.run(args, log)
    one, two = saw("one"), saw("two", nics=2)
    found = probe.differences(one, two)
    assert "fw_cfg etc/acpi/tables" in found and "acpi DSDT" in found and "pci pci0000:00/0000:00:05.0" in found
    assert "acpi FACP" not in found
