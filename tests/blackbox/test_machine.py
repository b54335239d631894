# SPDX-License-Identifier: Apache-2.0
"""The machine of a CVM: TEE, interfaces, volumes and the share with its files; and --print-domain-xml."""

import json
import os
import shutil
import subprocess
import tempfile
import uuid
import xml.etree.ElementTree as tree
from pathlib import Path

import pytest

from button import seal
from node import BOOT, COMPOSE, DEMO, IMAGES, PROGRAM, Node, command_line, refused, until
from test_images import copy  # noqa: F401 (a fixture)
from test_lifecycle import facts

GOOD_MR = "A" * 64
ROOT_HASH = "ab" * 32


def manifest(*volumes):
    return {"manifest_version": 2, "name": "app", "runner": "docker-compose", **COMPOSE,
            "verity_volumes": [{"source": "models.verity", "verity_root": ROOT_HASH, "target": "/models", **v} for v in volumes]}


def capacity(node):
    return {name: row["promised"] for name, row in node.capacity().items()}


# ---------------------------------------------------------------------- confidential or not

@pytest.mark.parametrize("fields, code, field", [
    ({"tee": "tdx"}, "ERR-02-009", "tee"),
    ({"require_tdx": True}, "ERR-02-009", "tee"),
    ({"tee": "none", "require_tdx": True}, "ERR-02-009", "tee"),
    ({"tee": "sev"}, "ERR-02-008", "tee"),
    ({"tdx": {"policy": "0x1"}}, "ERR-02-009", "tdx"),
    ({"tdx": {"policy": "0x3"}}, "ERR-02-008", "tdx.policy"),
    ({"tdx": {"policy": "1"}}, "ERR-02-008", "tdx.policy"),
    ({"tdx": {"mr_owner": "AAAA"}}, "ERR-02-008", "tdx.mr_owner"),
    ({"tdx": {"mr_owner_config": "!" * 64}}, "ERR-02-008", "tdx.mr_owner_config"),
    ({"tdx": {"mr_config_id": GOOD_MR}}, "ERR-02-008", "tdx.mr_config_id"),
])
def test_what_can_not_be_a_td_here_is_refused_and_reserves_nothing(node, fields, code, field):
    before = capacity(node)
    refused(node.try_create(**fields), 400, code, field)
    assert node.uuids() == set() and capacity(node) == before


def test_a_refusal_of_tdx_says_what_is_missing(spawn):
    node = spawn(options={"hypervisor.tee": "auto"})
    body = refused(node.try_create(tee="tdx"), 400, "ERR-02-009", "tee")
    assert "11.10" in str(body) or "does not offer" in str(body)
    assert "--check-host" in str(body["suggestions"])
    ordinary = node.create(stopped=True)
    assert ordinary.get()["tee"] == ordinary.get(25)["tee"] == "none" and ordinary.get()["mode"] == "development"


def test_a_node_for_tds_alone_takes_nothing_less(spawn):
    node = spawn(options={"hypervisor.tee": "tdx"})
    refused(node.try_create(tee="none"), 400, "ERR-02-009", "tee")
    refused(node.try_create(), 400, "ERR-02-009", "tee")
    assert node.uuids() == set()


@pytest.fixture
def production(copy):  # noqa: F811
    folder = copy("prod-boot-1.0.0")
    meta = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps({**meta, "is_dev": False}))
    seal(folder)
    return folder


def test_a_production_image_runs_without_tee_only_where_the_operator_says_so(spawn, production):
    node = spawn(options={"cvm.prod_without_tee": "yes"})
    node.post("/images", json={"source": str(production)}).ok()
    cvm = node.create(image=production.name)
    assert cvm.get()["tee"] == "none"
    cvm.do("stop")
    node.options["cvm.prod_without_tee"] = "no"
    node.restart()
    body = refused(node.try_create(image=production.name), 400, "ERR-02-013", "image", production.name)
    assert "cvm.prod_without_tee" in str(body["suggestions"])
    for verb in ("start", "restart"):
        refused(node.cvm(cvm.uuid).request(verb), 400, "ERR-02-013", "image")
    assert node.cvm(cvm.uuid).status == "stopped"
    answer = node.post("/preflight", json=node.create_body(image=production.name)).ok().json
    assert answer["fits"] is False and answer["error"]["error_code"] == "ERR-02-013"


# ---------------------------------------------------------------------- interfaces

@pytest.mark.parametrize("networks, code, field", [
    ([], "ERR-02-008", "networks"),
    ([{"mode": "macvtap"}], "ERR-02-008", "networks[0].mode"),
    ([{"mode": "bridge"}], "ERR-02-008", "networks[0].bridge_name"),
    ([{"mode": "user", "bridge_name": "br0"}], "ERR-02-008", "networks[0].bridge_name"),
    ([{}, {"mode": "bridge", "bridge_name": "br0"}], "ERR-02-008", "networks[1].bridge_name"),
    ([{"mode": "bridge", "bridge_name": "../etc"}], "ERR-02-008", "networks"),
    ([{}] * 9, "ERR-02-008", "networks"),
])
def test_interfaces_that_can_not_be_are_refused(node, networks, code, field):
    refused(node.try_create(networks=networks), 400, code, field)
    assert node.uuids() == set()


@pytest.fixture
def bridge():
    name = f"tp{os.getpid()}"
    if subprocess.run(["ip", "link", "add", name, "type", "bridge"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no bridge can be made here")
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


def test_an_interface_on_a_bridge_beside_one_with_forwarded_ports(spawn, bridge):
    node = spawn(options={"cvm.bridges": f"br-other {bridge}"})
    refused(node.try_create(networks=[{"mode": "bridge", "bridge_name": "br-other"}]), 400, "ERR-02-009", "networks[0].bridge_name", "br-other")
    alone = [{"mode": "bridge", "bridge_name": bridge}]
    refused(node.try_create(networks=alone, ports=[{"vm_port": 80}]), 400, "ERR-02-009", "ports")
    cvm = node.create(networks=alone + [{"mode": "user"}],
                      ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    assert len(list(Path(f"/sys/class/net/{bridge}/brif").iterdir())) == 1
    line = " ".join(command_line(cvm.pids()[0]))
    assert line.count("virtio-net-pci") == 2
    assert ("tcp", *cvm.ports()[0][1:3]) in bound(cvm.pids()[0])
    cvm.delete()
    assert not list(Path(f"/sys/class/net/{bridge}/brif").iterdir())


def bound(pid):
    from node import sockets_of

    return sockets_of(pid)


def test_the_nodes_own_networks_are_the_default(spawn):
    node = spawn(options={"cvm.networks": "user, user"})
    cvm = node.create()
    assert " ".join(command_line(cvm.pids()[0])).count("virtio-net-pci") == 2
    config = json.loads((node.dir / "cvms" / cvm.uuid / "shared" / ".sys-config.json").read_text())
    assert json.loads(config["vm_config"])["num_nics"] == 2


# ---------------------------------------------------------------------- volumes

@pytest.mark.parametrize("volume, field", [
    ({"source": "../../etc/passwd"}, "source"),
    ({"source": "absent.verity"}, "source"),
    ({"source": "folder"}, "source"),
    ({"source": "link"}, "source"),
    ({"source": "a,b"}, "source"),
    ({"source": ""}, "source"),
    ({"source": 7}, "source"),
    ({"verity_root": "ab"}, "verity_root"),
    ({"verity_root": "zz" * 32}, "verity_root"),
    ({"target": "models"}, "target"),
])
def test_a_volume_that_is_none_is_refused_by_name(spawn_volumes, volume, field):
    node = spawn_volumes
    refused(node.try_create(compose_file=manifest(volume)), 400, "ERR-02-008", f"compose_file.verity_volumes[0].{field}")
    refused(node.try_create(compose_file=manifest({}, volume)), 400, "ERR-02-008", f"compose_file.verity_volumes[1].{field}")
    assert node.uuids() == set()


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    (folder / "models.verity").write_bytes(b"\0" * (1 << 20))
    (folder / "other.verity").write_bytes(b"\0" * (1 << 20))
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    return folder


@pytest.fixture(scope="module")
def spawn_volumes(volumes):
    from node import Node

    node = Node(options={"cvm.volumes_dir": volumes})
    try:
        yield node.start()
    finally:
        node.close()


def test_volumes_are_attached_read_only_and_one_root_once(spawn_volumes, volumes):
    node = spawn_volumes
    cvm = node.create(compose_file=manifest({}, {"target": "/again"}, {"source": "other.verity", "verity_root": "cd" * 32}))
    line = " ".join(command_line(cvm.pids()[0]))
    assert line.count(str(volumes / "models.verity")) == 1 and line.count(str(volumes / "other.verity")) == 1
    config = json.loads((node.dir / "cvms" / cvm.uuid / "shared" / ".sys-config.json").read_text())
    assert json.loads(config["vm_config"])["num_verity_volumes"] == 2
    cvm.delete()
    assert (volumes / "models.verity").exists()


def test_a_node_without_volumes_says_so(node):
    body = refused(node.try_create(compose_file=manifest({})), 400, "ERR-02-009", "compose_file.verity_volumes")
    assert "cvm.volumes_dir" in str(body["suggestions"])


def test_a_volume_that_vanished_fails_the_start_with_its_name(spawn_volumes, volumes):
    node = spawn_volumes
    (volumes / "gone.verity").write_bytes(b"\0" * 4096)
    cvm = node.create(compose_file=manifest({"source": "gone.verity"}))
    cvm.do("stop")
    (volumes / "gone.verity").unlink()
    operation = node.post(f"/cvms/{cvm.uuid}/start").ok().json
    node.settled(cvm.uuid)
    failed = cvm.operations()[0]
    assert failed["state"] == "failed" and "gone.verity" in str(failed["error"]), operation
    cvm.delete()


# ---------------------------------------------------------------------- the share as a disk

def test_a_guest_reads_its_files_from_a_fat_disk(spawn):
    node = spawn(options={"guest.share_mode": "vhd"})
    cvm = node.create(image=DEMO, memory=256, user_config="hello", ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    seen = facts(cvm.ports()[0][2])
    assert seen["app_id"] == cvm.app_id
    assert [disk["mib"] for disk in seen["disks"]] == [1024, 128]
    image = node.dir / "cvms" / cvm.uuid / "shared.img"
    listing = subprocess.run(["mdir", "-b", "-a", "-i", image, "::/"], capture_output=True, text=True, check=True).stdout
    assert {"::/app-compose.json", "::/.sys-config.json", "::/.user-config", "::/.instance_info"} == set(listing.split())
    config = json.loads((node.dir / "cvms" / cvm.uuid / "shared" / ".sys-config.json").read_text())
    assert json.loads(config["vm_config"])["host_share_mode"] == "vhd"
    small = node.create()
    image = node.dir / "cvms" / small.uuid / "shared.img"
    before = os.stat(image).st_ino
    small.do("restart", force=True)
    small.becomes("running")
    assert os.stat(image).st_ino != before and not image.with_suffix(".img.tmp").exists()


def test_links_in_a_share_do_not_reach_the_disk(spawn):
    node = spawn(options={"guest.share_mode": "vhd"})
    cvm = node.create()
    cvm.do("stop")
    shared = node.dir / "cvms" / cvm.uuid / "shared"
    (shared / "leak").symlink_to("/etc/passwd")
    (shared / "folder").mkdir()
    cvm.do("start")
    cvm.becomes("running")
    listing = subprocess.run(["mdir", "-b", "-a", "-i", shared.parent / "shared.img", "::/"], capture_output=True, text=True, check=True).stdout
    assert "leak" not in listing and "folder" not in listing and "app-compose.json" in listing


# ---------------------------------------------------------------------- --print-domain-xml

# This folder does not exist.
DEV = f"/tmp/tp-none-{os.getpid()}"


def printed(tmp_path, body, *more):
    spec = tmp_path / "spec.json"
    spec.write_text(body if isinstance(body, str) else json.dumps(body))
    return subprocess.run([PROGRAM, "--dev", DEV, *more, "--print-domain-xml", spec], capture_output=True, text=True, timeout=30)


SPEC = {"name": "hello", "image": "teepod-demo", "vcpu": 2, "memory": 2048, "disk_size": 10, "tee": "tdx",
        "ports": [{"protocol": "tcp", "host_port": 8080, "vm_port": 80}], "compose_file": COMPOSE}


def test_the_domain_of_a_td_is_printed_on_any_host_and_nothing_is_made(tmp_path):
    done = printed(tmp_path, SPEC)
    assert (done.returncode, done.stderr) == (0, "")
    root = tree.fromstring(done.stdout)
    assert root.get("type") == "kvm" and root.find("launchSecurity").get("type") == "tdx"
    assert root.findtext("launchSecurity/policy") == "0x10000000"
    assert root.findtext("os/loader") == "/usr/share/ovmf/OVMF.inteltdx.ms.fd"
    assert uuid.UUID(root.findtext("uuid")).version == 4
    assert not os.path.exists(DEV)
    assert printed(tmp_path, SPEC).stdout == done.stdout
    assert printed(tmp_path, {**SPEC, "vcpu": 3}).stdout != done.stdout


def test_an_ordinary_domain_and_one_with_everything(tmp_path):
    assert tree.fromstring(printed(tmp_path, {**SPEC, "tee": "none"}).stdout).find("launchSecurity") is None
    assert tree.fromstring(printed(tmp_path, {k: v for k, v in SPEC.items() if k != "tee"}).stdout).find("launchSecurity") is None
    full = printed(tmp_path, {**SPEC, "networks": [{}, {}], "tdx": {"policy": "0x10000001", "mr_owner": GOOD_MR}},
                   "-o", "hypervisor.qgs_port=4050", "-o", "guest.share_mode=vhd")
    root = tree.fromstring(full.stdout)
    assert len(root.findall("devices/interface")) == 2 and root.findtext("launchSecurity/mrOwner") == GOOD_MR
    assert '"port":"4050"' in full.stdout.replace("&quot;", '"')


@pytest.mark.parametrize("body, text", [
    ("{", "JSON"),
    ({**SPEC, "vcpu": 0}, "vcpu"),
    ({**SPEC, "memroy": 5}, "memroy"),
    ({**SPEC, "image": "absent"}, "absent"),
    ({**SPEC, "image": "../../etc"}, "image"),
    ({**SPEC, "tdx": {"policy": "0x2"}}, "tdx.policy"),
    ({**SPEC, "tee": "none", "tdx": {"policy": "0x1"}}, "tdx"),
    ({k: v for k, v in SPEC.items() if k != "compose_file"}, "compose_file"),
])
def test_a_bad_spec_is_refused_in_one_line(tmp_path, body, text):
    done = printed(tmp_path, body)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert text in done.stderr and str(tmp_path / "spec.json") in done.stderr


def test_a_spec_that_is_not_there(tmp_path):
    done = subprocess.run([PROGRAM, "--dev", DEV, "--print-domain-xml", tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode == 1 and "none" in done.stderr


# ---------------------------------------------------------------------- what a guest can write

def test_libvirt_does_not_read_the_properties_of_a_cpu_one_by_one(spawn):
    """It does if QEMU has this flag, some 400 commands at each start; it notes the flags that it goes by."""
    node = spawn()
    cvm = node.create()
    flags = {flag.get("name") for flag in tree.parse(node.embed / "run" / "qemu" / f"teepod-{cvm.uuid}.xml").iter("flag")}
    assert flags and "cpu-unavailable-features" not in flags


def test_no_guest_can_write_through_its_shared_folder(spawn, tmp_path):
    """Not even when its image asks for it: the database and all other disks are on the same file system."""
    shutil.copytree(IMAGES, tmp_path / "given")
    metadata = tmp_path / "given" / BOOT / "metadata.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "shared_ro": False}))
    seal(metadata.parent)
    node = spawn(environment={"TEEPOD_IMAGES": str(tmp_path / "given")})
    cvm = node.create()
    line = command_line(cvm.pids()[0])
    share = line[line.index("-fsdev") + 1].split(",")
    assert f"path={node.dir}/cvms/{cvm.uuid}/shared" in share
    assert "readonly" in share or "readonly=on" in share, share
    # Only the data disk is writable, and its size is limited.
    formats = [json.loads(arg) for arg in line if arg.startswith("{") and "-format" in json.loads(arg).get("node-name", "")]
    assert sorted((f["driver"], f["read-only"]) for f in formats) == [("qcow2", False), ("raw", True)]


# ---------------------------------------------------------------------- why a start failed

FAILING_QEMU = """#!/bin/sh
# A QEMU that prints the content of a file and ends, if the file exists and it is started for a guest. It lives until
# libvirt connects to its monitor, as QEMU does: otherwise libvirt does not quote its output.
case "$*" in *guest=teepod-*) [ -e {said} ] && {{ sleep 0.5; cat {said} >&2; exit 1; }} ;; esac
exec /usr/bin/qemu-system-x86_64 "$@"
"""
CAUSE = "qemu-system-x86_64: -device vfio-pci,host=0000:18:00.0: vfio 0000:18:00.0: group 7 is not viable"
NOTICES = {"a warning": "qemu-system-x86_64: warning: host doesn't support requested feature: CPUID.01H:ECX.x2apic [bit 21]",
           "a redirection": "qemu-system-x86_64: -chardev pty,id=com0: char device redirected to /dev/pts/1 (label com0)",
           "an information": "qemu-system-x86_64: info: TDX is not in use",
           "the signal after it": "qemu-system-x86_64: terminating on signal 15 from pid 1 (libvirtd)",
           "advice": "Please ensure all devices within the iommu_group are bound to their vfio bus driver."}


@pytest.fixture(scope="module")
def failing():
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    script, said = folder / "qemu-system-x86_64", folder / "said"
    script.write_text(FAILING_QEMU.format(said=said))
    script.chmod(0o755)
    folder.chmod(0o755)
    node = Node(options={"hypervisor.emulator": script})
    try:
        yield node.start(), said
    finally:
        node.close()
        shutil.rmtree(folder)


def why_it_failed(failing, lines):
    node, said = failing
    said.write_text("".join(line + "\n" for line in lines))
    answer = node.try_create().ok()
    node.settled(answer["vm_uuid"])
    op = next(op for op in node.get("/operations?page_size=100").ok().json["items"] if op["cvm"]["vm_uuid"] == answer["vm_uuid"])
    node.delete_all()
    return op["error"].get("message") or op["error"]["detail"]


@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_of_qemu_is_not_the_cause_of_a_failed_start(failing, name):
    for lines in ([NOTICES[name], CAUSE], [CAUSE, NOTICES[name]], [NOTICES["a warning"], CAUSE, NOTICES[name], ""]):
        if name == "advice" and lines[0] != CAUSE:
            continue    # it follows what it is about
        text = why_it_failed(failing, lines)
        assert text.endswith(CAUSE), (lines, text)


def test_a_qemu_that_says_nothing_but_notices_gives_no_cause(failing):
    text = why_it_failed(failing, [NOTICES["a warning"], NOTICES["a redirection"]])
    assert "warning" not in text and "redirected" not in text and "monitor" in text, text
