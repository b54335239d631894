# SPDX-License-Identifier: Apache-2.0
"""Replicas: what they share with their source, what is their own, and how a source is named."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from node import BOOT, COMPOSE, Cvm, command_line, refused
from test_workspaces import add_key

ENV, DISK = "00" * 80, "hda.img"


def source_of(node, name="source", stopped=True, **more):
    more = {"compose_file": {**COMPOSE, "allowed_envs": ["A"]}, "encrypted_env": ENV, "user_config": "{}", "listed": True,
            "ports": [{"host_port": 0, "vm_port": 80}, {"protocol": "udp", "host_port": 0, "vm_port": 53}], **more}
    return node.create(name=name, stopped=stopped, **more)


def replica(node, path, ok=True, key="own", headers=None, **body):
    answer = node.post(f"{path}", json=body or None, key=key, headers=headers)
    return Cvm(node, answer.ok().json) if ok else answer


def replicas_of(node, cvm, **body):
    return replica(node, f"/cvms/{cvm.uuid}/replicas", **body)


def blobs(node, uuid):
    return node.rows("select hex(encrypted_env), user_config from cvms where uuid = ?", uuid)[0]


def revised(node, first, name="other-revision"):
    """An instance of the same app with another manifest."""
    return Cvm(node, replica(node, f"/apps/{first.app_id}/instances", stopped=True, pre_launch_script=f"echo {name}").body)


# ------------------------------------------------------------------ what it is


def test_it_has_the_source_s_software_and_size_and_its_own_identity(node):
    first = source_of(node, vcpu=2, disk_size=3)
    second = replicas_of(node, first, stopped=True)
    a, b = first.get(), second.get()
    for same in ("app_id", "compose_hash", "resource", "os", "listed", "public_logs", "compose_file"):
        assert a[same] == b[same], same
    for own in ("id", "vm_uuid", "name"):
        assert a[own] != b[own], own
    assert second.name.startswith("source-") and len(second.name) == len("source-") + 5
    assert blobs(node, first.uuid) == blobs(node, second.uuid)
    cids = node.rows("select cid from cvms")
    assert len(set(cids)) == 2
    assert {(p[0], p[3]) for p in second.ports()} == {(p[0], p[3]) for p in first.ports()}
    assert not {p[:3] for p in second.ports()} & {p[:3] for p in first.ports()}, "host ports can not be shared"


def test_a_running_source_gives_a_running_replica_with_an_empty_disk(node):
    first = source_of(node, stopped=False)
    second = replicas_of(node, first)
    node.settled()
    second.becomes("running")
    assert first.status == "running" and first.pids() and second.pids() != first.pids()
    line = " ".join(command_line(second.pids()[0]))
    assert second.uuid in line and first.uuid not in line, "no file of the source's"
    disks = [node.dir / "cvms" / cvm.uuid / DISK for cvm in (first, second)]
    assert disks[0].stat().st_ino != disks[1].stat().st_ino
    assert b"backing" not in subprocess.run(["qemu-img", "info", "-U", str(disks[1])], capture_output=True, check=True).stdout


def test_nothing_the_source_wrote_goes_along(node):
    first = source_of(node, stopped=False)
    first.do("stop")
    mark = b"what the source wrote, in the middle of its disk"
    subprocess.run(["qemu-io", "-c", f"write -s {_file(node, mark)} 512k 512", str(node.dir / "cvms" / first.uuid / DISK)], check=True,
                   capture_output=True)
    second = replicas_of(node, first)
    node.settled()
    second.do("stop")
    assert mark in _whole(node, first) and mark not in _whole(node, second)


def _file(node, mark):
    path = node.dir / "mark"
    path.write_bytes(mark)
    return path


def _whole(node, cvm):
    raw = node.dir / f"{cvm.uuid}.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(node.dir / "cvms" / cvm.uuid / DISK), str(raw)], check=True)
    with open(raw, "rb") as f:
        data = f.read(4 * 1024 * 1024)
    raw.unlink()
    return data


def test_it_may_have_an_environment_of_its_own(node):
    first = source_of(node)
    other = replicas_of(node, first, stopped=True, encrypted_env="ff" * 70, env_keys=["A"])
    none = replicas_of(node, first, stopped=True, encrypted_env="")
    assert blobs(node, other.uuid)[0] == "FF" * 70
    assert not blobs(node, none.uuid)[0]
    body = refused(replicas_of(node, first, ok=False, encrypted_env="ff" * 70, env_keys=["A", "SECRET"]), 400, "ERR-02-008", "env_keys")
    assert "SECRET" in str(body) and "'A'" not in str(body["details"])


def test_the_longest_name_is_cut_and_names_stay_unique(node):
    first = source_of(node, name="x" * 56 + "-" + "y" * 6)
    names = {replicas_of(node, first, stopped=True).name for _ in range(5)}
    assert len(names) == 5 and all(len(n) <= 63 and n.startswith("x" * 56 + "-") and "--" not in n for n in names)


# ------------------------------------------------------------------ which source


def test_every_form_of_the_source_works(node):
    first = source_of(node)
    app = first.app_id
    for name in (first.uuid, first.uuid.replace("-", ""), first.uuid.upper(), app, "app_" + app, "0x" + app, first.name,
                 f"cvm_{first.body['id']}"):
        assert replica(node, f"/cvms/{name}/replicas", stopped=True).app_id == app
    for name in (app, "app_" + app, "0x" + app, app.upper()):
        assert replica(node, f"/apps/{name}/cvms/{first.uuid}/replicas", stopped=True).app_id == app
        assert replica(node, f"/apps/{name}/instances", stopped=True).app_id == app
    assert len(node.get(f"/apps/{app}/cvms").ok().json) == 17


def test_an_app_in_two_revisions_needs_the_hash_and_the_hash_wins(node):
    first = source_of(node)
    second = revised(node, first)
    one, two = first.get()["compose_hash"], second.get()["compose_hash"]
    assert one != two
    for path in (f"/cvms/{first.uuid}/replicas", f"/cvms/{second.uuid}/replicas", f"/cvms/app_{first.app_id}/replicas",
                 f"/cvms/{first.app_id}/replicas", f"/cvms/{first.name}/replicas", f"/apps/{first.app_id}/instances",
                 f"/apps/{first.app_id}/cvms/{first.uuid}/replicas"):
        body = refused(replica(node, path, ok=False, stopped=True), 400, "ERR-03-009", "compose_hash")
        row, = [row for row in body["details"] if row["field"] == "compose_hash"]
        assert one in row["value"] and two in row["value"], "the candidates"
        for given in (two, "0x" + two, two.upper()):
            assert replica(node, path, compose_hash=given, stopped=True).get()["compose_hash"] == two
        assert replica(node, path, compose_hash=one, stopped=True).get()["compose_hash"] == one


def test_a_hash_no_live_instance_has_is_a_conflict(node):
    first = source_of(node)
    body = refused(replicas_of(node, first, ok=False, compose_hash="ab" * 32), 409, "ERR-03-007", "compose_hash", "ab" * 32)
    assert first.get()["compose_hash"] in str(body["suggestions"])
    assert len(node.uuids()) == 1


def test_an_instance_being_deleted_is_no_candidate(node):
    first = source_of(node)
    second = revised(node, first)
    second.delete()
    replicas_of(node, first, stopped=True)


def test_a_missing_source_and_a_foreign_one_get_the_same_answer(spawn):
    node = spawn()
    mine = source_of(node)
    tenant = add_key(node, "beta", "beta-tenant", "tenant")
    never = "00000000-0000-4000-8000-000000000000"

    def error_of(name, path):
        body = refused(node.post(path, key=tenant), 404, "ERR-03-008")
        return str({k: v for k, v in body.items() if k != "request_id"}).replace(name, "NAME")
    for theirs, nobodys in ((mine.uuid, never), (mine.name, "no-such"), ("app_" + mine.app_id, "app_" + "0" * 40)):
        assert error_of(theirs, f"/cvms/{theirs}/replicas") == error_of(nobodys, f"/cvms/{nobodys}/replicas")
    refused(node.post(f"/apps/{mine.app_id}/instances", key=tenant), 404, "ERR-03-008")
    refused(node.post(f"/apps/{mine.app_id}/cvms/{mine.uuid}/replicas", key=tenant), 404, "ERR-03-008")
    refused(node.post(f"/cvms/{mine.uuid}/replicas", key=add_key(node, "local", "looks", "reader")), 403)
    operator = add_key(node, "beta", "beta-operator", "operator")
    made = node.post(f"/cvms/{mine.uuid}/replicas", json={"stopped": True}, key=operator).ok()
    assert node.rows("select count(distinct workspace) from cvms") == [(1,)], "a replica is where its source is"
    assert made["app_id"] == mine.app_id


def test_a_cvm_of_another_app_is_not_an_instance_of_this(node):
    one, two = source_of(node), source_of(node, name="of-another-app", compose_file={**COMPOSE, "name": "another"})
    refused(node.post(f"/apps/{one.app_id}/cvms/{two.uuid}/replicas"), 404, "ERR-03-008")


# ------------------------------------------------------------------ what refuses it


@pytest.mark.parametrize("node_id", [{"node_id": 77}, {"teepod_id": 77}])
def test_a_node_that_does_not_exist(node, node_id):
    refused(replicas_of(node, source_of(node), ok=False, **node_id), 404, "ERR-01-001", value="77")


def test_this_node_by_either_name(node):
    first = source_of(node)
    replicas_of(node, first, node_id=1, stopped=True)
    replicas_of(node, first, teepod_id=1, stopped=True)
    refused(replicas_of(node, first, ok=False, node_id=1, teepod_id=2), 400, "ERR-02-009", "node_id")


@pytest.mark.parametrize("short, code", [("capacity.vcpus=2", "ERR-02-003"), ("capacity.memory_mib=100", "ERR-02-004"),
                                         ("capacity.slots=1", "ERR-02-005"), ("capacity.disk_gib=1", "ERR-02-002")])
def test_a_node_that_is_full_says_of_what(spawn, short, code):
    key, value = short.split("=")
    node = spawn(options={key: value})
    first = source_of(node, vcpu=2)
    before = node.get("/node").ok().json["capacity"]
    body = refused(replicas_of(node, first, ok=False), 400, code)
    assert {row["field"] for row in body["details"]} >= {"asked", "free", "total"}
    assert node.get("/node").ok().json["capacity"] == before and len(node.uuids()) == 1


def test_an_image_whose_files_are_gone(spawn):
    node = spawn()
    first = source_of(node)
    (node.dir / "images" / BOOT).rename(node.dir / "images" / "elsewhere")
    body = refused(replicas_of(node, first, ok=False), 400, "ERR-03-006", "os_image", BOOT)
    assert body["suggestions"]
    (node.dir / "images" / "elsewhere").rename(node.dir / "images" / BOOT)
    replicas_of(node, first, stopped=True)


@pytest.mark.parametrize("body, field", [
    ({"node_id": "one"}, "node_id"), ({"node_id": -1}, "node_id"), ({"teepod_id": 1.5}, "teepod_id"),
    ({"encrypted_env": "xyz"}, "encrypted_env"), ({"encrypted_env": "abc"}, "encrypted_env"), ({"encrypted_env": 5}, "encrypted_env"),
    ({"env_keys": "A"}, "env_keys"), ({"env_keys": [1]}, "env_keys"), ({"env_keys": ["B"]}, "env_keys"),
    ({"compose_hash": "abc"}, "compose_hash"), ({"compose_hash": 7}, "compose_hash"), ({"compose_hash": "0x" + "g" * 64}, "compose_hash"),
    ({"count": 0}, "count"), ({"count": 65}, "count"), ({"count": "2"}, "count"), ({"count": 2, "partial": "yes"}, "partial"),
    ({"partial": True}, "partial"), ({"stopped": 1}, "stopped"),
])
def test_a_bad_value_is_refused_naming_it(node, body, field):
    first = source_of(node)
    refused(replicas_of(node, first, ok=False, **body), 400, field=field)
    assert len(node.uuids()) == 1


@pytest.mark.parametrize("body, field", [
    ({"docker_compose_file": "services: ["}, "docker_compose_file"), ({"docker_compose_file": 5}, "docker_compose_file"),
    ({"pre_launch_script": 5}, "pre_launch_script"), ({"token": 5}, "token"), ({"transaction_hash": 5}, "transaction_hash"),
    ({"pre_launch_script": "true", "compose_hash": "ab" * 32}, "compose_hash"),
])
def test_a_bad_value_for_an_instance(node, body, field):
    first = source_of(node)
    refused(replica(node, f"/apps/{first.app_id}/instances", ok=False, **body), 400, field=field)


# ------------------------------------------------------------------ an instance with software of its own


def test_an_instance_may_be_a_revision_of_its_own(node):
    first = source_of(node)
    yaml = "services:\n  db:\n    image: postgres:16\n"
    made = replica(node, f"/apps/app_{first.app_id}/instances", docker_compose_file=yaml, pre_launch_script="true", stopped=True)
    got = made.get()
    assert got["app_id"] == first.app_id and got["compose_hash"] != first.get()["compose_hash"]
    assert got["compose_file"]["docker_compose_file"] == yaml and got["compose_file"]["allowed_envs"] == ["A"]
    again = replica(node, f"/apps/{first.app_id}/instances", docker_compose_file=yaml, compose_hash=got["compose_hash"], stopped=True)
    assert again.get()["compose_hash"] == got["compose_hash"]


# ------------------------------------------------------------------ several at once


def several(node, cvm, **body):
    return node.post(f"/cvms/{cvm.uuid}/replicas", json={"stopped": True, **body})


def test_count_makes_so_many(node):
    first = source_of(node)
    body = several(node, first, count=7).ok().json
    assert (body["asked"], body["created"], len(body["items"]), body["error"]) == (7, 7, 7, None)
    assert len({item["vm_uuid"] for item in body["items"]} | {first.uuid}) == 8 == len(node.uuids())
    one = several(node, first, count=1).ok().json
    assert one["created"] == 1 and one["items"][0]["operation_id"]


def test_all_or_none_unless_partial(spawn):
    node = spawn(options={"capacity.slots": 4})
    first = source_of(node)
    before = node.get("/node").ok().json["capacity"]
    body = refused(several(node, first, count=5), 400, "ERR-02-005")
    assert "3 of 5" in str(body["suggestions"])
    assert len(node.uuids()) == 1 and node.get("/node").ok().json["capacity"] == before
    body = several(node, first, count=5, partial=True).ok().json
    assert (body["asked"], body["created"], body["error"]["error_code"]) == (5, 3, "ERR-02-005")
    assert len(node.uuids()) == 4
    refused(several(node, first, count=5, partial=True), 400, "ERR-02-005")


def test_many_clients_never_make_more_than_fit(spawn):
    node = spawn(options={"capacity.slots": 20})
    first = source_of(node)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: several(node, first), range(60)))
    assert sum(a.status == 200 for a in answers) == 19 == len(node.uuids()) - 1
    for answer in answers:
        if answer.status != 200:
            refused(answer, 400, "ERR-02-005")


def test_the_same_key_makes_the_same_replica(node):
    first = source_of(node)
    once = {"Idempotency-Key": "replica-once"}
    made = replicas_of(node, first, headers=once, stopped=True)
    again = node.post(f"/cvms/{first.uuid}/replicas", json={"stopped": True}, headers=once)
    assert again["vm_uuid"] == made.uuid and again.headers["idempotent-replayed"] == "true"
    refused(node.post(f"/cvms/{first.uuid}/replicas", json={"stopped": True, "count": 2}, headers=once), 409)
    assert len(node.uuids()) == 2


def test_events_say_what_it_was_made_from(node):
    first = source_of(node)
    newest = node.get("/events?limit=1").ok()["newest"]
    made = replicas_of(node, first, stopped=True)
    events = node.get(f"/events?after={newest}&limit=100").ok()["events"]
    replicated, = [e for e in events if e["type"] == "cvm.replicated"]
    assert replicated["vm_uuid"] == made.uuid and replicated["data"]["source"] == first.uuid
