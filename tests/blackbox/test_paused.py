# SPDX-License-Identifier: Apache-2.0
"""Paused guests: shown with the cause, resumed automatically or on request, and stop, shutdown and delete work on them."""

import contextlib
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from button import BUTTON, seal
from libvirtd import virsh
from node import DEMO, IMAGES, Node, assert_consistent, refused, until
from test_disk_full import fill as fill_below

WRITER = "teepod-writer-1.0.0"
HTTP = [{"protocol": "tcp", "host_port": 0, "vm_port": 80}]
# A page of the guest: writes 8 MiB more to its disk, and then a line to its console.
WRITE = "#!/bin/sh\nexport PATH=/bin\necho Content-Type: text/plain\necho\n" \
        "(dd if=/dev/urandom of=/data/fill.$$ bs=64k count=128 conv=fsync && echo WRITTEN >/dev/console) >/dev/null 2>&1 &\n"


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """The demo image with that page, in a second archive that the kernel unpacks after the first."""
    folder = tmp_path_factory.mktemp("images") / WRITER
    shutil.copytree(IMAGES / DEMO, folder)
    root = folder.parent / "root"
    (root / "www" / "cgi-bin").mkdir(parents=True)
    script = root / "www" / "cgi-bin" / "write"
    script.write_text(WRITE)
    script.chmod(0o755)
    made = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=b"www/cgi-bin/write\n", cwd=root, stdout=subprocess.PIPE,
                          check=True).stdout
    with open(folder / "initramfs.cpio.gz", "ab") as f:
        f.write(gzip.compress(made))
    seal(folder)
    return folder


@pytest.fixture(scope="module")
def small_disks(writer):
    """A node with that image whose guests' disks are on a file system of 96 MiB. Its database is elsewhere, so that it can write
    while the disk is full (test_disk_full.py tests the other case)."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    if Node.libvirtd:
        pytest.skip("the private libvirtd does not see file systems mounted after it was started")
    node = Node()
    disks = node.dir / "cvms"
    disks.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disks], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"tmpfs can not be mounted here: {done.stderr.strip()}")
    try:
        node.start()
        bring(node, writer)
        node.guest = None
        yield node
    finally:
        subprocess.run(["umount", "-l", disks], check=False)
        node.close()


@pytest.fixture
def tiny(small_disks):
    """That node. Afterwards all its space is free, and only the CVM of the fixture guest is left."""
    if small_disks.process.poll() is not None:
        small_disks.start()
    yield small_disks
    for ballast in (small_disks.dir / "cvms").glob("ballast*"):
        ballast.unlink()
    if small_disks.process.poll() is not None:
        return
    for uuid in small_disks.uuids():
        if small_disks.guest is None or uuid != small_disks.guest.uuid:
            small_disks.cvm(uuid).delete()


@pytest.fixture
def guest(tiny):
    """A running CVM with that image. Linux takes seconds to boot, so the next test gets the same guest if this one leaves it
    running or paused for space. Tests count from the state at their begin: the operations (older), the number of
    observations (observed), and how often the guest has written (written)."""
    cvm = tiny.guest
    if cvm is None or cvm.uuid not in tiny.uuids() or cvm.status != "running":
        tiny.delete_all()
        cvm = tiny.guest = boot(tiny)
    cvm.older, cvm.observed = {op["id"] for op in cvm.operations()}, len(pauses(tiny, cvm))
    cvm.written = cvm.log().count("WRITTEN")
    yield cvm
    if tiny.process.poll() is not None:
        return
    for ballast in (tiny.dir / "cvms").glob("ballast*"):
        ballast.unlink()
    if cvm.uuid in tiny.uuids() and cvm.status in ("paused", "resuming"):
        until("the guest has written all of it", lambda: written(cvm), 30)
        tiny.settled(cvm.uuid)
        cvm.becomes("running")


def fill(node, leave):
    return fill_below(node, leave, "cvms")


def bring(node, image):
    node.post("/images", json={"source": str(image)}, timeout=60).ok()


def boot(node, image=WRITER, **more):
    cvm = node.create(wait=False, image=image, memory=160, ports=HTTP, **more)
    node.settled(cvm.uuid, 90)
    cvm.becomes("running")
    return cvm


def write(cvm):
    """Let the guest write; at most once in a test."""
    (_, _, port, _), = cvm.ports()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/write", timeout=10) as answer:
        assert answer.status == 200


def written(cvm):
    """Whether the guest has finished that write."""
    return cvm.log().count("WRITTEN") > cvm.written


def began(cvm, kind):
    """The operations that began during this test, newest first."""
    return [op for op in cvm.operations() if op["kind"] == kind and op["id"] not in cvm.older]


def pauses(node, cvm):
    """(observed state, reason) of its observations, oldest first."""
    rows = node.rows("select data from events where type = 'cvm.observed' and cvm_uuid = ? order by seq", cvm.uuid)
    return [(data["observed"], data.get("reason")) for data in (json.loads(row[0]) for row in rows)]


def is_paused(cvm, reason):
    row = cvm.get()
    return row["status"] == "paused" and row["observed"] == "paused" and row.get("pause_reason") == reason


def filled(node, cvm):
    """Fill the disk, let the guest write, and wait until that has paused it."""
    ballast = fill(node, leave=2 * 1024 * 1024)
    write(cvm)
    cvm.becomes("paused", 60)
    return ballast


def test_a_guest_without_space_says_why_it_is_paused(tiny, guest):
    cvm = guest
    line = rf"{cvm.name} is paused \(nospc\)"
    logged = len(re.findall(line, tiny.log_tail(1000)))
    filled(tiny, cvm)
    assert is_paused(cvm, "nospc"), cvm.get()
    assert tiny.get(f"/cvms/{cvm.uuid}/state").json["pause_reason"] == "nospc"
    assert tiny.get(f"/cvms/{cvm.uuid}", version=25).json["pause_reason"] == "nospc"
    item, = tiny.get("/apps?page=1&page_size=10").json["dstack_apps"]
    assert item["current_cvm"]["pause_reason"] == "nospc" and item["current_cvm"]["status"] == "paused"
    assert ("paused", "nospc") in pauses(tiny, cvm)[cvm.observed:], pauses(tiny, cvm)
    assert len(re.findall(line, tiny.log_tail(1000))) == logged + 1


def test_a_guest_without_space_goes_on_when_there_is_room(tiny, guest):
    cvm = guest
    ballast = filled(tiny, cvm)
    assert not written(cvm)
    assert not began(cvm, "resume"), "there is no room yet"
    ballast.unlink()
    until("the guest has written all of it", lambda: written(cvm), 30)
    cvm.becomes("running")
    op = began(cvm, "resume")[0]
    assert op["state"] == "succeeded" and op["caller"] == "teepod:auto-resume", op
    assert tiny.get(f"/cvms/{cvm.uuid}").json["pause_reason"] is None
    assert "pause_reason" not in tiny.get(f"/cvms/{cvm.uuid}/state").json
    cvm.do("shutdown", timeout=60)
    cvm.becomes("stopped")
    assert_consistent(tiny)


def test_a_guest_that_is_resumed_without_room_is_paused_again_and_is_not_tried_all_the_time(tiny, guest):
    cvm = guest
    ballast = filled(tiny, cvm)
    before = pauses(tiny, cvm).count(("paused", "nospc"))
    assert cvm.request("resume").ok().headers["x-operation-id"]
    until(lambda: f"paused again: {pauses(tiny, cvm)}", lambda: pauses(tiny, cvm).count(("paused", "nospc")) > before and
          is_paused(cvm, "nospc"))
    tiny.settled(cvm.uuid)
    assert len(began(cvm, "resume")) == 1
    ballast.unlink()
    until("the guest has written all of it", lambda: written(cvm), 30)
    cvm.do("stop")
    cvm.becomes("stopped")
    assert_consistent(tiny)


@pytest.mark.parametrize("verb, body, end", [
    ("stop", {}, "stopped"), ("shutdown", {"timeout": 600, "force": True}, "stopped"), ("restart", {"timeout": 600}, None), ("delete", {}, None)])
def test_a_guest_without_space_can_be_ended(tiny, guest, verb, body, end):
    cvm = guest
    pids = cvm.pids()
    ballast = filled(tiny, cvm)
    asked = time.monotonic()
    if verb == "delete":
        cvm.delete()
    else:
        cvm.request(verb, **body).ok()
        until("its QEMU has ended", lambda: not set(pids) & set(cvm.pids()))
    assert time.monotonic() - asked < 30, "nobody waits for a guest that can not answer"
    ballast.unlink()
    tiny.settled(seconds=60)
    if end:
        cvm.becomes(end)
    assert_consistent(tiny)


def test_a_shutdown_without_force_of_a_guest_without_space_fails_at_once_and_says_why(tiny, guest):
    cvm = guest
    ballast = filled(tiny, cvm)
    cvm.request("shutdown", timeout=600).ok()
    tiny.settled(cvm.uuid, 30)
    op, = began(cvm, "shutdown")
    assert op["state"] == "failed" and "paused" in str(op["error"]), op
    assert cvm.get()["desired"] == "running"
    ballast.unlink()
    until("the guest goes on", lambda: written(cvm), 40)
    cvm.becomes("running")


def test_a_guest_that_waits_for_space_is_known_again_after_kill_9(tiny, guest):
    cvm = guest
    ballast = filled(tiny, cvm)
    tiny.kill()
    tiny.start()
    assert is_paused(cvm, "nospc")
    ballast.unlink()
    until("the guest has written all of it", lambda: written(cvm), 30)
    cvm.becomes("running")


def test_a_cause_that_was_not_committed_is_read_again(tiny, guest):
    """The row says "ioerror", as when the commit of the cause failed. Another guest's end cannot be recorded at first either: so
    all domains are listed again."""
    other = tiny.create()
    cvm = guest
    ballast = filled(tiny, cvm)
    listed = tiny.log_tail(100000).count("cannot record the state of")
    with contextlib.closing(sqlite3.connect(tiny.database(), isolation_level=None)) as database:
        database.execute("begin immediate")
        database.execute("update cvms set paused = 'ioerror' where uuid = ?", [cvm.uuid])
        for pid in other.pids():
            os.kill(pid, signal.SIGKILL)
        until("its end was not recorded", lambda: tiny.log_tail(100000).count("cannot record the state of") > listed)
        database.execute("commit")
    until(lambda: f"paused: {cvm.get()}", lambda: is_paused(cvm, "nospc"))
    ballast.unlink()
    until("the guest has written all of it", lambda: written(cvm), 30)
    cvm.becomes("running")


def qmp_command(monitor, command):
    """Send one QMP command to a QEMU while the daemon is down."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(monitor))
        lines = s.makefile("rw")
        lines.readline()
        for execute in ("qmp_capabilities", command):
            lines.write(json.dumps({"execute": execute}) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
            while "return" not in answer:
                answer = json.loads(lines.readline())
        return answer["return"]


def test_a_guest_that_runs_out_of_space_while_the_daemon_is_down_is_found_paused(tiny, guest):
    cvm = guest
    tiny.kill()
    ballast = fill(tiny, leave=1024 * 1024)
    write(cvm)
    # Folders of guests that ended while the daemon was down may be left.
    monitor = max(tiny.embed.glob("lib/qemu/domain-*/monitor.sock"), key=lambda path: path.stat().st_mtime)
    until("QEMU has paused it", lambda: qmp_command(monitor, "query-status")["status"] == "io-error", 60)
    tiny.start()
    until(lambda: f"paused: {cvm.get()}", lambda: is_paused(cvm, "nospc"))
    assert ("paused", "nospc") in pauses(tiny, cvm)[cvm.observed:]
    ballast.unlink()
    until("the guest has written all of it", lambda: written(cvm), 30)
    cvm.becomes("running")


def test_a_guest_that_is_paused_while_it_boots_fails_its_operation_at_once(tiny):
    """The first boot formats the disk, which needs more space than is left."""
    ballast = fill(tiny, leave=700 * 1024)
    cvm = tiny.create(wait=False, image=WRITER, memory=160)
    tiny.settled(cvm.uuid, 60)
    op = cvm.operations()[-1]
    assert op["kind"] == "create" and op["state"] == "failed" and "paused (nospc)" in str(op["error"]), op
    assert cvm.status in ("paused", "resuming") and cvm.get()["desired"] == "running"
    ballast.unlink()
    until("it boots on", lambda: cvm.get()["boot_progress"] == "done", 90)
    cvm.becomes("running")
    assert_consistent(tiny)


# ---------------------------------------------------------------------- paused by others

@pytest.fixture
def watched(spawn, libvirtd):
    """A node whose guests an operator can reach with virsh."""
    node = spawn(hypervisor=libvirtd.uri)
    node.virsh = lambda *args: virsh(libvirtd.uri, *args)
    return node


def suspended(node, cvm):
    node.virsh("suspend", cvm.uuid)
    cvm.becomes("paused", 60)


def test_a_guest_that_an_operator_paused_is_resumed_by_request_only(watched):
    cvm = watched.create()
    suspended(watched, cvm)
    assert is_paused(cvm, "other")
    assert ("paused", "other") in pauses(watched, cvm)
    body = refused(cvm.request("start"), 409)
    assert "paused" in body["detail"]
    key = {"Idempotency-Key": "resume-1"}
    first = watched.post(f"/cvms/{cvm.uuid}/resume", headers=key).ok()
    assert first.json["status"] in ("resuming", "running") and first.json["operation_id"]
    cvm.becomes("running")
    again = watched.post(f"/cvms/{cvm.uuid}/resume", headers=key).ok()
    assert again.json["operation_id"] == first.json["operation_id"] and again.headers["idempotent-replayed"] == "true"
    assert virsh_state(watched, cvm) == "running"
    body = refused(cvm.request("resume"), 409)
    assert "only a paused CVM can be resumed" in body["detail"] and "running" in body["detail"]
    suspended(watched, cvm)
    watched.virsh("resume", cvm.uuid)
    cvm.becomes("running")
    cvm.do("stop")
    refused(cvm.request("resume"), 409)
    assert_consistent(watched)


def virsh_state(node, cvm):
    return node.virsh("domstate", cvm.uuid).strip()


def test_a_daemon_that_starts_finds_a_guest_that_was_paused_meanwhile(watched):
    cvm = watched.create()
    watched.kill()
    watched.virsh("suspend", cvm.uuid)
    watched.start()
    until(lambda: f"paused: {cvm.get()}", lambda: is_paused(cvm, "other"))
    watched.restart()
    assert is_paused(cvm, "other")
    cvm.do("resume")
    cvm.becomes("running")
    assert virsh_state(watched, cvm) == "running"


def test_a_shutdown_resumes_a_paused_guest_so_that_it_can_answer(watched, button_image):
    bring(watched, button_image)
    cvm = watched.create(image=BUTTON)
    suspended(watched, cvm)
    cvm.do("shutdown", timeout=60)
    cvm.becomes("stopped")
    assert cvm.operations()[0]["state"] == "succeeded"
    assert "shutdown.progress" in cvm.log()
    assert_consistent(watched)


@pytest.mark.parametrize("verb", ["stop", "delete", "restart"])
def test_a_guest_that_an_operator_paused_can_be_ended(watched, verb):
    cvm = watched.create()
    suspended(watched, cvm)
    if verb == "delete":
        cvm.delete()
    else:
        cvm.do(verb, **({"force": True} if verb == "restart" else {}))
        cvm.becomes("stopped" if verb == "stop" else "running")
        assert cvm.get()["pause_reason"] is None
    assert_consistent(watched)


def test_the_state_stream_shows_a_pause_and_its_end(watched):
    cvm = watched.create()
    with socket.create_connection(("127.0.0.1", int(watched.url.rsplit(":", 1)[1])), timeout=20) as s:
        s.sendall(f"GET /api/v1/cvms/{cvm.uuid}/state?target=stopped HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {watched.key}\r\n"
                  "Accept: text/event-stream\r\n\r\n".encode())
        stream = s.makefile("rb")

        def state():
            while True:
                line = stream.readline()
                assert line, "the stream ended"
                if line.startswith(b"data: {"):
                    return json.loads(line[6:])
        assert state()["status"] == "running"
        suspended(watched, cvm)
        paused = state()
        assert paused["status"] == "paused" and paused["pause_reason"] == "other", paused
        cvm.request("resume").ok()
        seen = [state()]
        while seen[-1]["status"] != "running":
            seen.append(state())
        assert "pause_reason" not in seen[-1]


def test_a_guest_that_an_operator_pauses_while_it_boots_boots_on_when_it_is_resumed(watched):
    cvm = watched.create(wait=False, image=DEMO)
    until("it boots", lambda: cvm.get()["boot_progress"], 90)
    watched.virsh("suspend", cvm.uuid)
    watched.settled(cvm.uuid)
    op = cvm.operations()[-1]
    assert op["state"] == "failed" and "paused (other)" in str(op["error"]), op
    assert is_paused(cvm, "other")
    cvm.do("resume")
    until("it has booted", lambda: cvm.get()["boot_progress"] == "done", 90)
    cvm.becomes("running")
    assert_consistent(watched)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resume_is_finished_after_kill_9(watched, when):
    cvm = watched.create()
    watched.stop()
    watched.start(TEEPOD_FAILPOINT=f"resume.resume.{when}")
    suspended(watched, cvm)
    with contextlib.suppress(OSError, http.client.HTTPException):   # the daemon may die before it answers
        cvm.request("resume")
    assert watched.died() == signal.SIGKILL
    watched.start()
    watched.settled(cvm.uuid)
    cvm.becomes("running")
    assert cvm.operations()[0]["state"] == "succeeded" and virsh_state(watched, cvm) == "running"


def test_a_paused_guest_of_a_cvm_that_is_to_be_stopped_is_ended(watched):
    """A start failed by timeout, the guest started later while the daemon was down, and then somebody paused it."""
    cvm = watched.create()
    suspended(watched, cvm)
    watched.kill()
    with sqlite3.connect(watched.database()) as database:
        database.execute("update cvms set desired = 'stopped', observed = 'off', paused = ''")
        database.execute("update operations set state = 'failed', step = 'start' where kind = 'create'")
    database.close()
    watched.start()
    until("it has ended", lambda: not cvm.pids())
    cvm.becomes("stopped")
    assert_consistent(watched)
