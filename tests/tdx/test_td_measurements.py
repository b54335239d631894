# SPDX-License-Identifier: Apache-2.0
"""What a verifier will see of a TD, with the real firmware and a real kernel: as a second implementation works it out, and as
libvirt gives it to QEMU."""

import base64
import hashlib
import json
import sys
from pathlib import Path

from td_images import TD_BOOT, TD_DEMO

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
import measure_vectors  # noqa: E402
from td import Argv  # noqa: E402

PINNED = {"manifest_version": 2, "name": "pinned", "runner": "docker-compose", "kms_enabled": True, "key_provider_id": "3059" * 20,
          "docker_compose_file": "services:\n  a:\n    image: busybox\n"}


def measured(cvm):
    return cvm.node.get(f"/cvms/{cvm.uuid}/measurements").ok().json


def image_file(node, image, name):
    return (node.dir / "images" / image / name).read_bytes()


def given_mr_config_id(bed, cvm):
    pid, = cvm.pids()
    guest, = Argv(bed.argv(pid)).objects("tdx-guest")
    return base64.b64decode(guest["mrconfigid"]).hex()


def test_registers_are_those_of_a_second_implementation(node):
    m = measured(node.create(image=TD_DEMO, tee="tdx", stopped=True))
    meta = json.loads(image_file(node, TD_DEMO, "metadata.json"))
    kernel, initrd = image_file(node, TD_DEMO, meta["kernel"]), image_file(node, TD_DEMO, meta["initrd"])
    assert m["tee"] == "tdx" and m["firmware"] == "image"
    assert m["mrtd"]["value"] == measure_vectors.mrtd(image_file(node, TD_DEMO, "ovmf.fd"))
    assert m["rtmr1"]["value"] == measure_vectors.rtmr1(kernel)
    # edk2 since it knows shim puts the word first
    assert m["rtmr2"]["value"] == measure_vectors.rtmr2(meta["cmdline"], initrd, True)
    assert m["rtmr0"]["value"] is None and "vm_config" in m["rtmr0"]["reason"]
    assert m["rtmr3"]["value"] is None and "guest" in m["rtmr3"]["reason"]
    assert m["mr_owner"] == m["mr_owner_config"] == "00" * 48


def test_an_image_with_a_boot_loader_of_its_own_has_an_mrtd_only(node):
    m = measured(node.create(image=TD_BOOT, tee="tdx", stopped=True))
    assert m["mrtd"]["value"] == measure_vectors.mrtd(image_file(node, TD_BOOT, "ovmf.fd"))
    for name in ("rtmr1", "rtmr2"):
        assert m[name]["value"] is None and "boot loader" in m[name]["reason"]


def test_the_mrconfigid_shown_is_the_one_given(bed, node):
    body = node.create_body(image=TD_BOOT, tee="tdx")
    before = node.post("/preflight", json=body).ok()["measurements"]
    cvm = node.create(**body)
    m = measured(cvm)
    assert before == m
    assert m["mr_config"]["version"] == 1
    assert m["mr_config"]["id"] == given_mr_config_id(bed, cvm)


def test_a_pinned_key_provider_is_bound_by_a_document_that_the_guest_finds(bed, node):
    body = node.create_body(image=TD_BOOT, tee="tdx", compose_file=PINNED)
    before = node.post("/preflight", json=body).ok()["measurements"]["mr_config"]
    assert before["version"] == 3 and before["id"] is None and "instance id" in before["reason"]
    cvm = node.create(**body, stopped=True)
    shown = measured(cvm)["mr_config"]
    digest = hashlib.sha256(b"dstack-mr-config-v3:\0" + shown["document"].encode()).hexdigest()
    assert shown["id"] == ("03" + digest).ljust(96, "0")
    cvm.do("start")
    assert given_mr_config_id(bed, cvm) == shown["id"], "what was shown before the first start is what was measured"
    shared = node.dir / "cvms" / cvm.uuid / "shared"
    assert json.loads((shared / ".sys-config.json").read_text())["mr_config"] == shown["document"]
    info, document = json.loads((shared / ".instance_info").read_text()), json.loads(shown["document"])
    assert info["instance_id"] == document["instance_id"] and info["app_id"] == document["app_id"]
    cvm.do("restart", force=True)
    assert given_mr_config_id(bed, cvm) == shown["id"] == measured(cvm)["mr_config"]["id"]


def test_owner_registers_are_shown_as_given(node):
    owner = base64.b64encode(b"\xab" * 48).decode()
    m = measured(node.create(image=TD_BOOT, tee="tdx", stopped=True, tdx={"mr_owner": owner}))
    assert m["mr_owner"] == "ab" * 48 and m["mr_owner_config"] == "00" * 48
