# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon at every step of every operation: afterwards all accounts balance, and nothing acknowledged is lost.

There is a failure point before and after each step of an operation. test_the_list_of_steps_is_complete compares this
list with the daemon's.
"""

import fcntl
import http.client
import json
import os
import signal
import struct
import threading
import time

import pytest

from node import assert_consistent, until

BOOT_STEPS = ["files", "disk", "define", "start", "forwards", "boot"]

STEPS = {
    "create": ["reserve", *BOOT_STEPS],
    "start": ["reserve", *BOOT_STEPS],
    "stop": ["stop"],
    "shutdown": ["signal", "wait", "stop"],
    "restart": ["check", "signal", "wait", "stop", *BOOT_STEPS],
    "delete": ["stop", "undefine", "remove"],
}
CHANGE_STEPS = ["reserve", "check", "signal", "wait", "stop", "disk", "apply", *(s for s in BOOT_STEPS if s != "disk")]

# A reservation is part of the transaction that writes the answer, and apply is one transaction: the daemon cannot die inside them.
WHEN = {"reserve": (), "apply": ("before",)}
POINTS = [f"{kind}.{step}.{when}" for kind, steps in STEPS.items() for step in steps
          for when in WHEN.get(step, ("before", "after"))]

# Kind of operation, request body, and the steps that are not skipped for it.
CHANGES = {
    "resize": ("resize", {"vcpu": 2, "memory": 96, "disk_size": 2}, CHANGE_STEPS),
    "resize of a stopped CVM": ("resize", {"vcpu": 2, "memory": 96, "disk_size": 2}, ["disk", "apply"]),
    "disk of a running CVM": ("resize", {"disk_size": 2}, ["disk", "apply"]),
    "upgrade": ("upgrade", {"docker_compose_file": "services:\n  web:\n    image: nginx:2\n", "encrypted_env": "00" * 60,
                            "user_config": "{}", "vcpu": 2, "disk_size": 2, "listed": True,
                            "ports": [{"protocol": "tcp", "host_port": 0, "vm_port": 81}]}, CHANGE_STEPS),
    "upgrade of a stopped CVM": ("upgrade", {"docker_compose_file": "services:\n  web:\n    image: nginx:2\n",
                                             "ports": []}, ["apply"]),
    "ports of a running CVM": ("upgrade", {"ports": [{"protocol": "tcp", "host_port": 0, "vm_port": 81}]}, ["apply", "forwards"]),
}
CHANGE_POINTS = [(what, f"{kind}.{step}.{when}") for what, (kind, _, steps) in CHANGES.items() for step in steps
                 for when in WHEN.get(step, ("before", "after"))]


def prepare(node, kind):
    """A CVM on which an operation of @kind can run."""
    if kind == "create":
        return None
    return node.create(stopped=kind == "start", ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])


def begin(node, kind, cvm):
    """Request the operation. The daemon may die before, while or after it answers. True if it was acknowledged."""
    try:
        if kind == "create":
            answer = node.try_create(name="victim", ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
        elif kind == "delete":
            answer = node.api("DELETE", f"/cvms/{cvm.uuid}")
        elif kind == "shutdown":
            answer = cvm.request("shutdown", timeout=60)
        elif kind == "restart":
            answer = cvm.request("restart", force=True)
        else:
            answer = cvm.request(kind)
    except (OSError, http.client.HTTPException):
        return False
    assert answer.status // 100 == 2, answer
    return True


def victim(node):
    found = node.rows("select uuid from cvms where name = 'victim'")
    return node.cvm(found[0][0]) if found else None


def outcome_is_consistent(node, kind, cvm, acknowledged):
    if kind == "create":
        made = victim(node)
        assert made or not acknowledged, "an acknowledged create is lost"
        if made:
            made.becomes("running", 15)
        return made
    if kind == "delete":
        gone = node.get(f"/cvms/{cvm.uuid}").status == 404
        assert gone or not acknowledged, "an acknowledged delete is lost"
        return None if gone else cvm
    wanted = {"start": "running", "restart": "running", "stop": "stopped", "shutdown": "stopped"}[kind]
    if acknowledged:
        cvm.becomes(wanted, 30)
    return cvm


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(spawn, point):
    kind, step, _ = point.split(".")
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT=point)
    cvm = prepare(node, kind)   # by another kind of operation: it does not pass the point
    guest = cvm.pids() if kind == "shutdown" else []
    acknowledged = begin(node, kind, cvm)
    for pid in guest:
        # The small guest ignores its power button. At SIGTERM QEMU ends as if the guest had powered off.
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
    assert node.died(30) == signal.SIGKILL

    node.start()
    node.settled()
    assert_consistent(node)
    left = outcome_is_consistent(node, kind, cvm, acknowledged)

    if left:
        if left.status == "running":
            left.do("stop")
            left.becomes("stopped")
        left.do("start")
        left.becomes("running", 15)
        assert_consistent(node)
        left.delete()
    assert_consistent(node)
    assert node.guests() == [] and node.folders() == set() and node.definitions() == {}


def state(cvm):
    """Everything that a change may change except the disk. The files of a started guest are derived from it."""
    return cvm.node.rows("select c.vcpus, c.memory_mib, c.given_vcpus, c.given_memory_mib, c.listed, c.image, c.user_config, c.encrypted_env,"
                         " json_remove(r.manifest, '$.name'), (select group_concat(vm_port) from ports p where p.cvm = c.id and vm_port > 0)"
                         " from cvms c join revisions r on r.id = c.revision where c.uuid = ?", cvm.uuid)[0]


def disk_of(cvm):
    """Size of the disk in GiB, in the database and in the file."""
    recorded = cvm.node.rows("select disk_gib from cvms where uuid = ?", cvm.uuid)[0][0]
    try:
        header = (cvm.node.dir / "cvms" / cvm.uuid / "hda.img").read_bytes()[24:32]
    except FileNotFoundError:
        return recorded, recorded
    return recorded, int.from_bytes(header, "big") / (1 << 30)


def request_change(cvm, body):
    try:
        answer = cvm.node.api("PATCH", f"/cvms/{cvm.uuid}", json=body | {"allow_restart": True, "allow_force_stop": True})
    except (OSError, http.client.HTTPException):
        return False
    assert answer.status // 100 == 2, answer
    return True


def changed_state(node, change):
    """The state that a change leads to, from a stopped CVM that is changed without a fault."""
    model = node.create(name="model", stopped=True, ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    assert request_change(model, change)
    node.settled(model.uuid)
    after = state(model)
    model.delete()
    return after


@pytest.mark.parametrize("what, point", CHANGE_POINTS)
def test_killed_while_changing(spawn, what, point):
    """Whenever the daemon dies, a CVM has its old or its new state; an acknowledged change is completed."""
    _, change, _ = CHANGES[what]
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT=point)
    cvm = node.create(name="victim", stopped="stopped" in what, ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    before, ran = state(cvm), cvm.status
    acknowledged = request_change(cvm, change)
    assert node.died(30) == signal.SIGKILL
    at_death = state(cvm)

    node.start()
    node.settled()
    assert_consistent(node)
    after = changed_state(node, change)
    assert at_death in (before, after), "a mixture"
    assert state(cvm) == (after if acknowledged else state(cvm))
    assert state(cvm) in (before, after)
    recorded, is_now = disk_of(cvm)
    assert recorded == is_now
    if acknowledged:
        cvm.becomes(ran, 15)
        assert recorded == change.get("disk_size", 1)
    history = node.rows("select changed from history where cvm_uuid = ? order by number", cvm.uuid)
    assert len(history) == (2 if (state(cvm), recorded) != (before, 1) else 1), history
    cvm.delete()
    assert_consistent(node)
    assert node.guests() == [] and node.folders() == set() and node.definitions() == {}


@pytest.mark.parametrize("step", ["start", "stop"])
def test_killed_while_a_change_goes_back(spawn, step):
    """No host has the memory of this guest, whatever is configured: QEMU does not start."""
    node = spawn(start=False, options={"capacity.memory_mib": 200_000_000})
    node.start(TEEPOD_FAILPOINT=f"resize.{step}.undone")
    cvm = node.create(name="victim")
    before = state(cvm)
    request_change(cvm, {"vcpu": 2, "memory": 100_000_000, "disk_size": 2})
    assert node.died(30) == signal.SIGKILL
    node.start()
    node.settled()
    op = [o for o in cvm.operations() if o["kind"] == "resize"][0]
    assert op["state"] == "failed", op
    assert "as it was before, except that its disk has grown to 2 GiB, and is started again" in json.dumps(op["error"]), op
    assert state(cvm) == before and disk_of(cvm) == (2, 2)
    cvm.becomes("running", 15)
    assert len(node.rows("select * from history")) == 1
    assert_consistent(node)


@pytest.mark.parametrize("point", [*(f"create.{step}.undone" for step in ("start", "define", "disk", "files")), "start.start.undone"])
def test_killed_while_undoing(spawn, point):
    kind, _, _ = point.split(".")
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT=point)
    cvm = node.create(name="victim", stopped=kind == "start", wait=False)
    if kind == "start":
        cvm.request("start").ok()
    op = cvm.operations()[0]["id"]
    until("the guest is started", lambda: node.operation(op)["step"] == "start", every=0.005)
    assert node.api("DELETE", f"/operations/{op}").status == 202
    assert node.died() == signal.SIGKILL

    node.start()
    node.settled()
    assert node.operation(op)["state"] == "cancelled"
    assert node.guests() == []
    if kind == "create":
        assert victim(node) is None and node.folders() == set() and node.definitions() == {}
        assert node.capacity()["vcpus"]["promised"] == 0
    else:
        assert cvm.status == "stopped"
    assert_consistent(node)


def test_the_list_of_steps_is_complete(node):
    """Compare the list above with the steps that the daemon reports; a missing step would not be tested."""
    cvm = node.create()
    for verb, body in (("stop", {}), ("shutdown", {}), ("start", {}), ("restart", {"force": True})):
        cvm.do(verb, **body)
    for body in ({"memory": 96}, {"listed": True}):
        request_change(cvm, body)
        node.settled(cvm.uuid)
    cvm.delete()
    shown = {}
    for op in node.get("/operations?page_size=100").ok().json["items"]:
        if op["cvm"]["vm_uuid"] == cvm.uuid:
            shown[op["kind"]] = [step["name"] for step in op["steps"]]
    assert shown == STEPS | {"resize": CHANGE_STEPS, "upgrade": CHANGE_STEPS}


@pytest.mark.parametrize("delay_ms", [5, 60, 66, 68, 70, 120, 180, 240, 320, 450])
def test_killed_from_outside_while_a_guest_starts(spawn, delay_ms):
    """The daemon dies between failure points, wherever libvirt and QEMU are at that time."""
    node = spawn()
    answer = node.try_create(name="victim").ok()
    time.sleep(delay_ms / 1000)
    node.kill()
    node.start()
    node.settled()
    cvm = node.cvm(answer["vm_uuid"])
    cvm.becomes("running", 15)
    assert_consistent(node)
    cvm.delete()
    assert_consistent(node)


def test_killed_twice_on_the_way_back(spawn):
    """The recovery after a crash is interrupted by a crash, twice."""
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT="create.define.before")
    uuid = node.try_create(name="victim").ok()["vm_uuid"]
    assert node.died() == signal.SIGKILL
    node.spawn(TEEPOD_FAILPOINT="create.start.before")
    assert node.died() == signal.SIGKILL
    node.spawn(TEEPOD_FAILPOINT="create.start.after")
    assert node.died() == signal.SIGKILL
    node.start()
    node.settled()
    node.cvm(uuid).becomes("running", 15)
    assert_consistent(node)


def test_many_acknowledged_creates_survive_kill_9(spawn):
    """Answers are sent after the group commit, so every answered create exists."""
    node = spawn(options={"capacity.slots": 1000, "capacity.vcpus": 1000})
    acknowledged, stop = [], threading.Event()

    def client(n):
        while not stop.is_set():
            try:
                answer = node.try_create(name=f"durable-{n}-{len(acknowledged)}", stopped=True)
            except (OSError, http.client.HTTPException):
                return
            if answer.status // 100 == 2:
                acknowledged.append(answer["vm_uuid"])
    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    until("a hundred are acknowledged", lambda: len(acknowledged) > 100 or not any(t.is_alive() for t in threads))
    node.kill()
    stop.set()
    for t in threads:
        t.join()
    node.start()
    assert set(acknowledged) <= node.uuids()
    assert_consistent(node)


def test_a_disk_that_a_killed_daemons_qemu_img_still_writes_is_made_anew(node):
    """qemu-img outlives a kill -9 of the daemon and holds QEMU's lock (an open file description lock) on the temporary file."""
    cvm = node.create(stopped=True)
    folder = node.dir / "cvms" / cvm.uuid
    folder.mkdir(parents=True, exist_ok=True)
    f_ofd_setlk = 37
    with open(folder / "hda.img.tmp", "wb") as beside:
        fcntl.fcntl(beside, f_ofd_setlk, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        cvm.do("start")
        assert cvm.status == "running", cvm.operations()[0]
    assert not (folder / "hda.img.tmp").exists()
