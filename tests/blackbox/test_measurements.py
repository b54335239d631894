# SPDX-License-Identifier: Apache-2.0
"""Measurements of a CVM are known before it starts, and preflight shows the effect of a change.

Here without TDX: the registers say why they are empty, everything else is what the guest gets. What the registers hold is in
tests/unit/registers_test.c and, with TDX faked, in the TDX test bed.
"""

import hashlib
import json
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from node import DEMO, ROOT, refused

sys.path.insert(0, str(ROOT / "tests" / "data"))
import measure_vectors  # noqa: E402

REGISTERS = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]
NO_CVM = "00000000-0000-4000-8000-000000000000"


def check(m):
    """An ordinary VM has no measurement in any register."""
    assert m["tee"] == "none" and m["firmware"] is None and m["lite_variant"] is False
    assert m["mr_owner"] is None and m["mr_owner_config"] is None
    for name in REGISTERS:
        assert m[name] == {"value": None, "reason": "an ordinary VM (tee none) has no such register"}, name
    assert m["mr_config"] == {"version": 0, "id": None, "document": None,
                              "reason": "an ordinary VM (tee none) has no MRCONFIGID"}
    return m


def measurements(cvm):
    return check(cvm.node.get(f"/cvms/{cvm.uuid}/measurements").ok().json)


@pytest.mark.parametrize("image", [DEMO, None])
def test_a_cvm_is_measured_with_the_vm_config_of_its_guest(node, image):
    cvm = node.create(image=image) if image else node.create()
    m = measurements(cvm)
    shared = node.dir / "cvms" / cvm.uuid / "shared"
    assert m["vm_config"] == json.loads((shared / ".sys-config.json").read_text())["vm_config"]
    assert m["compose_hash"] == hashlib.sha256((shared / "app-compose.json").read_bytes()).hexdigest()
    assert m["app_id"] == cvm.app_id
    config = json.loads(m["vm_config"])
    assert config["cpu_count"] == 1 and config["memory_size"] == (160 if image else 64) << 20
    assert config["os_image_hash"] == m["os_image_hash"]


def test_preflight_measures_what_create_then_makes(node):
    fields = node.create_body(vcpu=2, memory=512)
    before = node.post("/preflight", json=fields).ok()["measurements"]
    assert before == measurements(node.create(**fields, stopped=True))


def test_a_resize_is_tried_out(node):
    cvm = node.create(stopped=True, vcpu=1, memory=256, disk_size=1)
    a = cvm.request("preflight", vcpu=2, memory=512, disk_size=2).ok().json
    assert a["fits"] is True and a["restart_needed"] is False
    assert a["changes"] == ["vcpu", "memory", "disk_size"]
    assert a["resources"] == {"present": {"vcpus": 1, "memory_mib": 256, "disk_gib": 1},
                              "after": {"vcpus": 2, "memory_mib": 512, "disk_gib": 2}}
    present, after = check(a["measurements"]["present"]), check(a["measurements"]["after"])
    assert json.loads(after["vm_config"])["cpu_count"] == 2
    assert json.loads(after["vm_config"]) | {"cpu_count": 1, "memory_size": 256 << 20} == json.loads(present["vm_config"])
    assert measurements(cvm) == present, "nothing was changed"


def test_an_upgrade_is_tried_out(node):
    cvm = node.create(stopped=True)
    compose = {"docker_compose_file": "services:\n  other:\n    image: busybox\n", "public_logs": False}
    a = cvm.request("preflight", compose_file=compose).ok().json
    assert a["changes"] == ["compose_file"]
    present, after = a["measurements"]["present"], a["measurements"]["after"]
    assert present["compose_hash"] == cvm.get()["compose_hash"] != after["compose_hash"]
    assert after["app_id"] == cvm.app_id, "an app keeps its id"
    assert after["vm_config"] == present["vm_config"]
    image = cvm.request("preflight", image="teepod-demo").ok().json
    assert image["changes"] == ["image"]
    assert json.loads(image["measurements"]["after"]["vm_config"])["image"] == DEMO


def test_naming_what_is_already_so_changes_nothing(node):
    cvm = node.create(stopped=True, vcpu=1, memory=256)
    a = cvm.request("preflight", vcpu=1, memory=256, image="teepod-boot").ok().json
    assert a["changes"] == [] and a["restart_needed"] is False
    assert a["measurements"]["present"] == a["measurements"]["after"]


def test_a_running_cvm_has_to_restart(node):
    cvm = node.create()
    assert cvm.request("preflight", memory=96).ok()["restart_needed"] is True
    assert cvm.request("preflight", memory=64).ok()["restart_needed"] is False


@pytest.fixture
def tight(spawn):
    return spawn(options={"capacity.vcpus": 4, "capacity.memory_mib": 1024, "capacity.disk_gib": 8, "capacity.slots": 1})


def test_only_the_difference_has_to_fit(tight):
    cvm = tight.create(stopped=True, vcpu=3, memory=768, disk_size=6)
    assert cvm.request("preflight", vcpu=4, memory=1024, disk_size=8).ok()["fits"] is True
    for change, field, code, asked, free in [({"vcpu": 5}, "vcpu", "ERR-02-003", 2, 1),
                                             ({"memory": 1025}, "memory", "ERR-02-004", 257, 256),
                                             ({"disk_size": 9}, "disk_size", "ERR-02-002", 3, 2)]:
        a = cvm.request("preflight", **change).ok().json
        assert a["fits"] is False and "measurements" not in a
        assert a["error"]["error_code"] == code, a
        refusal = {row["field"]: row["value"] for row in a["error"]["details"]}
        assert field in refusal and (refusal["asked"], refusal["free"]) == (asked, free), refusal
    promised = {name: row["promised"] for name, row in tight.capacity().items()}
    assert (promised["vcpus"], promised["memory_mib"], promised["disk_gib"]) == (3, 768, 6)


def test_what_a_stopped_cvm_gave_back_has_to_fit_again(spawn):
    node = spawn(options={"capacity.vcpus": 4, "capacity.release_on_stop": "yes"})
    cvm = node.create(stopped=True, vcpu=2)
    node.create(stopped=False, vcpu=3)
    a = cvm.request("preflight", disk_size=2).ok().json
    assert a["fits"] is False and a["error"]["error_code"] == "ERR-02-003", a


@pytest.mark.parametrize("body, field", [
    ({}, "body"), ({"vcpu": None}, "body"), ({"vcpu": 0}, "vcpu"), ({"vcpu": "2"}, "vcpu"), ({"memory": -1}, "memory"),
    ({"disk_size": 1}, "disk_size"), ({"disk_size": 1 << 25}, "disk_size"), ({"image": "../x"}, "image"), ({"image": ""}, "image"),
    ({"cpu": 2}, "cpu"), ({"compose_file": []}, "compose_file"),
])
def test_a_bad_change_names_its_field(node, body, field):
    cvm = node.create(stopped=True, disk_size=2)
    refused(node.post(f"/cvms/{cvm.uuid}/preflight", json=body), 400, None, field)


@pytest.mark.parametrize("body, code", [
    ({"image": "no-such-image"}, "ERR-02-010"), ({"compose_file": {"docker_compose_file": "nothing: here"}}, "ERR-01-003"),
])
def test_what_is_not_there_or_not_right_is_refused_as_a_create_would(node, body, code):
    cvm = node.create(stopped=True)
    a = node.post(f"/cvms/{cvm.uuid}/preflight", json=body)
    error = a["error"] if a.status == 200 else a.json
    assert error["error_code"] == code, a


@pytest.mark.parametrize("key, value", [("key_provider_id", "xyz"), ("key_provider_id", "abc"), ("init_script", 7),
                                        ("init_script", ["a"] * 6), ("requirements", [])])
def test_what_mrconfigid_is_made_of_is_checked_at_admission(node, key, value):
    manifest = {"manifest_version": 2, "name": "m", "runner": "docker-compose", key: value,
                "docker_compose_file": "services:\n  a:\n    image: busybox\n"}
    refused(node.try_create(compose_file=manifest), 400, "ERR-01-003", f"compose_file.{key}")


def test_no_cvm_no_measurements(node):
    refused(node.get(f"/cvms/{NO_CVM}/measurements"), 404, "ERR-03-001")
    refused(node.post(f"/cvms/{NO_CVM}/preflight", json={"vcpu": 1}), 404, "ERR-03-001")


def test_many_concurrent_requests_are_all_answered(node):
    cvm = node.create(stopped=True)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: measurements(cvm), range(64)))
    assert all(a == answers[0] for a in answers)


def test_the_pe_digest_is_the_one_debian_signed():
    """The reference values of registers_test.c agree with the signature in a real kernel."""
    kernel = (ROOT / "build" / "images" / "teepod-demo-1.0.0" / "bzImage").read_bytes()
    header = struct.unpack_from("<I", kernel, 0x3C)[0]
    at, size = struct.unpack_from("<II", kernel, header + 24 + 112 + 32)
    if not size:
        pytest.skip("this kernel is not signed")
    assert measure_vectors.pe_digest(kernel, hashlib.sha256) in kernel[at:at + size]
