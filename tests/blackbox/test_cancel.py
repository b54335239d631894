# SPDX-License-Identifier: Apache-2.0
"""After a cancelled operation the desired state and the observed state agree, at whatever step it was cancelled."""

import contextlib
import http.client
import os
import signal
import sqlite3
import time

import pytest

from node import DEMO, assert_consistent, until
from test_crash import BOOT_STEPS, CHANGE_STEPS

RESTART = ("restart", {"force": True}, ["check", "signal", "wait", "stop", *BOOT_STEPS])
SHUTDOWN = ("shutdown", {"timeout": 10, "force": True}, ["signal", "wait", "stop"])
RESIZE = ("resize", {"memory": 96, "allow_force_stop": True}, [step for step in CHANGE_STEPS if step not in ("reserve", "disk")])
# "apply" is one transaction: there is no point after it.
POINTS = [(kind, body, f"{kind}.{step}.{when}") for kind, body, steps in (RESTART, SHUTDOWN, RESIZE) for step in steps
          for when in (("before",) if step == "apply" else ("before", "after"))]


def begin(cvm, kind, body):
    if kind == "resize":
        return cvm.node.api("PATCH", f"/cvms/{cvm.uuid}", json=body).ok()
    return cvm.request(kind, **body).ok()


def continue_process(pid):
    """SIGCONT. An operation that was not cancelled in time may have ended the process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def assert_agreement(node, cvm):
    """Desired and observed state agree, and stay so."""
    def agrees():
        row = cvm.get()
        return (row["desired"], row["status"], len(cvm.pids())) in (("running", "running", 1), ("stopped", "stopped", 0)) and row
    node.settled(cvm.uuid)
    row = until(lambda: f"agreement: {cvm.get()}, QEMUs {cvm.pids()}", agrees, 10)
    time.sleep(1.5)     # the daemon lists the domains again a second after its start: nothing may change
    assert agrees() == row, (row, cvm.get(), cvm.pids())
    assert_consistent(node)


@pytest.mark.parametrize("kind, body, point", POINTS, ids=[point for _, _, point in POINTS])
def test_cancelled_at(spawn, kind, body, point):
    """The daemon dies at the point; a cancel is in the database when it starts again."""
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT=point)
    cvm = node.create()
    with contextlib.suppress(OSError, http.client.HTTPException):   # it may die before it answers
        begin(cvm, kind, body)
    assert node.died(30) == signal.SIGKILL
    (operation,), = node.rows("select id from operations where kind = ?", kind)
    with sqlite3.connect(node.database()) as database:
        assert database.execute("update operations set cancel = 1 where id = ? and state = 'running'", (operation,)).rowcount == 1
    database.close()
    node.start()
    assert_agreement(node, cvm)
    assert node.operation(operation)["state"] == "cancelled"
    cvm.do("start")
    cvm.becomes("running")


@pytest.mark.parametrize("kind, body", [("restart", {"force": True}), ("resize", {"memory": 96, "allow_force_stop": True})])
def test_cancelled_while_the_old_guest_is_being_ended(node, kind, body):
    """The cancel comes while libvirt waits for the end of a stopped QEMU."""
    cvm = node.create()
    pid, = cvm.pids()
    os.kill(pid, signal.SIGSTOP)
    try:
        operation = begin(cvm, kind, body)["operation_id"]
        until("its QEMU is being ended", lambda: node.operation(operation)["step"] == "stop")
        assert node.api("DELETE", f"/operations/{operation}").status == 202
    finally:
        continue_process(pid)
    assert_agreement(node, cvm)
    assert node.operation(operation)["state"] == "cancelled"
    assert cvm.get()["desired"] == ("stopped" if kind == "restart" else "running")


@pytest.mark.parametrize("kind, body", [("restart", {"timeout_s": 60}), ("shutdown", {"timeout_s": 60}),
                                        ("resize", {"memory": 192, "shutdown_timeout": 60})])
def test_a_guest_that_obeys_its_power_button_after_the_cancel_is_stopped(node, kind, body):
    cvm = node.create(wait=False, image=DEMO)
    node.settled(cvm.uuid, 90)
    pid, = cvm.pids()
    operation = begin(cvm, kind, body)["operation_id"]
    until("the button is pressed", lambda: node.operation(operation)["step"] == "wait", every=0.005)
    os.kill(pid, signal.SIGSTOP)    # its shutdown takes long
    try:
        assert node.api("DELETE", f"/operations/{operation}").status in (202, 409)
        node.settled(cvm.uuid)
    finally:
        continue_process(pid)
    until("it has powered off", lambda: pid not in cvm.pids(), 30)
    assert_agreement(node, cvm)


def test_a_guest_that_powers_off_after_its_shutdown_ran_out_of_time_is_stopped(node):
    """The guest ignores its power button. SIGTERM makes QEMU end as if the guest had powered off."""
    cvm = node.create()
    cvm.do("shutdown", timeout=10)
    assert cvm.operations()[0]["state"] == "failed" and cvm.get()["desired"] == "running"
    os.kill(cvm.pids()[0], signal.SIGTERM)
    until("it has ended", lambda: not cvm.pids())
    assert_agreement(node, cvm)
    assert cvm.status == "stopped"
