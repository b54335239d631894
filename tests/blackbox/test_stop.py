# SPDX-License-Identifier: Apache-2.0
"""A stop is over when the guest's QEMU has ended. libvirt sees that 200 ms later and then cleans up; what follows waits for it."""

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from node import assert_consistent, until

pytestmark = pytest.mark.parametrize("hypervisor", ["embed"], indirect=True)     # the tests look into its folder


@contextlib.contextmanager
def libvirt_cannot_clean_up(cvm):
    """libvirt notes the end of a guest in QEMU's log after it has seen it. Here that is a FIFO, which nobody reads until the end
    of the with block: libvirt waits."""
    log = cvm.node.embed / "log" / "qemu" / f"teepod-{cvm.uuid}.log"
    aside, fifo = log.with_suffix(".aside"), log.with_suffix(".fifo")
    log.rename(aside)
    os.mkfifo(log)
    try:
        yield
    finally:
        log.rename(fifo)
        aside.rename(log)
        os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
        fifo.unlink()


def waits_for_reader(pid):
    return any((task / "wchan").read_text() == "wait_for_partner" for task in Path(f"/proc/{pid}/task").iterdir())


def status_file(cvm):
    """Exists while libvirt takes the domain for running."""
    return cvm.node.embed / "run" / "qemu" / f"teepod-{cvm.uuid}.xml"


def observations(cvm):
    return [row[0] for row in cvm.node.rows("select json_extract(data, '$.observed') from events where type = 'cvm.observed'"
                                            " and cvm_uuid = ? order by seq", cvm.uuid)]


@pytest.fixture
def own(spawn):
    return spawn(options={"logs.level": "debug"})


def test_a_stop_does_not_wait_for_libvirt_and_a_start_does(own):
    cvm = own.create()
    with libvirt_cannot_clean_up(cvm):
        cvm.do("stop")
        assert cvm.status == "stopped" and cvm.pids() == [] and status_file(cvm).exists()
        op = cvm.request("start").ok()["operation_id"]
        until("the start has begun", lambda: own.operation(op)["state"] == "running")
        assert own.get(f"/operations/{op}?wait=1").ok()["state"] == "running" and cvm.pids() == []
        until("libvirt waits", lambda: waits_for_reader(own.process.pid))
    assert own.operation(op, wait=30)["state"] == "succeeded"
    cvm.becomes("running")
    assert observations(cvm) == ["running", "off", "running"]
    assert_consistent(own)


def test_a_delete_waits_for_libvirt_before_it_removes_the_definition(own):
    cvm = own.create()
    with libvirt_cannot_clean_up(cvm):
        assert own.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
        until("its guest is recorded as gone", lambda: observations(cvm) == ["running", "off"])
        assert cvm.uuid in own.definitions() and cvm.uuid in own.folders()
        until("libvirt waits", lambda: waits_for_reader(own.process.pid))
    until("it is deleted", lambda: own.get(f"/cvms/{cvm.uuid}").status == 404)
    assert_consistent(own)


def test_the_daemon_stops_in_order_while_libvirt_cleans_up(own):
    cvm = own.create()
    with libvirt_cannot_clean_up(cvm):
        cvm.do("stop")
        until("libvirt waits", lambda: waits_for_reader(own.process.pid))
        assert status_file(cvm).exists()
        own.process.send_signal(signal.SIGTERM)
        until("the daemon closes", lambda: "shutting down" in own.log_path.read_text())
    assert own.process.wait(45) == 0
    assert not status_file(cvm).exists()
    assert "still under way" not in own.log_path.read_text()
    own.start()
    assert cvm.status == "stopped"
    assert_consistent(own)


def test_the_daemon_stops_although_libvirt_does_not_clean_up(own):
    cvm = own.create()
    with libvirt_cannot_clean_up(cvm):
        cvm.do("stop")
        until("libvirt waits", lambda: waits_for_reader(own.process.pid))
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(40) == 0
    own.start()
    cvm.do("start")
    cvm.becomes("running")
    until("it is seen again", lambda: observations(cvm) == ["running", "off", "running"])
    assert_consistent(own)


def test_a_daemon_that_dies_before_libvirt_has_cleaned_up_keeps_what_it_recorded(spawn):
    """The embedded driver finds a QEMU that is gone, and calls that a crash."""
    node = spawn(start=False)
    node.start(TEEPOD_FAILPOINT="stop.stop.finished")
    cvm = node.create()
    with libvirt_cannot_clean_up(cvm):
        assert cvm.request("stop").status // 100 == 2
        assert node.died(30) == signal.SIGKILL
    assert status_file(cvm).exists() and observations(cvm) == ["running", "off"]
    node.start()
    until("libvirt has cleaned up", lambda: not status_file(cvm).exists())
    time.sleep(1.5)     # the daemon lists the domains again a second after its start: nothing may change
    assert (cvm.status, observations(cvm)) == ("stopped", ["running", "off"])
    assert_consistent(node)
    cvm.do("start")
    cvm.becomes("running")
    assert observations(cvm) == ["running", "off", "running"]
    cvm.delete()
    assert_consistent(node)


def test_a_daemon_that_dies_during_a_delete_before_libvirt_has_cleaned_up_sees_no_crash(own):
    cvm = own.create()
    with libvirt_cannot_clean_up(cvm):
        assert own.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
        until("its guest is recorded as gone", lambda: observations(cvm) == ["running", "off"])
        until("libvirt waits", lambda: waits_for_reader(own.process.pid))
        own.kill()
    own.start()
    until("it is deleted", lambda: own.get(f"/cvms/{cvm.uuid}").status == 404)
    assert observations(cvm) == ["running", "off"]
    assert_consistent(own)


def test_a_guest_that_really_crashed_while_the_daemon_was_down_is_recorded_as_crashed(own):
    """Its CVM should be stopped, as after a stop that failed, but nothing has ended it yet."""
    cvm = own.create()
    own.kill()
    with contextlib.closing(sqlite3.connect(own.database())) as db, db:
        db.execute("update cvms set desired = 'stopped' where uuid = ?", (cvm.uuid,))
    for pid in cvm.pids():
        os.kill(pid, signal.SIGKILL)
    own.start()
    until("its end is seen", lambda: len(observations(cvm)) > 1)
    assert observations(cvm) == ["running", "crashed"]
