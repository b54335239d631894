# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon at every step of every operation: afterwards the books balance, and nothing acknowledged is lost.

The failure points are the steps of the operations, before and after each; test_the_list_of_steps_is_complete holds
this list against the daemon's own.
"""

import http.client
import os
import signal
import threading
import time

import pytest

from node import assert_books, until

BOOT_STEPS = ["files", "disk", "define", "start", "forwards", "boot"]

STEPS = {
    "create": ["reserve", *BOOT_STEPS],
    "start": ["reserve", *BOOT_STEPS],
    "stop": ["stop"],
    "shutdown": ["signal", "wait", "stop"],
    "restart": ["signal", "wait", "stop", *BOOT_STEPS],
    "delete": ["stop", "undefine", "remove"],
}

# Reserving is the transaction that also writes the answer: there is no instant inside it to die at.
POINTS = [f"{kind}.{step}.{when}" for kind, steps in STEPS.items() for step in steps for when in ("before", "after")
          if step != "reserve"]


def prepare(node, kind):
    """A CVM on which @kind can be done."""
    if kind == "create":
        return None
    return node.create(stopped=kind == "start", ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])


def begin(node, kind, cvm):
    """Ask for it; the daemon may die before, while or after it answers. True if it was acknowledged."""
    try:
        if kind == "create":
            answer = node.try_create(name="victim", ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
        elif kind == "delete":
            answer = node.api("DELETE", f"/cvms/{cvm.uuid}")
        elif kind == "shutdown":
            answer = cvm.ask("shutdown", timeout=60)
        elif kind == "restart":
            answer = cvm.ask("restart", force=True)
        else:
            answer = cvm.ask(kind)
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
    if kind == "create":
        node.start(TEEPOD_FAILPOINT=point)
        cvm = None
    else:
        node.start()
        cvm = prepare(node, kind)
        node.stop()
        node.start(TEEPOD_FAILPOINT=point)
    guest = cvm.pids() if kind == "shutdown" else []
    acknowledged = begin(node, kind, cvm)
    for pid in guest:
        # The small guest is deaf to its power button. QEMU is not deaf to SIGTERM, and ends as if the guest had heard.
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
    assert node.died(30) == signal.SIGKILL

    node.start()
    node.settled()
    assert_books(node)
    left = outcome_is_consistent(node, kind, cvm, acknowledged)

    if left:
        if left.status == "running":
            left.do("stop")
            left.becomes("stopped")
        left.do("start")
        left.becomes("running", 15)
        assert_books(node)
        left.delete()
    assert_books(node)
    assert node.guests() == [] and node.folders() == set() and node.definitions() == {}


@pytest.mark.parametrize("point", [*(f"create.{step}.undone" for step in ("start", "define", "disk", "files")), "start.start.undone"])
def test_killed_while_undoing(spawn, point):
    kind, _, _ = point.split(".")
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT=point)
    cvm = node.create(name="victim", stopped=kind == "start", wait=False)
    if kind == "start":
        cvm.ask("start").ok()
    time.sleep(0.15)
    op = cvm.operations()[0]["id"]
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
    assert_books(node)


def test_the_list_of_steps_is_complete(node):
    """Every operation tells its steps; a step without a failure point in the list above would go untested."""
    cvm = node.create()
    for verb, body in (("stop", {}), ("shutdown", {}), ("start", {}), ("restart", {"force": True})):
        cvm.do(verb, **body)
    cvm.delete()
    told = {}
    for op in node.get("/operations?page_size=100").ok().json["items"]:
        if op["cvm"]["vm_uuid"] == cvm.uuid:
            told[op["kind"]] = [step["name"] for step in op["steps"]]
    assert told == STEPS


@pytest.mark.parametrize("delay_ms", [5, 60, 66, 68, 70, 120, 180, 240, 320, 450])
def test_killed_from_outside_while_a_guest_starts(spawn, delay_ms):
    """Between failure points: wherever libvirt and QEMU happen to be."""
    node = spawn()
    answer = node.try_create(name="victim").ok()
    time.sleep(delay_ms / 1000)
    node.kill()
    node.start()
    node.settled()
    cvm = node.cvm(answer["vm_uuid"])
    cvm.becomes("running", 15)
    assert_books(node)
    cvm.delete()
    assert_books(node)


def test_killed_twice_on_the_way_back(spawn):
    """The way forward after a crash is itself cut short."""
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
    assert_books(node)


def test_many_acknowledged_creates_survive_kill_9(spawn):
    """Group commit answers after the commit: whatever was answered is there."""
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
    assert_books(node)
