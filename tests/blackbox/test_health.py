# SPDX-License-Identifier: Apache-2.0
"""Health, readiness, metrics, GET /node and request ids."""

import re
import shutil
import subprocess
import uuid

import pytest

import qemu_capabilities

LINE = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="(\\.|[^"\\])*",?)*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)$')


def test_health_and_readiness_are_open_and_say_so(node):
    for path in ("/healthz", "/readyz"):
        answer = node.api("GET", path, prefix="", key=None)
        assert answer.status == 200, answer
        assert node.api("HEAD", path, prefix="", key=None).status in (200, 405)


def test_a_first_start_probes_no_other_qemu_than_that_of_its_guests(spawn, monkeypatch):
    """A node is ready when libvirt has probed. The probe of each QEMU takes about a second, half of it fixed delays in libvirt."""
    monkeypatch.setattr(qemu_capabilities, "lend", lambda cache: None)
    node = spawn()
    if node.hypervisor:
        pytest.skip("a libvirtd has probed before the node starts")
    node.create()
    probed = [re.search("<emulator>(.*)</emulator>", path.read_text())[1] for path in node.embed.glob("cache/qemu/capabilities/*.xml")]
    assert len(probed) == 1 and probed[0].endswith("qemu-system-x86_64"), probed
    told = subprocess.run([probed[0], "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    assert node.get("/node")["hypervisor"]["qemu"] == told


def test_a_qemu_that_prints_something_before_its_version_is_accepted(spawn, tmp_path):
    """Then libvirt is asked for the version, which probes the default QEMUs, too."""
    qemu, wrapper = shutil.which("qemu-system-x86_64"), tmp_path / "qemu-system-x86_64"
    wrapper.write_text(f'#!/bin/sh\n[ "$*" != --version ] || echo "This is a wrapper."\nexec {qemu} "$@"\n')
    wrapper.chmod(0o755)
    node = spawn(options={"hypervisor.emulator": wrapper})
    told = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    assert node.get("/node")["hypervisor"]["qemu"] == told


def test_metrics_are_well_formed_and_count_what_happens(node):
    def read():
        text = node.api("GET", "/metrics", prefix="").ok().text
        for line in text.splitlines():
            assert line.startswith("#") or LINE.match(line), line
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}
    before = read()
    assert len(before) > 10
    node.create()
    after = read()
    grown = [name for name in after if after[name] > before.get(name, 0)]
    assert any("operation" in name for name in grown), grown
    assert any("vcpu" in name for name in grown), grown


def test_the_node_shows_its_mode_and_versions(node):
    body = node.get("/node").ok().json
    assert body["mode"] == "development" and body["name"] == "alpha"
    text = str(body)
    assert "libvirt" in text and "qemu" in text
    assert {row["resource"] for row in body["capacity"]} >= {"vcpus", "memory_mib", "disk_gib", "slots", "cids", "host_ports"}


def test_a_request_insisting_on_tdx_is_refused_with_the_reason(node):
    answer = node.try_create(stopped=True, require_tdx=True)
    assert answer.status in (400, 501) and "tdx" in answer.text.lower(), answer
    assert node.uuids() == set()


def test_every_answer_carries_a_request_id_the_clients_own_if_it_is_decent(node):
    own = str(uuid.uuid4())
    assert node.get("/node", headers={"X-Request-Id": own}).headers["x-request-id"] == own
    made = node.get("/node").headers["x-request-id"]
    assert made and made != own
    bad = node.get("/cvms/none", headers={"X-Request-Id": "a b\tc;<script>" + "x" * 500})
    assert "<script>" not in bad.headers["x-request-id"]
    assert bad["request_id"] == bad.headers["x-request-id"]


def test_both_versions_of_a_cvm_have_the_types_clients_check(node):
    cvm = node.create(stopped=True)
    old, new = cvm.get(25), cvm.get(26)
    assert isinstance(old["id"], int) and isinstance(new["id"], str)
    assert old["vcpu"] == new["resource"]["vcpu"] == 1 and isinstance(old["memory"], int)
    assert "?" in old["syslog_endpoint"]
    for key in ("public_logs", "public_sysinfo", "listed"):
        assert isinstance(new[key], bool)
    assert new["node_info"]["object_type"] == "node" and new["kms_type"] == "phala"


def test_a_log_link_opens_one_log_without_a_key_and_nothing_else(node):
    first, second = node.create(stopped=True), node.create(stopped=True)
    link = first.get(25)["syslog_endpoint"]
    path = link[link.index("/api/v1"):]
    assert node.api("GET", path + "&ch=serial", prefix="", key=None).status == 200
    assert node.api("GET", path.replace(first.uuid, second.uuid) + "&ch=serial", prefix="", key=None).status == 401
    assert node.api("GET", path[:-1] + ("0" if path[-1] != "0" else "1") + "&ch=serial", prefix="", key=None).status == 401


def test_lists_page_through_everything_once(node):
    made = {node.create(stopped=True).name for _ in range(7)}
    seen = []
    for page in (1, 2, 3, 4):
        body = node.get(f"/apps?page={page}&page_size=2").ok().json
        assert body["total"] == 7 and body["page"] == page
        seen += [row["name"] for row in body["dstack_apps"]]
    assert sorted(seen) == sorted(made)
    assert [row["name"] for row in node.get(f"/apps?search={sorted(made)[0]}").ok().json["dstack_apps"]] == [sorted(made)[0]]
