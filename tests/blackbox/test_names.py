# SPDX-License-Identifier: Apache-2.0
"""The name of a CVM is never mistaken for the UUID or app id of another CVM or for a word of a path, in any letter case."""

import sqlite3
import uuid

import pytest

from node import COMPOSE, refused, until
from test_workspaces import add_key

UUID = "abcdef01-2345-4678-9abc-def012345678"
IDENTIFIERS = [UUID, UUID.upper(), UUID.replace("-", ""), "ab" * 20, "AB" * 20]
WORDS = ["paginated", "provision", "Provision", "PAGINATED"]


@pytest.mark.parametrize("name", IDENTIFIERS + WORDS)
def test_a_name_that_reads_as_something_else_is_refused_by_every_route_that_sets_one(node, name):
    for path in ("/cvms", "/cvms/provision", "/preflight"):
        refused(node.post(path, json=node.create_body(name=name)), 400, "ERR-02-008", "name", name)
    assert not node.uuids()


def test_a_cvm_may_not_be_called_like_another_ones_uuid_or_app(node):
    victim = node.create(stopped=True, app_id="a" + uuid.uuid4().hex + "0123456")
    for name in (victim.app_id, "a" + victim.uuid[1:]):
        refused(node.try_create(name=name, stopped=True), 400, "ERR-02-008", "name", name)
    assert node.uuids() == {victim.uuid}


def test_words_of_deeper_paths_are_names_like_any_other(node):
    for name in ("start", "state", "compose"):
        cvm = node.create(name=name, stopped=True)
        assert node.get(f"/cvms/{name}").ok()["vm_uuid"] == cvm.uuid


def test_names_that_differ_only_in_case_are_one_name(node):
    cvm = node.create(name="Web-One", stopped=True)
    for path in ("/cvms", "/cvms/provision"):
        refused(node.post(path, json=node.create_body(name="web-one")), 409, "ERR-01-004", "name", "web-one")
    assert node.post("/preflight", json=node.create_body(name="web-one")).ok()["error"]["error_code"] == "ERR-01-004"
    for name in ("Web-One", "web-one", "WEB-ONE"):
        assert node.get(f"/cvms/{name}").ok()["vm_uuid"] == cvm.uuid
        assert node.get(f"/cvms/{name}/state").ok()["name"] == "Web-One"
    assert node.api("DELETE", "/cvms/wEB-oNE").status == 204
    until("it is gone", lambda: not node.uuids())


def test_prefixes_of_identifiers_are_read_in_any_case(node):
    cvm = node.create(stopped=True)
    for name in (f"APP_{cvm.app_id.upper()}", f"0X{cvm.app_id}", f"CVM_{cvm.get()['id'][4:]}"):
        assert node.get(f"/cvms/{name}").ok()["vm_uuid"] == cvm.uuid


def rename(node, names):
    """Write names that an earlier version allowed: {uuid: name}."""
    node.stop()
    with sqlite3.connect(node.database()) as db:
        for cvm, name in names.items():
            db.execute("update cvms set name = ? where uuid = ?", (name, cvm))
    node.start()


def test_where_names_clash_already_a_lookup_is_refused_and_changes_nothing(spawn):
    node = spawn()
    keys = {role: add_key(node, "beta", f"beta-{role}", role) for role in ("tenant", "operator")}
    victim = node.create(name="victim", stopped=True, app_id="ab" * 20)
    other, third, upper = (node.create(name=name, stopped=True) for name in ("other", "third", "upper"))
    theirs = node.post("/cvms", json=node.create_body(name="theirs", stopped=True), key=keys["tenant"]).ok().json["vm_uuid"]
    rename(node, {other.uuid: victim.uuid, third.uuid: victim.app_id, upper.uuid: "VICTIM", theirs: victim.uuid})

    calls = [("GET", ""), ("DELETE", ""), ("POST", "/stop"), ("GET", "/state"), ("PATCH", "/resources"), ("POST", "/replicas"),
             ("PATCH", "/visibility"), ("GET", "/boots"), ("GET", "/logs")]
    for name in (victim.uuid, victim.app_id, "victim", victim.uuid.replace("-", ""), f"app_{victim.app_id}"):
        clash = name in (victim.uuid, victim.app_id, "victim")
        for method, path in calls if clash else calls[:1]:
            answer = node.api(method, f"/cvms/{name}{path}", json={} if method in ("PATCH", "POST") else None)
            if clash:
                error = refused(answer, 400, "ERR-03-010", "identifier", name)
                assert "cvm_" in error["suggestions"][0], error
            else:
                assert answer.ok()["vm_uuid"] == victim.uuid
    # An operator of another workspace whose own CVM has the name gets the same answer.
    for method, path in calls:
        answer = node.api(method, f"/cvms/{victim.uuid}{path}", key=keys["operator"], json={} if method in ("PATCH", "POST") else None)
        refused(answer, 400, "ERR-03-010", "identifier", victim.uuid)
    # A tenant there cannot see the other CVM, so the name means its own.
    assert node.get(f"/cvms/{victim.uuid}", key=keys["tenant"]).ok()["vm_uuid"] == theirs
    assert len(node.uuids()) == 5

    # Numeric ids are unambiguous, and operations of the node itself are not affected.
    assert node.get(f"/cvms/cvm_{victim.body['id']}").ok()["vm_uuid"] == victim.uuid
    node.post(f"/cvms/{victim.body['id']}/stop").ok()
    assert set(node.post("/status/batch", json={"vm_uuids": [victim.uuid]}).ok().json) == {victim.uuid}
    assert node.api("DELETE", f"/cvms/{victim.body['id']}").status == 204
    until("it is gone", lambda: victim.uuid not in node.uuids())
    # When the other CVM is gone, these names work.
    assert node.get(f"/cvms/{third.get()['name']}").ok()["vm_uuid"] == third.uuid


def test_an_operators_change_by_app_id_is_refused_when_several_workspaces_have_the_app(spawn):
    node = spawn()
    app = "cd" * 20
    keys = {slug: add_key(node, slug, f"{slug}-key", "tenant") for slug in ("beta", "gamma")}
    cvms = {slug: node.post("/cvms", json=node.create_body(name=f"in-{slug}", stopped=True, app_id=app), key=key).ok()["vm_uuid"]
            for slug, key in keys.items()}
    node.settled()

    def changes(query="", key="own"):
        return (node.post(f"/apps/{app}/revisions/1/rollback{query}", json={}, key=key),
                node.api("PUT", f"/cvms/app_{app}/compose{query}", json={"compose_manifest": COMPOSE}, key=key))
    for answer, hint in zip((*changes(), node.get(f"/apps/{app}")), ("?workspace=", "cvm_", "?workspace=")):
        assert hint in refused(answer, 400, "ERR-03-010", "identifier")["suggestions"][0], answer
    for answer in changes("?workspace=beta", keys["gamma"]):
        refused(answer, 404)
    for answer in changes("?workspace=nowhere"):
        refused(answer, 404, field="nowhere")
    # A replica's source, too, is only looked for in the workspace that is named.
    hint = refused(node.post(f"/apps/{app}/instances", json={}), 400, "ERR-03-010", "identifier")["suggestions"][0]
    assert "cvm_" in hint
    for query, key in (("?workspace=beta", keys["gamma"]), ("?workspace=nowhere", "own")):
        refused(node.post(f"/apps/{app}/instances{query}", json={}, key=key), 404)
    refused(node.post("/cvms/in-beta/replicas?workspace=gamma", json={}), 404)
    made = node.post(f"/apps/{app}/instances?workspace=gamma", json={"stopped": True}).ok()["vm_uuid"]
    assert node.rows("select w.slug from cvms c join workspaces w on w.id = c.workspace where c.uuid = ?", made) == [("gamma",)]
    node.settled()
    node.api("DELETE", f"/cvms/{made}")
    until("the replica is gone", lambda: made not in node.uuids())
    assert not node.rows("select cvm_uuid from operations where kind not in ('create', 'delete')")
    for answer in changes("?workspace=gamma"):
        answer.ok()
        node.settled()
    assert set(node.rows("select cvm_uuid from operations where kind not in ('create', 'delete')")) == {(cvms["gamma"],)}
    # The app id means the app of the caller's own workspace.
    mine = node.create(stopped=True, app_id=app)
    assert changes()[0].ok()["operations"][0]["vm_uuid"] == mine.uuid
    node.settled()
