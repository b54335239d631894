# SPDX-License-Identifier: Apache-2.0
"""Admission: refusals carry numbers, and reservations never exceed the capacity."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from node import assert_consistent, refused


@pytest.fixture(scope="module")
def small():
    """A node with little capacity, for all tests of this file."""
    from node import Node

    node = Node(options={"capacity.vcpus": 8, "capacity.memory_mib": 1024, "capacity.disk_gib": 20, "capacity.slots": 5})
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture
def tight(small):
    yield small
    small.delete_all()
    assert_consistent(small)


def details(body):
    return {row["field"]: row["value"] for row in body["details"]}


@pytest.mark.parametrize("fields, code, field, asked, total", [
    ({"vcpu": 9999}, "ERR-02-003", "vcpu", 9999, 8),
    ({"memory": 999999}, "ERR-02-004", "memory", 999999, 1024),
    ({"disk_size": 500}, "ERR-02-002", "disk_size", 500, 20),
])
def test_a_refusal_names_requested_free_and_total(tight, fields, code, field, asked, total):
    answer = tight.try_create(stopped=True, **fields)
    body = refused(answer, 400, code, field, asked)
    found = details(body)
    assert (found["asked"], found["free"], found["total"]) == (asked, total, total)
    assert body["suggestions"], "says what would fit"
    assert str(total) in " ".join(body["suggestions"])
    assert tight.uuids() == set()


def test_the_same_refusal_comes_from_preflight_and_provision(tight):
    error = refused(tight.post("/cvms/provision", json=tight.create_body(vcpu=9999)), 400, "ERR-02-003", "vcpu", 9999)
    preflight = tight.post("/preflight", json=tight.create_body(vcpu=9999)).ok().json
    assert preflight["fits"] is False
    assert {**preflight["error"], "request_id": ""} == {**error, "request_id": ""}
    assert tight.post("/preflight", json=tight.create_body()).ok()["fits"] is True


def test_no_slot_left(tight):
    for _ in range(5):
        tight.create(stopped=True)
    body = refused(tight.try_create(stopped=True), 400, "ERR-02-005", "slots")
    assert details(body)["total"] == 5 and details(body)["free"] == 0


def test_a_refusal_counts_what_others_hold(tight):
    tight.create(stopped=True, vcpu=6)
    body = refused(tight.try_create(stopped=True, vcpu=3), 400, "ERR-02-003", "vcpu", 3)
    assert details(body)["free"] == 2
    tight.create(stopped=True, vcpu=2)


def test_preflight_reserves_nothing(tight):
    before = tight.capacity()
    for _ in range(20):
        assert tight.post("/preflight", json=tight.create_body(vcpu=8, memory=1024)).ok()["fits"] is True
    assert tight.capacity() == before and tight.uuids() == set()


def test_a_provision_reserves_nothing(tight):
    before = tight.capacity()
    tight.post("/cvms/provision", json=tight.create_body(vcpu=8)).ok()
    assert tight.capacity() == before


def test_fifty_concurrent_creates_never_reserve_more_than_the_total(tight):
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: tight.try_create(stopped=True, name=f"rush-{n}", vcpu=2), range(50)))
    good = [a for a in answers if a.status // 100 == 2]
    assert len(good) == 4, [a.status for a in answers]
    for a in answers:
        if a not in good:
            refused(a, 400, "ERR-02-003", "vcpu")
    assert tight.capacity()["vcpus"]["promised"] == 8
    assert len(tight.uuids()) == 4
    assert_consistent(tight)


def test_concurrent_creates_and_deletes_keep_reservations_consistent(tight):
    def life(n):
        answer = tight.try_create(stopped=True, name=f"storm-{n}", vcpu=1 + n % 3, memory=64 * (1 + n % 4))
        if answer.status // 100 != 2:
            assert answer.status == 400 and answer["error_code"].startswith("ERR-02-"), answer
            return
        if n % 2:
            assert tight.api("DELETE", f"/cvms/{answer['vm_uuid']}").status in (204, 409)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(life, range(60)))
    tight.settled()
    for resource, row in tight.capacity().items():
        assert row["total"] is None or row["promised"] <= row["total"], resource
    assert_consistent(tight)


def test_a_stopped_cvm_keeps_what_it_holds(tight):
    cvm = tight.create(vcpu=8)
    cvm.do("stop")
    refused(tight.try_create(stopped=True, vcpu=1), 400, "ERR-02-003", "vcpu", 1)
    cvm.do("start")
    cvm.becomes("running")


def test_after_delete_everything_is_free_again(tight):
    before = tight.capacity()
    for _ in range(3):
        cvm = tight.create(vcpu=8, memory=1024, disk_size=20)
        refused(tight.try_create(stopped=True), 400)
        cvm.delete()
        assert tight.capacity() == before


def test_release_on_stop_gives_cpu_and_memory_to_others(spawn):
    node = spawn(options={"capacity.vcpus": 4, "capacity.release_on_stop": "yes"})
    first = node.create(vcpu=4)
    refused(node.try_create(vcpu=1), 400, "ERR-02-003", "vcpu")
    first.do("stop")
    first.becomes("stopped")
    assert node.capacity()["vcpus"]["promised"] == 0
    assert node.capacity()["disk_gib"]["promised"] == 1, "its disk stays its own"
    assert_consistent(node)
    second = node.create(vcpu=2)
    body = refused(first.request("start"), 400, "ERR-02-003", "vcpu", 4)
    assert details(body)["free"] == 2
    second.delete()
    first.do("start")
    first.becomes("running")
    assert_consistent(node)


def test_without_a_capacity_record_everything_is_refused_and_says_so(spawn):
    node = spawn(options={"capacity.vcpus": "none", "capacity.memory_mib": "none"})
    refused(node.try_create(stopped=True), 400, "ERR-02-014", "node_id")


def test_an_unknown_node_is_refused(tight):
    refused(tight.try_create(stopped=True, node_id=77), 404, "ERR-01-001", value=77)
    refused(tight.try_create(stopped=True, teepod_id=78), 404, "ERR-01-001", value=78)
    tight.create(stopped=True, node_id=1)


def test_a_name_in_use_is_refused(tight):
    tight.create(stopped=True, name="the-only-one")
    refused(tight.try_create(stopped=True, name="the-only-one"), 409, "ERR-01-004", "name", "the-only-one")


def test_a_name_is_free_again_after_delete(tight):
    tight.create(stopped=True, name="again").delete()
    tight.create(stopped=True, name="again")


def test_one_cvm_may_not_be_larger_than_the_operator_allows(spawn):
    node = spawn(options={"cvm.max_vcpus": 4, "cvm.max_memory_mib": 256})
    refused(node.try_create(stopped=True, vcpu=5), 400, field="vcpu", value=5)
    refused(node.try_create(stopped=True, memory=512), 400, field="memory", value=512)
    node.create(stopped=True, vcpu=4, memory=256)


def test_teepods_available_shows_free_capacity(tight):
    def left():
        node, = tight.get("/teepods/available").ok().json["nodes"]
        return node["remaining_vcpu"], node["remaining_memory"], node["remaining_cvm_slots"]
    assert left() == (8, 1024, 5)
    tight.create(stopped=True, vcpu=3, memory=256)
    assert left() == (5, 768, 4)


def test_capacity_is_the_same_after_kill_9(spawn):
    node = spawn()
    node.create(stopped=True, vcpu=3)
    node.create(vcpu=2)
    before = node.capacity()
    node.kill()
    node.start()
    assert node.capacity() == before
    assert_consistent(node)
