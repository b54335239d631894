# SPDX-License-Identifier: Apache-2.0
"""Two workspaces on one node: tenants and readers of one cannot see the CVMs of the other."""

import subprocess

import pytest

from node import COMPOSE, PREFIX, PROGRAM, refused


def add_key(node, workspace, name, role):
    return subprocess.run([PROGRAM, "--dev", str(node.dir), "-o", f"node.workspace={workspace}", "--add-key", f"{name}:{role}"],
                          text=True, capture_output=True, timeout=30, check=True).stdout.split()[-1]


@pytest.fixture
def two(spawn):
    """A node with a CVM in its own workspace, and keys of another one: (node, CVM as created, {role: key})."""
    node = spawn()
    keys = {role: add_key(node, "beta", f"beta-{role}", role) for role in ("reader", "tenant", "operator")}
    mine = node.try_create(name="in-local", stopped=True, ports=[{"host_port": 0, "vm_port": 80}],
                           headers={"Idempotency-Key": "once"}).ok().json
    return node, mine, keys


def names_of(cvm):
    uuid, app = cvm["vm_uuid"], cvm["app_id"]
    return [uuid, uuid.replace("-", ""), uuid.upper(), app, "app_" + app, "0x" + app, cvm["name"], f"cvm_{cvm['id']}", str(cvm["id"])]


def traces(cvm):
    return cvm["vm_uuid"], cvm["app_id"], cvm["name"], cvm["operation_id"]


def test_no_identifier_reaches_into_another_workspace(two):
    node, mine, keys = two
    for role in ("reader", "tenant"):
        for name in names_of(mine):
            for path in ("", "/state", "/logs?ch=serial", "/boots"):
                refused(node.get(f"/cvms/{name}{path}", key=keys[role]), 404, "ERR-03-001")
            refused(node.get(f"/cvms/{name}/state", key=keys[role], headers={"Accept": "text/event-stream"}), 404)
            for verb in ("start", "stop", "shutdown", "restart"):
                refused(node.post(f"/cvms/{name}/{verb}", key=keys[role]), 404 if role == "tenant" else 403)
            refused(node.api("DELETE", f"/cvms/{name}", key=keys[role]), 404 if role == "tenant" else 403)
        for path in (f"/apps/{mine['app_id']}", f"/apps/{mine['app_id']}/cvms", f"/operations/{mine['operation_id']}",
                     "/workspaces/local", "/workspaces/ws_1/nodes"):
            refused(node.get(path, key=keys[role]), 404)
    refused(node.api("DELETE", f"/operations/{mine['operation_id']}", key=keys["tenant"]), 404)
    assert node.get(f"/cvms/{mine['vm_uuid']}").ok()["status"] == "stopped"


def test_no_list_shows_another_workspace(two):
    node, mine, keys = two
    for role in ("reader", "tenant"):
        for path in ("/apps", "/apps?status=stopped", "/apps?search=in-local", "/cvms/paginated", "/cvms/paginated?status=stopped",
                     f"/cvms/paginated?search={mine['app_id']}", "/operations", "/events?limit=1000", "/workspaces"):
            answer = node.get(path, key=keys[role]).ok()
            assert not [t for t in traces(mine) if t in answer.text], path
            assert answer.json.get("total", 0) == 0, path
        assert node.get(f"/operations?cvm={mine['vm_uuid']}", key=keys[role]).ok()["items"] == []
        assert node.post("/status/batch", json={"vm_uuids": names_of(mine)[:3]}, key=keys[role]).ok().json == {}
        refused(node.get("/metrics", key=keys[role]), 403)    # its numbers are those of the whole host, which are for operators


def test_names_idempotency_keys_and_provisions_are_each_workspaces_own(two):
    node, mine, keys = two
    tenant = keys["tenant"]
    theirs = node.post("/cvms", json=node.create_body(name="in-local", stopped=True), key=tenant, headers={"Idempotency-Key": "once"}).ok()
    assert theirs["vm_uuid"] != mine["vm_uuid"] and "idempotent-replayed" not in theirs.headers
    assert node.get("/cvms/in-local", key=tenant).ok()["vm_uuid"] == theirs["vm_uuid"]
    assert node.get("/cvms/in-local").ok()["vm_uuid"] == mine["vm_uuid"], "one's own comes first"
    made = node.post("/cvms/provision", json=node.create_body(name="provisioned")).ok()
    commit = {"app_id": made["app_id"], "compose_hash": made["compose_hash"]}
    refused(node.post("/cvms", json=commit, key=tenant), 400, "ERR-02-008", "compose_hash")
    node.post("/cvms", json={**commit, "stopped": True}).ok()


def test_an_app_is_of_one_workspace_although_equal_compose_files_make_equal_ids(two):
    node, mine, keys = two
    app = mine["app_id"]
    asked = node.create_body(name="in-beta", stopped=True, compose_file={**COMPOSE, "name": "in-local"})
    assert node.post("/cvms", json=asked, key=keys["tenant"]).ok()["app_id"] == app
    for key, name in ((node.key, "in-local"), (keys["operator"], "in-beta"), (keys["tenant"], "in-beta")):
        shown = node.get(f"/apps/{app}", key=key).ok()
        assert (shown["name"], shown["cvm_count"], shown["current_cvm"]["name"]) == (name, 1, name)
        assert [row["name"] for row in node.get(f"/apps/{app}/cvms", key=key).ok().json] == [name]
        assert node.get(f"/cvms/{app}", key=key).ok()["name"] == name
    assert node.get("/apps").ok()["total"] == 2, "an admin sees both"
    node.api("DELETE", f"/cvms/{mine['vm_uuid']}")
    node.settled()
    assert node.get(f"/apps/{app}").ok()["name"] == "in-beta", "and the other one where there is no own"


def test_a_log_link_is_for_one_cvm_until_its_end(two):
    node, mine, keys = two
    theirs = node.post("/cvms", json=node.create_body(name="in-beta", stopped=True), key=keys["tenant"]).ok().json
    link = node.get(f"/cvms/{mine['vm_uuid']}", version=25).ok()["syslog_endpoint"]
    path = link[link.index(PREFIX):]
    end, mac = path.split("token=")[1].split(".")

    def opened(uuid, token, key=None, what="logs"):
        return node.api("GET", f"{PREFIX}/cvms/{uuid}/{what}?token={token}", prefix="", key=key).status
    assert opened(mine["vm_uuid"], f"{end}.{mac}") == 200
    assert opened(theirs["vm_uuid"], f"{end}.{mac}") == 401
    assert opened(mine["vm_uuid"], f"{end}.{mac}", what="boots") == 401
    day = 24 * 3600
    for token in (f"{int(end) + day}.{mac}", f"{int(end) - day}.{mac}", f"{end}0.{mac}", f"0{end}.{mac}", f"%20{end}.{mac}", f"-1.{mac}",
                  f"{end}.", f".{mac}", f"{end}.{mac[:-1]}", f"{end}.{mac}0", f"{end}.{mac.upper()}", "9" * 30 + f".{mac}", f"x&token={end}.{mac}"):
        assert opened(mine["vm_uuid"], token) == 401, token
