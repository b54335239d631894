# SPDX-License-Identifier: Apache-2.0
"""The same Idempotency-Key and body give the same answer and one effect, for as long as the answer is kept."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from node import assert_consistent, refused


def once(key):
    return {"Idempotency-Key": key}


def test_same_key_and_body_make_one_cvm_and_one_answer(node):
    fields = node.create_body(name="only-one", stopped=True)
    first = node.post("/cvms", json=fields, headers=once("k1")).ok()
    again = node.post("/cvms", json=fields, headers=once("k1"))
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    assert len(node.uuids()) == 1


def test_order_of_keys_in_the_body_does_not_matter(node):
    fields = node.create_body(stopped=True)
    first = node.post("/cvms", json=fields, headers=once("k-order")).ok()
    again = node.post("/cvms", json=dict(reversed(list(fields.items()))), headers=once("k-order"))
    assert again.body == first.body


def test_other_body_under_the_same_key_is_a_conflict(node):
    node.post("/cvms", json=node.create_body(stopped=True), headers=once("k2")).ok()
    refused(node.post("/cvms", json=node.create_body(stopped=True), headers=once("k2")), 409)
    assert len(node.uuids()) == 1


def test_other_path_under_the_same_key_is_a_conflict(node):
    cvm = node.create()
    node.post(f"/cvms/{cvm.uuid}/stop", headers=once("k3")).ok()
    node.settled()
    refused(node.post(f"/cvms/{cvm.uuid}/start", headers=once("k3")), 409)


def test_twenty_at_once_make_one(node):
    fields = node.create_body(stopped=True)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: node.post("/cvms", json=fields, headers=once("k-storm")), range(20)))
    assert {a.body for a in answers} == {answers[0].body} and answers[0].status // 100 == 2, answers[0]
    assert len(node.uuids()) == 1


def test_a_refusal_is_not_remembered(node):
    fields = node.create_body(name="too-large", stopped=True, vcpu=64)
    block = node.create(stopped=True, vcpu=2)
    refused(node.post("/cvms", json=fields, headers=once("k4")), 400, "ERR-02-003")
    block.delete()
    node.post("/cvms", json=fields, headers=once("k4")).ok()


def test_answers_survive_kill_9(spawn):
    node = spawn()
    fields = node.create_body(stopped=True)
    first = node.post("/cvms", json=fields, headers=once("k5")).ok()
    node.kill()
    node.start()
    again = node.post("/cvms", json=fields, headers=once("k5"))
    assert (again.status, again.body) == (first.status, first.body)
    refused(node.post("/cvms", json=node.create_body(stopped=True), headers=once("k5")), 409)
    assert len(node.uuids()) == 1
    assert_consistent(node)


def test_power_and_delete_honour_it_too(node):
    cvm = node.create()
    first = node.post(f"/cvms/{cvm.uuid}/stop", headers=once("k6")).ok()
    node.settled()
    cvm.do("start")
    again = node.post(f"/cvms/{cvm.uuid}/stop", headers=once("k6"))
    assert again.body == first.body
    assert cvm.status == "running", "a repeated stop is no second stop"
    gone = node.api("DELETE", f"/cvms/{cvm.uuid}", headers=once("k7"))
    node.settled()
    again = node.api("DELETE", f"/cvms/{cvm.uuid}", headers=once("k7"))
    assert gone.status == again.status == 204


def test_keys_of_different_callers_are_different_keys(spawn):
    import subprocess

    from node import PROGRAM

    node = spawn()
    other = subprocess.run([PROGRAM, "--dev", str(node.dir), "--add-key", "other:operator"], capture_output=True, text=True,
                           timeout=30, check=True).stdout.split()[-1]
    node.post("/cvms", json=node.create_body(stopped=True), headers=once("k8")).ok()
    node.post("/cvms", json=node.create_body(stopped=True), headers=once("k8"), key=other).ok()
    assert len(node.uuids()) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
def test_a_malformed_key_is_refused(node, key):
    answer = node.post("/cvms", json=node.create_body(stopped=True), headers={"Idempotency-Key": key.encode("utf-8")})
    refused(answer, 400)
    assert node.uuids() == set()


def test_what_a_query_or_a_header_says_belongs_to_the_request(spawn):
    """The query is part of the request: with another ?workspace= the same key and path mean another CVM."""
    node = spawn()
    node.post("/workspaces", json={"slug": "team-b"}).ok()
    theirs = node.post("/tokens", json={"name": "team-b", "role": "tenant", "workspace": "team-b"}).ok()["token"]
    made = {"local": node.create(name="same-name", stopped=True).uuid,
            "team-b": node.post("/cvms", json=node.create_body(name="same-name", stopped=True), key=theirs).ok()["vm_uuid"]}

    def stop(headers=None, query="workspace=local", **more):
        return node.post(f"/cvms/same-name/stop?{query}", headers={**once("k-where"), **(headers or {})}, **more)
    first = stop().ok()
    assert first["vm_uuid"] == made["local"]
    for other in ({"query": "workspace=team-b"}, {"query": ""}, {"query": "workspace=local&workspace=team-b"},
                  {"headers": {"If-Match": '"99"'}}, {"headers": {"If-Match": "*"}}, {"version": 25}):
        refused(stop(**other), 409, field="Idempotency-Key")
    for same in ("workspace=local", "workspace=%6cocal"):
        again = stop(query=same)
        assert again.body == first.body and again.headers["idempotent-replayed"] == "true"
    one, other = (stop(headers=once("k-order"), query=query) for query in ("workspace=local&a=1&b=2", "b=2&a=1&workspace=local"))
    assert one.ok().body == other.ok().body and other.headers["idempotent-replayed"] == "true"
    refused(stop(headers=once("k-order"), query="workspace=local&a=1&b=3"), 409)
    # The used key with the name of a CVM in another workspace deletes nothing and replays no answer.
    assert node.api("DELETE", "/cvms/same-name?workspace=local", headers=once("k-gone")).status == 204
    refused(node.api("DELETE", "/cvms/same-name?workspace=team-b", headers=once("k-gone")), 409)
    assert made["team-b"] in node.uuids()
