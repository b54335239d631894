# SPDX-License-Identifier: Apache-2.0
"""Every route that changes a CVM: its effect, its answer and its refusals."""

import hashlib
import json

import pytest

from button import BUTTON
from node import BOOT, COMPOSE, DEMO, Cvm, refused
from test_workspaces import add_key

YAML = "services:\n  web:\n    image: nginx:1.28\n"
ENV = "ab" * 80
ASK = {"compose_file": {**COMPOSE, "allowed_envs": ["A", "B"], "pre_launch_script": "echo one"}, "encrypted_env": "00" * 80,
       "user_config": json.dumps({"hostname": "h", "ssh_authorized_keys": ["ssh-ed25519 k"], "other": 1})}


def stopped(node, **more):
    return node.create(stopped=True, **{**ASK, **more})


def running(node, **more):
    """A guest that powers off when its power button is pressed; others are given a minute."""
    return node.create(**{**ASK, "image": BUTTON, **more})


def patch(node, cvm, what="", json=None, data=None, kind=None, **more):
    headers = {**({"Content-Type": kind} if kind else {}), **more.pop("headers", {})}
    path = f"/cvms/{cvm if isinstance(cvm, str) else cvm.uuid}" + (f"/{what}" if what else "")
    return node.api("PATCH", path, json=json, data=data, headers=headers, **more)


def put_compose(node, cvm, **body):
    return node.api("PUT", f"/cvms/app_{cvm.app_id}/compose", json=body)


def done(node, answer, state="succeeded"):
    """Wait for the operation that an answer names; returns it."""
    body = answer.ok().json
    operation = node.operation(body["operation_id"], wait=60)
    assert operation["state"] == state, f"{operation}\n{node.log_tail()}"
    assert body["correlation_id"] == body["operation_id"] == answer.headers["x-operation-id"]
    return operation


def manifest(node, cvm):
    return node.get(f"/cvms/{cvm.uuid}/compose_file").ok().json


def blobs(node, cvm):
    env, config = node.rows("select hex(encrypted_env), user_config from cvms where uuid = ?", cvm.uuid)[0]
    return env.lower(), config


def compact(manifest):
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# ------------------------------------------------------------------ what each route changes

WAYS = {
    "patch": (lambda n, c: patch(n, c, json={"docker_compose_file": YAML}), "docker_compose_file", YAML),
    "docker-compose": (lambda n, c: patch(n, c, "docker-compose", data=YAML, kind="text/yaml"), "docker_compose_file", YAML),
    "compose": (lambda n, c: put_compose(n, c, compose_manifest={
        "docker_compose_file": YAML, "manifest_version": 1, "runner": "docker-compose", "version": "1.0.0",
        "features": ["kms", "tproxy-net"], "name": "app_x", "allowed_envs": []}, allow_restart=True, env_keys=[]),
        "docker_compose_file", YAML),
    "script": (lambda n, c: patch(n, c, json={"pre_launch_script": "echo two"}), "pre_launch_script", "echo two"),
    "pre-launch-script": (lambda n, c: patch(n, c, "pre-launch-script", data="echo two\n", kind="text/plain"), "pre_launch_script",
                          "echo two\n"),
    "no script": (lambda n, c: patch(n, c, "pre-launch-script", data="", kind="text/plain"), "pre_launch_script", None),
    "allowed_envs": (lambda n, c: patch(n, c, json={"allowed_envs": ["C"]}), "allowed_envs", ["C"]),
    "env_keys": (lambda n, c: patch(n, c, "envs", json={"encrypted_env": ENV, "env_keys": ["B", "C"]}), "allowed_envs", ["B", "C"]),
    "public_logs": (lambda n, c: patch(n, c, "visibility", json={"public_sysinfo": True, "public_logs": False}), "public_logs", False),
    "public_tcbinfo": (lambda n, c: patch(n, c, json={"public_tcbinfo": False}), "public_tcbinfo", False),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_key_of_the_manifest_moves_and_the_hash_with_it(node, way):
    change, key, value = WAYS[way]
    cvm = stopped(node)
    before, was = manifest(node, cvm), cvm.get()
    done(node, change(node, cvm))
    after, now = manifest(node, cvm), cvm.get()
    assert after.get(key) == value
    assert {k: v for k, v in before.items() if k != key} == {k: v for k, v in after.items() if k != key}
    assert now["compose_hash"] == hashlib.sha256(compact(after).encode()).hexdigest() != was["compose_hash"]
    assert now["app_id"] == was["app_id"] and now["status"] == "stopped"
    assert blobs(node, cvm) == (ENV if way == "env_keys" else "00" * 80, ASK["user_config"])


def test_an_answer_is_what_clients_insist_on(node):
    cvm = stopped(node)
    body = patch(node, cvm, "envs", json={"encrypted_env": ENV}).ok().json
    assert body["status"] == "in_progress" and body["message"] and body["allowed_envs_changed"] is False
    node.settled(cvm.uuid)
    assert patch(node, cvm, "envs", json={"encrypted_env": ENV, "env_keys": ["B", "A"]}).ok()["allowed_envs_changed"] is False
    node.settled(cvm.uuid)
    assert patch(node, cvm, "envs", json={"encrypted_env": ENV, "env_keys": ["A"]}).ok()["allowed_envs_changed"] is True
    node.settled(cvm.uuid)
    shown = patch(node, cvm, "visibility", json={"public_sysinfo": False, "public_logs": False}, version=26)
    assert shown.status == 200 and shown["id"] == cvm.body["id"] and shown["syslog_endpoint"], "the older shape, whatever was asked for"
    node.settled(cvm.uuid)
    assert put_compose(node, cvm, compose_manifest={"docker_compose_file": YAML}).ok().json
    node.settled(cvm.uuid)
    for way in ({"docker_compose_file": YAML + "# x\n"}, {"user_config": ""}, {"vcpu": 2}, {}):
        answer = patch(node, cvm, json=way)
        assert answer.status == 202 and answer["status"] == "in_progress", answer
        done(node, answer)


def test_all_at_once_is_one_operation_and_one_entry_of_the_history(node):
    cvm = stopped(node)
    done(node, patch(node, cvm, json={
        "docker_compose_file": YAML, "pre_launch_script": "echo two", "allowed_envs": ["C"], "encrypted_env": ENV, "env_keys": ["C"],
        "public_logs": False, "listed": True, "user_config": "x", "vcpu": 2, "memory": 128, "disk_size": 2, "image": DEMO,
        "ports": [{"vm_port": 81}]}))
    got = cvm.get()
    assert got["resource"] | {"vcpu": 2, "memory_in_gb": 0.125, "disk_in_gb": 2} == got["resource"]
    assert got["os"]["name"] == DEMO and got["listed"] is True and got["public_logs"] is False
    assert [p["vm_port"] for p in got["ports"]] == [81]
    assert blobs(node, cvm) == (ENV, "x")
    assert [op["kind"] for op in cvm.operations()] == ["upgrade", "create"]
    history = node.get(f"/apps/{cvm.app_id}/revisions").ok()["revisions"]
    assert len(history) == 2 and history[0]["compose_hash"] == got["compose_hash"]


def test_nothing_named_is_nothing_changed(node):
    cvm = stopped(node)
    before = cvm.get()
    done(node, patch(node, cvm, json={}))
    done(node, patch(node, cvm, json={"docker_compose_file": COMPOSE["docker_compose_file"], "allowed_envs": ["B", "A"], "vcpu": 1}))
    assert cvm.get() == before


@pytest.mark.parametrize("header", [{"X-Prepare-Only": "true"}, {"X-Compose-Hash": "0x1", "X-Transaction-Hash": "0x2"}])
def test_headers_of_a_chain_have_no_effect(node, header):
    cvm = stopped(node)
    done(node, patch(node, cvm, json={"docker_compose_file": YAML}, headers=header))
    assert manifest(node, cvm)["docker_compose_file"] == YAML


def test_another_image(node):
    cvm = stopped(node)
    images = node.get(f"/cvms/{cvm.uuid}/available-os-images").ok().json
    variants = [v for row in images for v in (row["prod"], row["dev"]) if v]
    assert {v["name"] for v in variants} == {BOOT, DEMO} and [v["name"] for v in variants if v["is_current"]] == [BOOT]
    done(node, patch(node, cvm, "os-image", json={"os_image_name": DEMO}))
    assert cvm.get()["os"]["name"] == DEMO
    variants = [v for row in node.get(f"/cvms/{cvm.uuid}/available-os-images").ok().json for v in (row["prod"], row["dev"]) if v]
    assert [v["name"] for v in variants if v["is_current"]] == [DEMO]
    refused(patch(node, cvm, "os-image", json={"os_image_name": "no-such-image"}), 400, "ERR-02-010", "image", "no-such-image")


def test_what_runs_can_be_read_in_parts(node):
    cvm = stopped(node)
    assert manifest(node, cvm)["docker_compose_file"] == COMPOSE["docker_compose_file"]
    for part, text, kind in (("docker-compose.yml", COMPOSE["docker_compose_file"], "text/yaml"), ("pre-launch-script", "echo one", "text/plain")):
        answer = node.get(f"/cvms/{cvm.uuid}/{part}").ok()
        assert answer.text == text and answer.headers["content-type"].startswith(kind)
    config = node.get(f"/cvms/{cvm.uuid}/user_config").ok().json
    assert config["hostname"] == "h" and config["ssh_authorized_keys"] == ["ssh-ed25519 k"] and config["default_gateway_domain"] is None
    assert config["user_config"] == ASK["user_config"]
    bare = stopped(node, user_config=None, compose_file=COMPOSE)
    assert node.get(f"/cvms/{bare.uuid}/pre-launch-script").ok().text == ""
    assert node.get(f"/cvms/{bare.uuid}/user_config").ok()["user_config"] is None


# ------------------------------------------------------------------ names in an environment


def test_names_have_to_be_allowed_and_the_others_are_named(node):
    cvm = stopped(node)
    body = refused(patch(node, cvm, json={"encrypted_env": ENV, "env_keys": ["A", "SECRET", "TOKEN"]}), 400, "ERR-02-008", "env_keys")
    assert "SECRET, TOKEN" in body["message"] and "A," not in body["message"]
    assert blobs(node, cvm)[0] == "00" * 80
    done(node, patch(node, cvm, json={"encrypted_env": ENV, "env_keys": ["A", "SECRET"], "allowed_envs": ["A", "SECRET"]}))
    assert blobs(node, cvm)[0] == ENV


def test_an_empty_environment_takes_the_old_one_away(node):
    cvm = stopped(node)
    done(node, patch(node, cvm, "envs", json={"encrypted_env": ""}))
    assert blobs(node, cvm)[0] == ""


# ------------------------------------------------------------------ a manifest that was provisioned


def provision(node, cvm, **body):
    return node.post(f"/cvms/{cvm.uuid}/compose_file/provision", json=body)


def test_provision_and_commit_an_update(node):
    cvm = stopped(node)
    whole = {**manifest(node, cvm), "docker_compose_file": YAML, "salt": "x"}
    made = provision(node, cvm, **whole, update_env_vars=None).ok().json
    assert made["app_id"] == cvm.app_id and made["compose_hash"] == hashlib.sha256(compact(whole).encode()).hexdigest()
    assert manifest(node, cvm)["docker_compose_file"] != YAML, "not before it is committed"
    body = {"compose_hash": "0x" + made["compose_hash"].upper(), "encrypted_env": ENV, "env_keys": ["A"], "update_env_vars": True}
    done(node, patch(node, cvm, "compose_file", json=body))
    assert manifest(node, cvm) == whole and cvm.get()["compose_hash"] == made["compose_hash"]
    assert blobs(node, cvm)[0] == ENV
    done(node, patch(node, cvm, "compose_file", json={**body, "encrypted_env": "", "update_env_vars": False}))
    assert blobs(node, cvm)[0] == ENV


def test_some_keys_of_a_manifest_may_be_provisioned(node):
    cvm = stopped(node)
    made = provision(node, cvm, public_logs=False, pre_launch_script=None).ok().json
    done(node, patch(node, cvm, "compose_file", json={"compose_hash": made["compose_hash"]}))
    got = manifest(node, cvm)
    assert got["public_logs"] is False and "pre_launch_script" not in got
    assert got["docker_compose_file"] == COMPOSE["docker_compose_file"]


def test_what_was_not_provisioned_for_this_app_is_not_committed(node):
    cvm, other = stopped(node), stopped(node, compose_file={**COMPOSE, "name": "other"})
    made = provision(node, other, public_logs=False).ok().json
    for given in ("ab" * 32, made["compose_hash"], "no hash", "0x"):
        refused(patch(node, cvm, "compose_file", json={"compose_hash": given}), 400, "ERR-02-008", "compose_hash", given)
    refused(node.post("/cvms", json={"app_id": other.app_id, "compose_hash": made["compose_hash"]}), 400, "ERR-02-008", "compose_hash")
    refused(patch(node, other, "compose_file", json={"compose_hash": made["compose_hash"], "encrypted_env": ENV, "env_keys": ["Z"]}), 400,
            "ERR-02-008", "env_keys", "Z")


# ------------------------------------------------------------------ sizes


def test_resize_by_every_name_of_the_cvm(node):
    cvm = stopped(node)
    for n, name in enumerate((cvm.uuid, "app_" + cvm.app_id, cvm.app_id, cvm.name, f"cvm_{cvm.body['id']}"), 2):
        done(node, patch(node, name, "resources", json={"vcpu": n, "uuid": cvm.uuid, "id": None, "allow_restart": n % 2}))
        assert cvm.get()["resource"]["vcpu"] == n


def test_an_app_means_its_oldest_instance(node):
    first = stopped(node)
    second = Cvm(node, node.post(f"/cvms/{first.uuid}/replicas", json={"stopped": True}).ok().json)
    done(node, patch(node, "app_" + first.app_id, "resources", json={"vcpu": 2}))
    assert (first.get()["resource"]["vcpu"], second.get()["resource"]["vcpu"]) == (2, 1)
    done(node, put_compose(node, first, compose_manifest={"docker_compose_file": YAML}))
    assert manifest(node, first)["docker_compose_file"] == YAML != manifest(node, second)["docker_compose_file"]
    refused(patch(node, "app_" + first.app_id, json={"vcpu": 3}), 400, "ERR-03-010")
    done(node, patch(node, f"app_{first.app_id}", "resources?workspace=local", json={"vcpu": 3}))
    assert (first.get()["resource"]["vcpu"], second.get()["resource"]["vcpu"]) == (3, 1)
    refused(patch(node, f"app_{first.app_id}", "resources?workspace=none", json={"vcpu": 4}), 404)
    first.delete()
    done(node, patch(node, "app_" + first.app_id, "resources", json={"vcpu": 4}))
    assert second.get()["resource"]["vcpu"] == 4


def test_an_instance_type_brings_its_numbers(node):
    cvm = stopped(node)
    done(node, patch(node, cvm, "resources", json={"instance_type": "tdx.small", "memory": 512}))
    got = cvm.get()["resource"]
    assert got["instance_type"] == "tdx.small" and got["vcpu"] == 1 and got["memory_in_gb"] == 0.5


@pytest.mark.parametrize("body, code", [({"disk_size": 1}, "ERR-02-008"), ({"vcpu": 9999}, "ERR-02-003"),
                                        ({"memory": 99999999}, "ERR-02-004"), ({"disk_size": 999999}, "ERR-02-002"),
                                        ({"instance_type": "tdx.nonsense"}, "ERR-02-001")])
def test_a_permanent_refusal_of_a_resize_is_never_a_409(node, body, code):
    cvm = stopped(node, disk_size=2)
    before = node.get("/node").ok().json["capacity"]
    refused(patch(node, cvm, "resources", json=body), 400, code)
    assert node.get("/node").ok().json["capacity"] == before


def test_a_running_cvm_is_resized_only_where_that_is_allowed(button_node):
    node = button_node
    cvm = running(node)
    pids = cvm.pids()
    for body in ({"vcpu": 2}, {"vcpu": 2, "allow_restart": 0}, {"vcpu": 2, "allow_restart": False}):
        refused(patch(node, cvm, "resources", json=body), 400, field="allow_restart")
    assert cvm.pids() == pids and cvm.get()["resource"]["vcpu"] == 1
    done(node, patch(node, cvm, "resources", json={"vcpu": 2, "allow_restart": 1}))
    cvm.becomes("running")
    assert cvm.pids() != pids and cvm.get()["resource"]["vcpu"] == 2


# ------------------------------------------------------------------ running ones


@pytest.mark.parametrize("way", ["patch", "envs", "os-image", "visibility", "docker-compose", "rollback"])
def test_a_running_cvm_runs_again_with_what_it_was_given(button_node, way):
    node = button_node
    cvm = running(node)
    pids = cvm.pids()
    answer = {"patch": lambda: patch(node, cvm, json={"pre_launch_script": "echo two", "allow_force_stop": True}),
              "envs": lambda: patch(node, cvm, "envs", json={"encrypted_env": ENV}),
              "os-image": lambda: patch(node, cvm, json={"image": BOOT, "shutdown_timeout": 30}),
              "visibility": lambda: patch(node, cvm, "visibility", json={"public_logs": False}),
              "docker-compose": lambda: patch(node, cvm, "docker-compose", data=YAML),
              "rollback": lambda: rolled(node, cvm)}[way]()
    assert answer.status in (200, 202), answer
    assert cvm.status != "running" or not node.live_operations(cvm.uuid), "who waits for running must not be told so before"
    done(node, answer)
    cvm.becomes("running")
    assert cvm.pids() and cvm.pids() != pids


def rolled(node, cvm):
    done(node, patch(node, cvm, json={"pre_launch_script": "echo two", "allow_force_stop": True}))
    return node.post(f"/apps/{cvm.app_id}/revisions/1/rollback", json={"allow_force_stop": True, "shutdown_timeout": 10})


def test_the_new_files_are_what_the_guest_gets(button_node):
    node = button_node
    cvm = running(node)
    done(node, patch(node, cvm, json={"docker_compose_file": YAML, "encrypted_env": ENV, "allow_force_stop": True}))
    found = [p for p in (node.dir / "cvms" / cvm.uuid).rglob("app-compose.json")]
    assert found and all(json.loads(p.read_text())["docker_compose_file"] == YAML for p in found)


def test_a_busy_cvm_is_a_bare_409(node):
    cvm = node.create(**ASK)    # does not hear its power button: the shutdown goes on
    cvm.request("shutdown", timeout=60).ok()
    for answer in (patch(node, cvm, json={"vcpu": 2}), patch(node, cvm, "resources", json={"vcpu": 2, "allow_restart": 1}),
                   patch(node, cvm, "envs", json={"encrypted_env": ENV}), node.post(f"/apps/{cvm.app_id}/revisions/1/rollback")):
        assert answer.status == 409 and "error_code" not in answer.json and int(answer.headers["retry-after"]) >= 1, answer
    cvm.request("stop").ok()


# ------------------------------------------------------------------ history and back


def test_the_history_shows_caller_time_and_change(node):
    cvm = stopped(node)
    first = cvm.get()["compose_hash"]
    done(node, patch(node, cvm, json={"docker_compose_file": YAML}))
    done(node, patch(node, cvm, "envs", json={"encrypted_env": ENV}))
    answer = node.get(f"/apps/app_{cvm.app_id}/revisions?page_size=2").ok().json
    assert (answer["total"], answer["total_pages"], answer["page"], answer["page_size"]) == (3, 2, 1, 2)
    newest, middle = answer["revisions"]
    oldest, = node.get(f"/apps/{cvm.app_id}/revisions?page=2&page_size=2").ok()["revisions"]
    assert [r["revision_id"] for r in (newest, middle, oldest)] == ["3", "2", "1"]
    assert [r["operation_type"] for r in (newest, middle, oldest)] == ["update", "update", "create"]
    assert newest["changed"] == ["encrypted_env"] and middle["changed"] == ["compose_file"]
    assert oldest["compose_hash"] == first != newest["compose_hash"] == middle["compose_hash"] == cvm.get()["compose_hash"]
    assert [r["current"] for r in (newest, middle, oldest)].count(True) == 1 and newest["current"]
    assert newest["triggered_by"]["username"] and newest["cvm"]["vm_uuid"] == newest["vm_uuid"] == cvm.uuid
    assert newest["workspace"]["slug"] == "local" and newest["trace_id"] == cvm.operations()[0]["id"]
    whole = node.get(f"/apps/{cvm.app_id}/revisions/1").ok().json
    assert whole["compose_file"]["docker_compose_file"] == COMPOSE["docker_compose_file"] and whole["encrypted_env"] == ""
    raw = node.get(f"/apps/{cvm.app_id}/revisions/1?raw_compose_file=true").ok()["compose_file"]
    assert hashlib.sha256(raw.encode()).hexdigest() == first
    for number in ("0", "4", "x", "-1", "1x", "9" * 20):
        refused(node.get(f"/apps/{cvm.app_id}/revisions/{number}"), 404)
        refused(node.post(f"/apps/{cvm.app_id}/revisions/{number}/rollback"), 404)
    refused(node.get(f"/apps/{'0' * 40}/revisions"), 404)


def test_back_to_a_revision_with_all_instances_or_one(node):
    one = stopped(node)
    first = one.get()["compose_hash"]
    done(node, patch(node, one, json={"docker_compose_file": YAML}))
    two = Cvm(node, node.post(f"/cvms/{one.uuid}/replicas", json={"stopped": True}).ok().json)
    assert two.get()["compose_hash"] != first
    answer = node.post(f"/apps/{one.app_id}/revisions/1/rollback", json={"vm_uuid": two.uuid})
    done(node, answer)
    assert two.get()["compose_hash"] == first != one.get()["compose_hash"]
    body = node.post(f"/apps/{one.app_id}/revisions/1/rollback").ok().json
    assert {o["vm_uuid"] for o in body["operations"]} == {one.uuid, two.uuid}
    node.settled()
    assert one.get()["compose_hash"] == two.get()["compose_hash"] == first
    assert manifest(node, one)["docker_compose_file"] == COMPOSE["docker_compose_file"]
    never = "00000000-0000-4000-8000-000000000000"
    refused(node.post(f"/apps/{one.app_id}/revisions/1/rollback", json={"vm_uuid": never}), 404, "ERR-03-001", value=never)


def test_a_rollback_is_for_all_or_for_none(node):
    one = stopped(node)
    two = Cvm(node, node.post(f"/cvms/{one.uuid}/replicas").ok().json)
    node.settled()
    for cvm in (one, two):
        done(node, patch(node, cvm, json={"pre_launch_script": "x", "allow_force_stop": True}))
    answer = node.post(f"/apps/{one.app_id}/revisions/1/rollback", json={"allow_restart": False})
    refused(answer, 400, field="allow_restart")
    assert not node.live_operations() and one.get()["compose_hash"] == two.get()["compose_hash"]
    assert manifest(node, one)["pre_launch_script"] == "x"


# ------------------------------------------------------------------ refusals

BAD = {
    "": [({"vcpu": 0}, "vcpu"), ({"vcpu": "2"}, "vcpu"), ({"memory": -1}, "memory"), ({"disk_size": 1.5}, "disk_size"),
         ({"instance_type": 5}, "instance_type"), ({"image": ""}, "image"), ({"image": "../x"}, "image"), ({"image": 5}, "image"),
         ({"docker_compose_file": "services: ["}, "docker_compose_file"), ({"docker_compose_file": ""}, "docker_compose_file"),
         ({"docker_compose_file": 5}, "docker_compose_file"), ({"docker_compose_file": "a: &x 1\nservices: {b: *x}"}, "docker_compose_file"),
         ({"pre_launch_script": 5}, "pre_launch_script"), ({"allowed_envs": "A"}, "allowed_envs"), ({"allowed_envs": [1]}, "allowed_envs"),
         ({"encrypted_env": "xyz"}, "encrypted_env"), ({"encrypted_env": "abc"}, "encrypted_env"), ({"encrypted_env": 5}, "encrypted_env"),
         ({"env_keys": {}}, "env_keys"), ({"env_keys": ["NOT_ALLOWED"]}, "env_keys"), ({"public_logs": "yes"}, "public_logs"),
         ({"public_sysinfo": 1}, "public_sysinfo"), ({"public_tcbinfo": []}, "public_tcbinfo"), ({"listed": "no"}, "listed"),
         ({"user_config": 5}, "user_config"), ({"gpus": []}, "gpus"), ({"gpus": {"count": -1}}, "gpus.count"),
         ({"gpus": {"count": 1}}, "gpus.product_name"), ({"gpus": {"count": 1, "gpus": [{}]}}, "gpus.count"),
         ({"gpus": {"attach_mode": "some"}}, "gpus.attach_mode"), ({"ports": {}}, "ports"), ({"ports": [{}]}, "ports[0].vm_port"),
         ({"ports": [{"vm_port": 1, "host_port": 1}]}, "ports[0].host_port"), ({"shutdown_timeout": 9}, "shutdown_timeout"),
         ({"shutdown_timeout": 1201}, "shutdown_timeout"), ({"allow_force_stop": 1}, "allow_force_stop"),
         ({"allow_restart": "true"}, "allow_restart"), ({"allow_restart": 2}, "allow_restart"), ({"colour": "red"}, "colour")],
    "resources": [({"vcpu": 0}, "vcpu"), ({"memory": "2G"}, "memory"), ({"disk_size": 1e30}, "disk_size"),
                  ({"instance_type": 5}, "instance_type"), ({"allow_restart": "yes"}, "allow_restart")],
    "envs": [({}, "encrypted_env"), ({"encrypted_env": None}, "encrypted_env"), ({"encrypted_env": "xyz"}, "encrypted_env"),
             ({"encrypted_env": ENV, "env_keys": "A"}, "env_keys"), ({"encrypted_env": ENV, "compose_hash": 5}, "compose_hash"),
             ({"encrypted_env": ENV, "transaction_hash": 5}, "transaction_hash"),
             ({"encrypted_env": ENV, "allow_restart": "x"}, "allow_restart")],
    "os-image": [({}, "os_image_name"), ({"os_image_name": ""}, "os_image_name"), ({"os_image_name": 5}, "os_image_name")],
    "visibility": [({"public_logs": 1}, "public_logs"), ({"public_sysinfo": "x"}, "public_sysinfo"), ({"public_tcbinfo": 0}, "public_tcbinfo"),
                   ({"listed": []}, "listed")],
    "compose_file": [({}, "compose_hash"), ({"compose_hash": 5}, "compose_hash"), ({"compose_hash": "x" * 70}, "compose_hash"),
                     ({"compose_hash": "ab" * 32, "update_env_vars": "x"}, "update_env_vars")],
}


@pytest.mark.parametrize("what, body, field", [(w, *case) for w, cases in BAD.items() for case in cases])
def test_a_bad_value_is_refused_naming_it_and_nothing_is_changed(node, what, body, field):
    cvm = stopped(node)
    before = cvm.get()
    answer = patch(node, cvm, what, json=body)
    refused(answer, 400, field=field)
    assert cvm.get() == before and len(cvm.operations()) == 1


@pytest.mark.parametrize("body, field", [({}, "compose_manifest"), ({"compose_manifest": {}}, "compose_manifest.docker_compose_file"),
                                         ({"compose_manifest": {"docker_compose_file": "services: ["}}, "docker_compose_file"),
                                         ({"compose_manifest": {"docker_compose_file": YAML, "allowed_envs": "A"}},
                                          "compose_manifest.allowed_envs"),
                                         ({"compose_manifest": {"docker_compose_file": YAML}, "encrypted_env": "x"}, "encrypted_env"),
                                         ({"compose_manifest": {"docker_compose_file": YAML}, "env_keys": ["Z"]}, "env_keys")])
def test_a_bad_value_in_the_older_form(node, body, field):
    refused(put_compose(node, stopped(node), **body), 400, field=field)


@pytest.mark.parametrize("body, field", [({"docker_compose_file": "services: ["}, "docker_compose_file"), ({"public_logs": "x"}, "public_logs"),
                                         ({"update_env_vars": "x"}, "update_env_vars"), ({"runner": "docker-compose"}, "name"),
                                         ({"storage_fs": "ntfs"}, "storage_fs")])
def test_a_bad_manifest_is_not_provisioned(node, body, field):
    refused(provision(node, stopped(node), **body), 400, field=field)


@pytest.mark.parametrize("data, kind", [(b"services: [", "text/yaml"), (b"", "text/yaml"), (b"\xff\xfe", "text/yaml"), (b"a\x00b", "text/yaml")])
def test_a_bad_docker_compose_text(node, data, kind):
    refused(patch(node, stopped(node), "docker-compose", data=data, kind=kind), 400, field="docker_compose_file")


def test_a_script_that_is_no_text_or_too_long(node):
    cvm = stopped(node)
    refused(patch(node, cvm, "pre-launch-script", data=b"echo \xff", kind="text/plain"), 400, "ERR-02-008", "pre_launch_script")
    assert patch(node, cvm, "pre-launch-script", data=b"x" * (1024 * 1024 + 1), kind="text/plain").status == 413


def test_bodies_that_are_no_objects(node):
    cvm = stopped(node)
    for what in BAD:
        for data in (b"", b"[]", b"null", b"{", b'{"vcpu": 1, "vcpu": 2}'):
            refused(patch(node, cvm, what, data=data), 400)


ROUTES = [("PATCH", "", {"vcpu": 2}), ("PATCH", "/resources", {"vcpu": 2}), ("PUT", "/compose", {"compose_manifest": {"docker_compose_file": YAML}}),
          ("PATCH", "/envs", {"encrypted_env": ENV}), ("PATCH", "/os-image", {"os_image_name": DEMO}),
          ("PATCH", "/visibility", {"public_logs": False}), ("PATCH", "/compose_file", {"compose_hash": "ab" * 32}),
          ("POST", "/compose_file/provision", {"public_logs": False}), ("PATCH", "/docker-compose", YAML), ("PATCH", "/pre-launch-script", "x")]


def request(node, method, path, body, **more):
    return node.api(method, path, **({"data": body} if isinstance(body, str) else {"json": body}), **more)


@pytest.mark.parametrize("method, what, body", ROUTES)
def test_the_same_key_changes_once(node, method, what, body):
    cvm = stopped(node)
    if what == "/compose_file":
        body = {"compose_hash": provision(node, cvm, public_logs=False).ok()["compose_hash"]}
    once = {"Idempotency-Key": f"update-{what}"}
    first = request(node, method, f"/cvms/{cvm.uuid}{what}", body, headers=once).ok()
    node.settled(cvm.uuid)
    before = len(cvm.operations())
    again = request(node, method, f"/cvms/{cvm.uuid}{what}", body, headers=once)
    assert (again.status, again.body) == (first.status, first.body) and again.headers["idempotent-replayed"] == "true"
    assert len(cvm.operations()) == before
    other = YAML + "# other\n" if isinstance(body, str) else {**body, "listed": True}
    refused(request(node, method, f"/cvms/{cvm.uuid}{what}", other, headers=once), 409)


@pytest.mark.parametrize("method, what, body", ROUTES)
def test_a_tag_that_is_of_yesterday_changes_nothing(node, method, what, body):
    cvm = stopped(node)
    tag = node.get(f"/cvms/{cvm.uuid}").ok().headers["etag"]
    done(node, patch(node, cvm, json={"pre_launch_script": "in between"}, headers={"If-Match": tag}))
    before = cvm.get()
    assert request(node, method, f"/cvms/{cvm.uuid}{what}", body, headers={"If-Match": tag}).status == 412
    assert cvm.get() == before


def test_no_route_reaches_into_another_workspace_or_is_a_reader_s(spawn):
    node = spawn()
    cvm = stopped(node)
    tenant, reader = add_key(node, "beta", "beta-tenant", "tenant"), add_key(node, "local", "looks", "reader")
    before = cvm.get()
    for name in (cvm.uuid, cvm.name, "app_" + cvm.app_id):
        for method, what, body in ROUTES:
            refused(request(node, method, f"/cvms/{name}{what}", body, key=tenant), 404, "ERR-03-001")
            refused(request(node, method, f"/cvms/{name}{what}", body, key=reader), 403)
        for part in ("compose_file", "docker-compose.yml", "pre-launch-script", "user_config", "available-os-images"):
            refused(node.get(f"/cvms/{name}/{part}", key=tenant), 404, "ERR-03-001")
            node.get(f"/cvms/{name}/{part}", key=reader).ok()
    for path in ("revisions", "revisions/1"):
        refused(node.get(f"/apps/{cvm.app_id}/{path}", key=tenant), 404)
        node.get(f"/apps/{cvm.app_id}/{path}", key=reader).ok()
    refused(node.post(f"/apps/{cvm.app_id}/revisions/1/rollback", key=tenant), 404)
    refused(node.post(f"/apps/{cvm.app_id}/revisions/1/rollback", key=reader), 403)
    assert cvm.get() == before
    operator = add_key(node, "beta", "beta-operator", "operator")
    done(node, patch(node, cvm, "resources", json={"vcpu": 2}, key=operator))


@pytest.mark.parametrize("body, field", [({"vm_uuid": "x"}, "vm_uuid"), ({"vm_uuid": 5}, "vm_uuid"), ({"allow_restart": "x"}, "allow_restart"),
                                         ({"shutdown_timeout": 9}, "shutdown_timeout"), ({"allow_force_stop": 0}, "allow_force_stop"),
                                         ({"number": 1}, "number")])
def test_a_bad_value_of_a_rollback(node, body, field):
    cvm = stopped(node)
    refused(node.post(f"/apps/{cvm.app_id}/revisions/1/rollback", json=body), 400, field=field)
