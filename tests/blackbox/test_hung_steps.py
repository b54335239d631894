# SPDX-License-Identifier: Apache-2.0
"""Stop and delete work while any step of any operation waits for a QEMU that does not answer; other CVMs do not wait."""

import os
import re
import shutil
import signal
import stat
import threading
import time

import pytest

from button import seal
from libvirtd import defined, virsh
from node import BOOT, IMAGES, alive, assert_consistent, command_line, processes, until

TCP = {"protocol": "tcp", "host_port": 0, "vm_port": 80}


class Hung:
    """Stops QEMUs with SIGSTOP, and continues those that still exist at the end."""

    def __init__(self):
        self.pids = []

    def __call__(self, cvm):
        pid, = cvm.pids()
        os.kill(pid, signal.SIGSTOP)
        self.pids.append(pid)
        return pid

    def release(self):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


@pytest.fixture
def hang():
    hung = Hung()
    yield hung
    hung.release()


def running_step(cvm):
    op = next((op for op in cvm.operations() if op["state"] == "running"), None)
    return op and op["step"]


def waits_in(cvm, step):
    """Wait until the operation is in the step and its job occupies a thread of the lane for guests."""
    until(lambda: f"{cvm.name} is in step {step}, it is in {running_step(cvm)}",
          lambda: running_step(cvm) == step and jobs(cvm.node, "guest", "running") > 0)


def hung_in(cvm, hang, what):
    """Let QEMU hang and start an operation that waits for it; return the step in which it waits."""
    node = cvm.node
    hang(cvm)
    if what == "disk growth":
        node.api("PATCH", f"/cvms/{cvm.uuid}/resources", json={"disk_size": 2}).ok()
        return "disk"
    if what == "port change":
        node.api("PATCH", f"/cvms/{cvm.uuid}", json={"ports": [{**TCP, "vm_port": 81}]}).ok()
        return "forwards"
    cvm.request(what, timeout=600).ok()
    return "signal"


@pytest.mark.parametrize("end", ["stop", "delete"])
@pytest.mark.parametrize("what", ["disk growth", "port change", "shutdown", "restart"])
def test_stop_and_delete_get_past_what_a_hung_qemu_holds_up(node, hang, what, end):
    cvm = node.create(ports=[TCP])
    waits_in(cvm, hung_in(cvm, hang, what))
    if end == "stop":
        cvm.request("stop").ok()
        cvm.becomes("stopped", 40)
        assert [op["state"] for op in cvm.operations()[:2]] == ["succeeded", "cancelled"]
    else:
        assert node.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
        until("the CVM is gone", lambda: node.get(f"/cvms/{cvm.uuid}").status == 404, 40)
    node.settled(cvm.uuid)
    assert cvm.pids() == []
    assert_consistent(node)


def test_a_stopped_cvm_whose_growth_was_given_up_starts_with_the_size_it_is_charged_for(node, hang):
    cvm = node.create()
    waits_in(cvm, hung_in(cvm, hang, "disk growth"))
    cvm.request("stop").ok()
    cvm.becomes("stopped", 40)
    node.settled(cvm.uuid)
    assert node.rows("select disk_gib from cvms where uuid = ?", cvm.uuid) == [(2,)]
    cvm.do("start")
    cvm.becomes("running")
    header = (node.dir / "cvms" / cvm.uuid / "hda.img").read_bytes()[24:32]
    assert int.from_bytes(header, "big") == 2 << 30


EMULATOR = """#!/bin/sh
# A QEMU that hangs at once if it runs a guest and the flag exists.
case "$*" in *guest=teepod-*) [ -e {flag} ] && kill -STOP $$ ;; esac
exec /usr/bin/qemu-system-x86_64 "$@"
"""


@pytest.fixture
def slow_start(tmp_path, spawn):
    """A node whose QEMUs hang before their first instruction while the flag exists."""
    # The script has the name of a QEMU, because the daemon reaps no other children of libvirt.
    script, flag = tmp_path / "qemu-system-x86_64", tmp_path / "hang"
    script.write_text(EMULATOR.format(flag=flag))
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    node = spawn(options={"hypervisor.emulator": script})
    yield node, flag
    for pid in processes():
        if str(script) in command_line(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("verb", ["create", "start"])
@pytest.mark.parametrize("end", ["stop", "delete"])
def test_stop_and_delete_get_past_a_start_that_hangs(slow_start, verb, end):
    node, flag = slow_start
    cvm = node.create(stopped=True) if verb == "start" else None
    flag.touch()
    if cvm:
        cvm.request("start").ok()
    else:
        cvm = node.create(wait=False)
    waits_in(cvm, "start")
    flag.unlink()
    if end == "stop":
        cvm.request("stop").ok()
        cvm.becomes("stopped", 60)
        node.settled(cvm.uuid, 60)
        until("QEMU is gone", lambda: not cvm.pids(), 30)
        cvm.do("start")
        cvm.becomes("running")
    else:
        assert node.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
        until("the CVM is gone", lambda: node.get(f"/cvms/{cvm.uuid}").status == 404, 60)
    node.settled(cvm.uuid, 60)
    assert_consistent(node, 40)


def test_a_start_that_comes_true_after_a_stop_and_a_restart_of_the_daemon_is_stopped(slow_start):
    """The daemon remembers an abandoned start across its restart. Here the test starts the domain late, by virsh."""
    node, flag = slow_start
    cvm = node.create(stopped=True)
    flag.touch()
    cvm.request("start").ok()
    waits_in(cvm, "start")
    flag.unlink()
    cvm.request("stop").ok()
    cvm.becomes("stopped", 60)
    node.settled(cvm.uuid, 60)
    node.stop()
    virsh(f"qemu:///embed?root={node.embed}", "start", f"teepod-{cvm.uuid}")
    assert len(cvm.pids()) == 1, "the late start"
    node.start()
    until("it is stopped again", lambda: [op["kind"] for op in cvm.operations() if op["caller"] == "teepod:late-start"] == ["stop"], 30)
    node.settled(cvm.uuid, 60)
    cvm.becomes("stopped")
    assert cvm.pids() == []
    assert_consistent(node)


def test_delete_goes_ahead_of_a_stop_that_takes_long(node, hang):
    """libvirt gives a stopped QEMU ten seconds between SIGTERM and SIGKILL."""
    cvm = node.create()
    hang(cvm)
    cvm.request("stop").ok()
    assert node.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
    until("the CVM is gone", lambda: node.get(f"/cvms/{cvm.uuid}").status == 404, 40)
    node.settled(cvm.uuid)
    assert_consistent(node)


def test_a_forced_shutdown_of_a_hung_guest_ends_in_its_time(node, hang):
    cvm = node.create()
    pid = hang(cvm)
    began = time.monotonic()
    cvm.request("shutdown", timeout=10, force=True).ok()
    until("the guest is killed", lambda: not cvm.pids(), 40)
    took = time.monotonic() - began
    # Ten seconds for the guest; libvirt gives a stopped QEMU ten more between SIGTERM and SIGKILL.
    assert 10 <= took < 26, took
    node.settled(cvm.uuid)
    assert cvm.operations()[0]["state"] == "succeeded", cvm.operations()[0]
    assert not alive(pid)
    assert_consistent(node)


def test_a_shutdown_that_is_not_forced_says_that_the_guest_does_not_answer(node, hang):
    cvm = node.create()
    hang(cvm)
    cvm.request("shutdown", timeout=10).ok()
    node.settled(cvm.uuid, 40)
    op = cvm.operations()[0]
    assert op["state"] == "failed" and "did not shut down within 10 seconds" in str(op["error"]), op
    hang.release()
    cvm.do("stop")
    cvm.becomes("stopped")


@pytest.fixture(params=["embedded", "libvirtd"])
def any_node(request, spawn, private_libvirtd):
    """A separate node, with the embedded driver and with a libvirtd."""
    if request.param == "embedded":
        yield spawn()
        return
    with private_libvirtd() as daemon:
        node = spawn(hypervisor=daemon.uri)
        yield node
        for pid in node.guests():
            os.kill(pid, signal.SIGCONT)
        node.kill()
        for uuid in defined(daemon.uri):
            virsh(daemon.uri, "destroy", uuid)


def test_32_hung_qemus_delay_no_other_cvm(any_node, hang):
    """Half of them wait for a shutdown, half for a change of their ports."""
    node, many = any_node, 32
    cvms = [node.create(name=f"hung-{i:02}", wait=False, ports=[TCP] if i >= many // 2 else None) for i in range(many)]
    for cvm in cvms:
        cvm.becomes("running", 120)
        node.settled(cvm.uuid, 120)
    for cvm in cvms:
        hang(cvm)
    for cvm in cvms[:many // 2]:
        cvm.request("shutdown", timeout=600).ok()
    for cvm in cvms[many // 2:]:
        node.api("PATCH", f"/cvms/{cvm.uuid}", json={"ports": [{**TCP, "vm_port": 81}]}).ok()
    until("the lane of guests waits for them", lambda: jobs(node, "guest", "running") >= 12)
    began = time.monotonic()
    other = node.create(name="other-one", ports=[TCP])
    other.becomes("running", 30)
    other.do("restart", force=True)
    other.do("stop")
    other.becomes("stopped")
    assert time.monotonic() - began < 20, "a further CVM is created, restarted and stopped"
    assert node.api("GET", "/healthz", prefix="", key=None).seconds < 0.5
    began = time.monotonic()
    for cvm in cvms[14:18]:
        cvm.request("stop").ok()
    for cvm in cvms[:14] + cvms[18:]:
        assert node.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
    for cvm in cvms[14:18]:
        cvm.becomes("stopped", 90)
    until("the others are gone", lambda: len(node.uuids()) == 5, 90)
    node.settled(seconds=60)
    assert set(node.guests()) == set()
    assert_consistent(node)


def jobs(node, lane, state):
    text = node.api("GET", "/metrics", prefix="").ok().text
    return int(re.search(rf'^teepod_jobs{{lane="{lane}",state="{state}"}} (\d+)$', text, re.M).group(1))


@pytest.mark.parametrize("end", ["stop", "delete"])
def test_a_frozen_libvirtd_delays_and_loses_nothing(spawn, private_libvirtd, end, tmp_path):
    """libvirtd is frozen for 30 s, longer than keepalive waits, during starts, a disk growth and a stop. Requests that do not need
    libvirt are answered."""
    with private_libvirtd() as daemon:
        node = spawn(hypervisor=daemon.uri)
        grown, stopped = node.create(name="grown-one"), node.create(name="stopped-one")
        daemon_pids = [int(p) for p in (daemon.folder / "pid").read_text().split()]
        for pid in daemon_pids:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            node.api("PATCH", f"/cvms/{grown.uuid}/resources", json={"disk_size": 2}).ok()
            started = node.create(name="started-one", wait=False)
            others = [node.create(name=f"other-{i:02}", wait=False) for i in range(36)]
            stopped.request("stop").ok()
            until("the others wait for libvirtd", lambda: {running_step(cvm) for cvm in others} == {"define"}, 10)
            image = another_image(tmp_path)
            assert node.post("/images", json={"source": str(image)}, timeout=10).ok()["name"] == image.name
            assert node.get(f"/cvms/{others[0].uuid}/logs?ch=serial").status == 200
            for cvm in grown, started:
                if end == "stop":
                    cvm.request("stop").ok()
                else:
                    assert node.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
            while time.monotonic() - began < 30:
                assert node.api("GET", "/healthz", prefix="", key=None).seconds < 0.5
                assert node.get("/apps?page=1").ok().seconds < 0.5
                time.sleep(0.2)
        finally:
            for pid in daemon_pids:
                os.kill(pid, signal.SIGCONT)
        stopped.becomes("stopped", 60)
        for cvm in grown, started:
            if end == "stop":
                until("stopped, or never begun", lambda c=cvm: node.get(f"/cvms/{c.uuid}").status == 404 or c.status == "stopped", 60)
            else:
                until("the CVM is gone", lambda c=cvm: node.get(f"/cvms/{c.uuid}").status == 404, 60)
        for cvm in others:
            cvm.becomes("running", 60)
        node.settled(seconds=60)
        assert_consistent(node, 40)
        node.delete_all()
        assert defined(daemon.uri) == {}


def test_sigterm_ends_the_daemon_with_a_hung_guest_and_a_running_import(spawn, tmp_path, hang):
    """With default settings the daemon ends within 30 s."""
    node = spawn()
    cvm = node.create()
    pid = hang(cvm)
    cvm.request("shutdown", timeout=600).ok()
    waits_in(cvm, "signal")
    folder = endless_image(tmp_path)
    answers = []
    client = threading.Thread(target=lambda: answers.append(node.post("/images", json={"source": str(folder)}, timeout=60)))
    client.start()
    until("the import is under way", lambda: any(node.dir.glob("images/.*")) or any(node.dir.glob("images/*.tmp*")), 30)
    began = time.monotonic()
    assert node.stop(30) == 0
    assert time.monotonic() - began < 30
    client.join()
    assert answers[0].status == 503, answers
    assert cvm.pids() == [pid], "guests stay"
    log = node.log_path.read_text()
    assert "AddressSanitizer" not in log and "runtime error" not in log, log
    hang.release()
    node.start()
    cvm.do("stop")
    cvm.becomes("stopped")
    assert_consistent(node)


def another_image(tmp_path):
    """A copy of the small image with another version."""
    folder = tmp_path / "teepod-boot-1.2.3"
    shutil.copytree(IMAGES / BOOT, folder)
    (folder / "metadata.json").write_text((folder / "metadata.json").read_text().replace("1.0.0", "1.2.3"))
    seal(folder)
    return folder


def endless_image(tmp_path):
    """An image folder with a sparse file so large that reading it takes minutes."""
    folder = tmp_path / "teepod-large-1.0.0"
    folder.mkdir()
    (folder / "metadata.json").write_text("{}")
    with open(folder / "rootfs.img", "wb") as f:
        f.truncate(40 << 30)
    return folder
