# SPDX-License-Identifier: Apache-2.0
"""GPUs, hugepages and NUMA nodes: assigned exclusively, reported as assigned, and refused with advice. The host is a tree of files."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

import openapi
from host_tree import GPUS, SWITCHES, HostTree
from node import Node, assert_consistent, refused, until
from test_workspaces import add_key

ANY = {"product_id": "10de:2335"}


@pytest.fixture
def tree(tmp_path):
    return HostTree(tmp_path / "host")


@pytest.fixture(scope="module")
def host_node(tmp_path_factory):
    tree = HostTree(tmp_path_factory.mktemp("module") / "host")
    node = Node(options={"host.root": tree.root, "gpu.enabled": "yes"})
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture
def big(host_node):
    """A shared node on such a host. The devices do not exist, so CVMs here stay stopped."""
    yield host_node
    host_node.delete_all()
    assert_consistent(host_node)
    rows_untouched(host_node)


@pytest.fixture
def own(spawn, tree):
    """A node and host of its own, for a test that changes the host."""
    return spawn(options={"host.root": tree.root, "gpu.enabled": "yes"})


def gpus(*entries, **more):
    return {"gpus": {"gpus": [{"slot": e} if isinstance(e, str) else e for e in entries], **more}}


def devices(node, **by):
    answer = node.get("/devices").ok()
    openapi.check("GET", "/api/v1/devices", 200, answer.headers["content-type"], answer.body)
    return [d for d in answer.json["items"] if all(d[k] == v for k, v in by.items())]


def details(body):
    return {row["field"]: row["value"] for row in body["details"]}


def rows_untouched(node):
    assert node.uuids() == set()
    assert node.rows("select count(*) from devices where cvm is not null") == [(0,)]
    assert node.rows("select sum(hugepages_promised) from numa_nodes") == [(0,)]
    assert node.rows("select sum(promised) from capacity") == [(0,)]


def hugepages(node):
    return {row["numa_node"]: row for row in node.get("/node").ok().json["capacity"] if row["resource"] == "hugepages_mib"}


# ------------------------------------------------------------------ what there is


def test_the_devices_of_the_host_are_listed(big):
    assert [d["address"] for d in devices(big, kind="gpu")] == GPUS
    assert [d["address"] for d in devices(big, kind="nvswitch")] == SWITCHES
    assert all(d["state"] == "free" and d["offered"] and d["driver"] == "vfio-pci" and d["vm_uuid"] is None for d in devices(big))
    assert [d["numa_node"] for d in devices(big, kind="gpu")] == [0] * 4 + [1] * 4
    assert big.capacity()["gpus"] == {"resource": "gpus", "total": 8, "promised": 0, "free": 8}
    assert hugepages(big)[1] == {"resource": "hugepages_mib", "numa_node": 1, "page_kib": 1048576,
                                 "total": 8192, "promised": 0, "free": 8192}


def test_without_gpu_enabled_nothing_is_offered(spawn, tree):
    node = spawn(options={"host.root": tree.root})
    assert len(devices(node, offered=False)) == 12
    body = refused(node.try_create(stopped=True, **gpus(ANY)), 400, "ERR-02-006", "gpus")
    assert "gpu.enabled" in body["suggestions"][0]
    rows_untouched(node)


def test_reload_offers_more_or_less(spawn, tree):
    node = spawn(start=False)
    config = node.dir / "teepod.conf"
    config.write_text(f"[host]\nroot = {tree.root}\n[gpu]\nenabled = yes\nexclude = 18:00.0\n")
    node.arguments = ["--config", str(config)]
    node.start()
    until("seven are offered", lambda: len(devices(node, kind="gpu", offered=True)) == 7)
    config.write_text(f"[host]\nroot = {tree.root}\n[gpu]\nenabled = yes\ninclude = 18:00.0, 2A:00.0\n")
    os.kill(node.process.pid, signal.SIGHUP)
    until("two are offered", lambda: [d["address"] for d in devices(node, kind="gpu", offered=True)] == GPUS[:2])


# ------------------------------------------------------------------ giving and taking


def test_a_cvm_keeps_its_gpus_until_it_is_deleted(big):
    cvm = big.create(stopped=True, **gpus("ab:00.0", ANY))
    for version, count in ((26, lambda b: b["resource"]["gpus"]), (25, lambda b: b["machine_info"]["gpu_count"])):
        body = cvm.get(version=version)
        assert count(body) == 2
        assert [d["address"] for d in body["devices"]] == ["0000:18:00.0", "0000:ab:00.0"]
        assert body["placement"]["gpu_attach"] == "listed"
        openapi.validate("GET", "/api/v1/cvms/{id}", 200, body)
    held = devices(big, state="reserved")
    assert [(d["address"], d["vm_uuid"]) for d in held] == [("0000:18:00.0", cvm.uuid), ("0000:ab:00.0", cvm.uuid)]
    assert big.capacity()["gpus"]["promised"] == 2
    big.restart()
    assert devices(big, state="reserved") == held
    assert_consistent(big)
    cvm.delete()
    assert len(devices(big, state="free")) == 12
    rows_untouched(big)


def test_all_takes_the_nvswitches_and_needs_every_gpu(big):
    one = big.create(stopped=True, **gpus(ANY))
    body = refused(big.try_create(stopped=True, gpus={"attach_mode": "all"}), 400, "ERR-02-007", "gpus")
    assert (details(body)["asked"], details(body)["free"], details(body)["total"]) == (8, 7, 8)
    one.delete()
    cvm = big.create(stopped=True, gpus={"attach_mode": "all"})
    assert len(cvm.get()["devices"]) == 12 and cvm.get()["resource"]["gpus"] == 8
    assert devices(big, state="free") == []
    cvm.delete()


def test_provision_reserves_nothing_and_commit_does(big):
    body = big.create_body(stopped=None, hugepages=True, memory=700, pin_numa=True, **gpus("9a:00.0"))
    made = big.post("/cvms/provision", json=body).ok().json
    rows_untouched(big)
    cvm = big.cvm(big.post("/cvms", json={"app_id": made["app_id"], "compose_hash": made["compose_hash"],
                                          "stopped": True}).ok().json["vm_uuid"])
    found = cvm.get()
    assert [d["address"] for d in found["devices"]] == ["0000:9a:00.0"]
    assert found["placement"] == {"hugepages": True, "pin_numa": True, "numa_nodes": [1], "vcpus": 1, "memory_mib": 1024,
                                  "gpu_attach": "listed"}
    assert found["resource"]["memory_in_gb"] == pytest.approx(700 / 1024)


def test_of_two_that_race_for_the_last_gpu_one_wins(big):
    big.create(stopped=True, **gpus(*GPUS[:7]))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: big.try_create(stopped=True, name=f"racer-{n}", **gpus(ANY)), range(8)))
    assert sorted(a.status for a in answers) == [200] + [400] * 7
    for a in answers:
        if a.status == 400:
            body = refused(a, 400, "ERR-02-007", "gpus")
            assert (details(body)["asked"], details(body)["free"], details(body)["total"]) == (1, 0, 8)
    assert big.capacity()["gpus"]["promised"] == 8
    assert len(big.uuids()) == 2
    assert_consistent(big)


def test_a_gpu_that_comes_is_found_before_its_request_is_refused(own, tree):
    refused(own.try_create(stopped=True, **gpus("e0:00.0")), 400, "ERR-02-006", "gpus.gpus[0].slot", "e0:00.0")
    tree.device("0000:e0:00.0", "0x030200", "0x2335", 1, 30)
    assert own.post("/preflight", json=own.create_body(**gpus("e0:00.0"))).ok()["fits"] is True
    own.create(stopped=True, **gpus("e0:00.0"))


def test_a_held_gpu_that_goes_is_broken_and_its_cvm_does_not_start_with_less(own, tree):
    cvm = own.create(stopped=True, **gpus("18:00.0"))
    tree.remove("0000:18:00.0")
    refused(own.try_create(stopped=True, **gpus("18:00.0")), 400, "ERR-02-006")
    gone, = devices(own, state="broken")
    assert gone["vm_uuid"] == cvm.uuid and "no longer on the PCI bus" in gone["reason"]
    cvm.delete()
    refused(own.try_create(stopped=True, **gpus("18:00.0")), 400, "ERR-02-006", "gpus.gpus[0].slot", "18:00.0")
    assert devices(own, address="0000:18:00.0") == []


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("fields, status, code, field", [
    (gpus("99:00.0"), 400, "ERR-02-006", "gpus.gpus[0].slot"),
    (gpus("05:00.0"), 400, "ERR-02-006", "gpus.gpus[0].slot"),
    (gpus("18:00.0", "0000:18:00.0"), 400, "ERR-02-006", "gpus.gpus[1].slot"),
    (gpus({"slot": "18:00.0", "product_id": "10de:2330"}), 400, "ERR-02-006", "gpus.gpus[0].product_id"),
    (gpus({"product_id": "10de:2330"}), 400, "ERR-02-006", "gpus.gpus[0].product_id"),
    (gpus(*[ANY] * 9), 400, "ERR-02-007", "gpus"),
    (gpus("gpu0"), 400, "ERR-02-008", "gpus.gpus[0].slot"),
    (gpus({}), 400, "ERR-02-008", "gpus.gpus[0].slot"),
    (gpus("18:00.0", attach_mode="all"), 400, "ERR-02-009", "gpus.gpus"),
    (gpus(attach_mode="some"), 400, "ERR-02-008", "gpus.attach_mode"),
    (gpus(ANY, count=1), 400, "ERR-02-008", "gpus.count"),
    ({"hugepages": "yes"}, 400, "ERR-02-008", "hugepages"),
])
def test_what_can_not_be_given_is_named(big, fields, status, code, field):
    refused(big.try_create(stopped=True, **fields), status, code, field)
    rows_untouched(big)


def test_a_gpu_that_the_host_uses_has_an_error_of_its_own(own, tree):
    tree.bind("0000:18:00.0", "nvidia")
    refused(own.try_create(stopped=True, **gpus(*GPUS)), 409, "ERR-02-016", "gpus.gpus[0].slot")
    body = refused(own.try_create(stopped=True, **gpus(*[ANY] * 8)), 409, "ERR-02-016", "gpus.gpus[0].product_id")
    assert "nvidia" in body["message"]
    refused(own.try_create(stopped=True, gpus={"attach_mode": "all"}), 409, "ERR-02-016", "gpus.attach_mode")
    busy, = devices(own, state="in_use")
    assert busy["driver"] == "nvidia" and busy["vm_uuid"] is None
    own.create(stopped=True, **gpus(*[ANY] * 7))
    tree.bind("0000:18:00.0", "vfio-pci")
    own.create(stopped=True, **gpus(ANY))


def test_the_operator_may_forbid_all(spawn, tree):
    node = spawn(options={"host.root": tree.root, "gpu.enabled": "yes", "gpu.allow_attach_all": "no"})
    refused(node.try_create(stopped=True, gpus={"attach_mode": "all"}), 400, "ERR-02-006", "gpus.attach_mode", "all")


def test_another_workspace_does_not_see_who_holds_a_gpu(big):
    cvm = big.create(stopped=True, **gpus("18:00.0"))
    key = add_key(big, "elsewhere", "stranger", "tenant")
    answer = big.post("/cvms", json=big.create_body(stopped=True, **gpus("18:00.0")), key=key)
    refused(answer, 400, "ERR-02-006", "gpus.gpus[0].slot")
    listed = big.get("/devices", key=key).ok()
    assert [d["state"] for d in listed.json["items"] if d["address"] == "0000:18:00.0"] == ["reserved"]
    for text in (answer.text, listed.text):
        assert cvm.uuid not in text and cvm.name not in text


# ------------------------------------------------------------------ hugepages


def test_hugepages_are_given_in_whole_gib_of_each_node_and_reported_as_given(big):
    cvm = big.create(stopped=True, hugepages=True, vcpu=3, memory=1500, **gpus("18:00.0", "9a:00.0"))
    assert cvm.get()["placement"] == {"hugepages": True, "pin_numa": False, "numa_nodes": [0, 1], "vcpus": 4,
                                      "memory_mib": 2048, "gpu_attach": "listed"}
    assert [hugepages(big)[n]["promised"] for n in (0, 1)] == [1024, 1024]
    assert big.capacity()["vcpus"]["promised"] == 4
    assert big.capacity()["memory_mib"]["promised"] == 0, "hugepages are not taken from ordinary memory"
    assert_consistent(big)
    fit = big.post("/preflight", json=big.create_body(hugepages=True, memory=1500, vcpu=3, **gpus("2a:00.0", "ab:00.0"))).ok().json
    assert fit["resources"] == {"vcpus": 4, "memory_mib": 2048, "disk_gib": 1, "gpus": 2}
    assert fit["placement"]["numa_nodes"] == [0, 1]
    cvm.delete()
    rows_untouched(big)


def test_hugepages_short_on_the_node_are_refused_with_the_numbers_of_each_candidate(own, tree):
    body = refused(own.try_create(stopped=True, hugepages=True, memory=9000), 400, "ERR-02-004", "memory")
    found = details(body)
    assert (found["asked"], found["free"], found["total"], found["numa_node"]) == (9216, 8192, 8192, 0)
    assert "NUMA node 0, free 8192 of 8192 MiB; node 1: free 8192 of 8192 MiB" in body["message"]
    assert body["suggestions"] == ["8192 MiB would fit now"]
    tree.pages(1, 8, free=3)
    body = refused(own.try_create(stopped=True, hugepages=True, memory=4096, **gpus("9a:00.0")), 400, "ERR-02-004", "memory")
    assert (details(body)["numa_node"], details(body)["free"]) == (1, 3072)
    rows_untouched(own)
    tree.pages(1, 8, free=8)
    own.create(stopped=True, hugepages=True, memory=4096, **gpus("9a:00.0"))


def test_release_on_stop_gives_hugepages_back_and_keeps_gpus(spawn, tree):
    node = spawn(options={"host.root": tree.root, "gpu.enabled": "yes", "capacity.release_on_stop": "yes"})
    cvm = node.create(stopped=True, hugepages=True, memory=4096, **gpus("18:00.0"))
    assert hugepages(node)[0]["promised"] == 0
    assert [d["vm_uuid"] for d in devices(node, state="reserved")] == [cvm.uuid]
    assert_consistent(node)
    tree.pages(0, 8, free=3)    # another program took them
    body = refused(cvm.request("start"), 400, "ERR-02-004", "memory")
    assert details(body)["numa_node"] == 0
    assert_consistent(node)


def test_pinned_cvms_are_bound_to_a_node(big):
    cvm = big.create(stopped=True, pin_numa=True)
    assert cvm.get()["placement"]["numa_nodes"] == [0]
    assert big.create(stopped=True).get()["placement"]["numa_nodes"] == []


def test_a_host_without_numa_nodes_reports_that_and_runs_other_cvms(spawn, tmp_path):
    node = spawn(options={"host.root": tmp_path / "nothing"})
    refused(node.try_create(stopped=True, hugepages=True), 503)
    node.create(stopped=True)


# ------------------------------------------------------------------ TDX key ids


def test_the_number_of_key_ids_is_the_hosts(spawn, tree):
    tree.put("/sys/fs/cgroup/misc.capacity", "tdx 15")
    node = spawn(options={"host.root": tree.root})
    until("the host was read", lambda: node.capacity()["tdx_keyids"]["total"] == 15)


def test_key_ids_have_a_row(spawn):
    node = spawn(options={"capacity.tdx_keyids": 31})
    assert node.capacity()["tdx_keyids"] == {"resource": "tdx_keyids", "total": 31, "promised": 0, "free": 31}


def test_metrics_count_devices_and_hugepages(big):
    big.create(stopped=True, hugepages=True, **gpus("18:00.0"))
    text = big.api("GET", "/metrics", prefix="").ok().text
    for line in ('teepod_devices{kind="gpu",state="reserved"} 1', 'teepod_devices{kind="gpu",state="free"} 7',
                 'teepod_devices{kind="nvswitch",state="free"} 4', 'teepod_capacity{resource="gpus",kind="promised"} 1',
                 'teepod_hugepages_mib{numa_node="0",kind="promised"} 1024', 'teepod_hugepages_mib{numa_node="1",kind="total"} 8192'):
        assert line in text.splitlines(), line
