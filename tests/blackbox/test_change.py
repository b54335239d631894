# SPDX-License-Identifier: Apache-2.0
"""Changes of a CVM: resize, upgrade and port forwards, with and without a restart, and the way back when one fails."""

import json
import signal
import socket
import time

import pytest

from node import DEMO, assert_consistent, command_line, refused, until

TCP = {"protocol": "tcp", "host_port": 0}
NGINX = "services:\n  web:\n    image: nginx:2\n"


def change(cvm, **body):
    return cvm.node.api("PATCH", f"/cvms/{cvm.uuid}", json=body)


def resize(cvm, **body):
    return cvm.node.api("PATCH", f"/cvms/{cvm.uuid}/resources", json=body)


def done(cvm, answer):
    """Wait until the change is over; returns its operation."""
    answer.ok()
    cvm.node.settled(cvm.uuid)
    return [op for op in cvm.operations() if op["kind"] in ("resize", "upgrade")][0]


def size(cvm):
    return cvm.node.rows("select vcpus, memory_mib, disk_gib from cvms where uuid = ?", cvm.uuid)[0]


def reserved(node):
    return {name: row["promised"] for name, row in node.capacity().items() if name in ("vcpus", "memory_mib", "disk_gib", "host_ports")}


def file_gib(cvm):
    return int.from_bytes((cvm.node.dir / "cvms" / cvm.uuid / "hda.img").read_bytes()[24:32], "big") / (1 << 30)


def history(cvm):
    """The history, newest first, without values that differ between runs."""
    rows = cvm.node.rows("select h.number, h.changed, h.caller, (select kind from operations where id = h.op), r.compose_hash from history h"
                         " join revisions r on r.id = h.revision where h.cvm_uuid = ? order by h.number desc", cvm.uuid)
    return [(number, json.loads(changed), caller, kind, digest) for number, changed, caller, kind, digest in rows]


# ---------------------------------------------------------------------- resize


def test_a_stopped_cvm_is_resized_and_stays_stopped(node):
    cvm = node.create(stopped=True)
    op = done(cvm, resize(cvm, vcpu=2, memory=128, disk_size=3, allow_restart=1))
    assert op["kind"] == "resize" and op["state"] == "succeeded"
    assert size(cvm) == (2, 128, 3) and cvm.status == "stopped" and node.guests() == []
    assert reserved(node) == {"vcpus": 2, "memory_mib": 128, "disk_gib": 3, "host_ports": 0}
    cvm.do("start")
    cvm.becomes("running")
    assert file_gib(cvm) == 3


def test_a_running_cvm_is_stopped_and_started_for_another_size(node):
    cvm = node.create(ports=[TCP | {"vm_port": 80}])
    boot = node.rows("select boot from cvms")[0][0]
    first = cvm.pids()
    op = done(cvm, change(cvm, vcpu=2, memory=96, disk_size=2, allow_restart=True, allow_force_stop=True))
    assert op["state"] == "succeeded", op
    assert cvm.status == "running" and cvm.pids() != first
    line = command_line(cvm.pids()[0])
    assert any(arg.startswith("size=96M") or arg == "96" or "size=100663296" in arg for arg in " ".join(line).replace(",", " ").split()), line
    assert line[line.index("-smp") + 1].startswith("2")
    assert file_gib(cvm) == 2 and node.rows("select boot from cvms")[0][0] == boot + 1
    assert len(cvm.ports()) == 1
    assert history(cvm)[0][:4] == (2, ["vcpu", "memory", "disk_size"], "tok_1 (dev-admin)", "resize")
    assert_consistent(node)


def test_without_allow_restart_a_running_cvm_is_left_alone(node):
    cvm = node.create()
    pids = cvm.pids()
    body = refused(resize(cvm, memory=96, allow_restart=0), 400, None, "allow_restart")
    assert "stop" in json.dumps(body) and cvm.pids() == pids and size(cvm) == (1, 64, 1)
    assert reserved(node)["memory_mib"] == 64
    assert [op["kind"] for op in cvm.operations()] == ["create"]


def test_a_disk_grows_under_a_running_guest(node):
    cvm = node.create()
    pids = cvm.pids()
    op = done(cvm, resize(cvm, disk_size=4))
    assert op["state"] == "succeeded" and cvm.pids() == pids and cvm.status == "running"
    assert size(cvm)[2] == 4 and file_gib(cvm) == 4
    done(cvm, resize(cvm, disk_size=4))
    assert cvm.pids() == pids and len(history(cvm)) == 2, "nothing was different"


def test_a_disk_does_not_shrink(node):
    cvm = node.create(stopped=True, disk_size=3)
    body = refused(resize(cvm, disk_size=2), 400, None, "disk_size", 2)
    assert "only grows" in json.dumps(body)
    assert size(cvm)[2] == 3


def test_only_the_difference_is_reserved_and_refused_with_numbers(spawn):
    node = spawn(options={"capacity.vcpus": 4, "capacity.memory_mib": 1024, "capacity.disk_gib": 8})
    cvm = node.create(stopped=True, vcpu=3, memory=768, disk_size=6)
    done(cvm, resize(cvm, vcpu=4, memory=1024, disk_size=8))
    assert reserved(node) == {"vcpus": 4, "memory_mib": 1024, "disk_gib": 8, "host_ports": 0}
    refused(resize(cvm, vcpu=5), 400, "ERR-02-003")
    refused(resize(cvm, memory=1025), 400, "ERR-02-004")
    done(cvm, resize(cvm, vcpu=1, memory=64))
    assert reserved(node) == {"vcpus": 1, "memory_mib": 64, "disk_gib": 8, "host_ports": 0}


def test_an_unknown_type_and_a_known_one(node):
    cvm = node.create(stopped=True, disk_size=30)
    refused(resize(cvm, instance_type="tdx.nothing"), (400, 404), "ERR-02-001")
    kind = "tdx.small"
    op = done(cvm, resize(cvm, instance_type=kind))
    assert op["kind"] == "resize"
    assert cvm.node.rows("select instance_type, disk_gib from cvms where uuid = ?", cvm.uuid)[0] == (kind, 30), "a smaller disk is left"
    done(cvm, resize(cvm, vcpu=3))
    assert cvm.node.rows("select instance_type, vcpus from cvms where uuid = ?", cvm.uuid)[0] == ("", 3)


def test_a_size_that_does_not_start_goes_back_and_says_so(spawn):
    node = spawn(options={"capacity.memory_mib": 200_000_000})
    cvm = node.create(ports=[TCP | {"vm_port": 80}])
    op = done(cvm, change(cvm, memory=100_000_000, vcpu=2, allow_force_stop=True))
    assert op["state"] == "failed"
    error = json.dumps(op["error"])
    assert "memory" in error and "the CVM is as it was before, and is started again (operation" in error, error
    cvm.becomes("running")
    assert size(cvm) == (1, 64, 1) and reserved(node)["memory_mib"] == 64
    assert [o["kind"] for o in cvm.operations()] == ["start", "resize", "create"]
    assert [h[1] for h in history(cvm)] == [["created"]]
    assert_consistent(node)


# ---------------------------------------------------------------------- upgrade


def test_an_upgrade_is_one_operation_and_one_entry_in_the_history(node):
    cvm = node.create(user_config="old", encrypted_env="aa" * 60)
    first = cvm.get()["compose_hash"]
    shared = node.dir / "cvms" / cvm.uuid / "shared"
    assert (shared / ".encrypted-env").read_bytes() == b"\xaa" * 60
    op = done(cvm, change(cvm, docker_compose_file=NGINX, encrypted_env="bb" * 70, user_config="new", listed=True, allow_force_stop=True))
    assert (op["kind"], op["state"]) == ("upgrade", "succeeded"), op
    now = cvm.get()
    assert now["compose_hash"] != first and now["app_id"] == cvm.app_id
    assert (shared / ".encrypted-env").read_bytes() == b"\xbb" * 70
    assert (shared / ".user-config").read_text() == "new"
    assert json.loads((shared / "app-compose.json").read_text())["docker_compose_file"] == NGINX
    entries = history(cvm)
    assert [e[0] for e in entries] == [2, 1]
    assert entries[0][1:] == (["compose_file", "encrypted_env", "user_config", "listed"], "tok_1 (dev-admin)", "upgrade", now["compose_hash"])
    assert entries[1][1:] == (["created"], "tok_1 (dev-admin)", "create", first)


def test_another_image_boots(node):
    cvm = node.create(memory=160)
    op = done(cvm, change(cvm, image=DEMO, allow_force_stop=True))
    assert op["state"] == "succeeded", op
    until("the other guest is up", lambda: "boot.progress: done" in cvm.log())
    assert node.rows("select i.name from cvms c join images i on i.id = c.image") == [(DEMO,)]
    refused(change(cvm, image="no-such-image"), (400, 404), "ERR-02-010")


def test_an_image_that_something_changes_to_is_in_use(spawn):
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT="upgrade.apply.before")
    cvm = node.create(stopped=True, memory=160)
    try:
        change(cvm, image=DEMO)
    except OSError:
        pass
    assert node.died() == signal.SIGKILL
    assert node.rows("select image <> (select image from changes) from cvms") == [(1,)]


def test_an_empty_environment_removes_it(node):
    cvm = node.create(stopped=True, encrypted_env="aa" * 60, user_config="x")
    done(cvm, change(cvm, encrypted_env="", user_config=""))
    assert node.rows("select encrypted_env, user_config from cvms") == [(None, None)]


def test_an_upgrade_of_what_is_the_same_is_over_at_once(node):
    cvm = node.create()
    pids = cvm.pids()
    op = done(cvm, change(cvm, docker_compose_file=node.create_body()["compose_file"]["docker_compose_file"], vcpu=1))
    assert op["state"] == "succeeded" and cvm.pids() == pids and len(history(cvm)) == 1


def test_while_it_is_changed_it_is_busy_and_stop_overtakes(node):
    cvm = node.create()
    # The guest ignores its power button.
    change(cvm, memory=96, shutdown_timeout=60).ok()
    until("it waits", lambda: cvm.operations()[0]["step"] == "wait")
    assert cvm.status == "updating"
    assert reserved(node)["memory_mib"] == 96, "reserved before anything stops"
    refused(change(cvm, memory=80), 409)
    refused(cvm.request("restart"), 409)
    cvm.do("stop")
    cvm.becomes("stopped")
    assert size(cvm) == (1, 64, 1) and reserved(node)["memory_mib"] == 64
    assert [(o["kind"], o["state"]) for o in cvm.operations()][:2] == [("stop", "succeeded"), ("resize", "cancelled")]


def test_a_cancelled_change_leaves_the_guest_running(node):
    cvm = node.create()
    pids = cvm.pids()
    change(cvm, memory=96, shutdown_timeout=60).ok()
    until("it waits", lambda: cvm.operations()[0]["step"] == "wait")
    op = cvm.operations()[0]["id"]
    assert node.api("DELETE", f"/operations/{op}").status == 202
    node.settled()
    assert node.operation(op)["state"] == "cancelled"
    assert cvm.pids() == pids and cvm.status == "running" and size(cvm) == (1, 64, 1)


def test_delete_overtakes_a_change(node):
    cvm = node.create()
    change(cvm, memory=96, disk_size=2, ports=[TCP | {"vm_port": 80}], shutdown_timeout=60).ok()
    cvm.delete()
    assert reserved(node) == {"vcpus": 0, "memory_mib": 0, "disk_gib": 0, "host_ports": 0}


# ---------------------------------------------------------------------- ports


def connects(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_ports_of_a_running_guest_are_led_without_a_restart(node):
    cvm = node.create(ports=[TCP | {"vm_port": 80}, TCP | {"vm_port": 81}])
    pids = cvm.pids()
    old = {row[3]: row[2] for row in cvm.ports()}
    op = done(cvm, change(cvm, ports=[TCP | {"vm_port": 80}, TCP | {"vm_port": 82}], allow_restart=False))
    assert (op["kind"], op["state"]) == ("upgrade", "succeeded"), op
    now = {row[3]: row[2] for row in cvm.ports()}
    assert cvm.pids() == pids and set(now) == {80, 82} and now[80] == old[80], "one that stays is the same"
    assert connects(now[82]) and not connects(old[81])
    done(cvm, change(cvm, ports=[{"protocol": "tcp", "host_port": now[80], "vm_port": 8080}]))
    assert cvm.pids() == pids and [(r[2], r[3]) for r in cvm.ports()] == [(now[80], 8080)]
    done(cvm, change(cvm, ports=[]))
    assert cvm.pids() == pids and cvm.ports() == [] and not connects(now[80])
    assert reserved(node)["host_ports"] == 0
    assert_consistent(node)


def test_a_port_of_another_cvm_is_refused_and_nothing_changes(node):
    one = node.create(stopped=True, ports=[TCP | {"vm_port": 80}])
    two = node.create(stopped=True, ports=[TCP | {"vm_port": 80}])
    taken = one.ports()[0][2]
    a = change(two, vcpu=2, ports=[{"protocol": "tcp", "host_port": taken, "vm_port": 80}])
    assert a.status // 100 in (4, 5) and one.name in a.text, a
    assert size(two) == (1, 64, 1) and reserved(node)["host_ports"] == 2


def test_with_release_on_stop_a_stopped_cvm_reserves_no_more_than_it_had(spawn):
    node = spawn(options={"capacity.vcpus": 4, "capacity.release_on_stop": "yes"})
    cvm = node.create(stopped=True, vcpu=1)
    node.create(stopped=False, vcpu=3)
    done(cvm, resize(cvm, vcpu=2, disk_size=2))
    assert reserved(node)["vcpus"] == 3
    refused(cvm.request("start"), 400, "ERR-02-003")
    done(cvm, resize(cvm, vcpu=1))
    cvm.do("start")
    cvm.becomes("running")
    assert reserved(node)["vcpus"] == 4
