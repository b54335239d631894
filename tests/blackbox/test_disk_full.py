# SPDX-License-Identifier: Apache-2.0
"""No space left: the operation fails with the cause, its steps are undone, and the daemon goes on."""

import os
import signal
import sqlite3
import subprocess

import pytest

from node import Node, assert_consistent, until


@pytest.fixture
def tiny(tmp_path_factory):
    """A node whose state is on a file system of 48 MiB."""
    import tempfile

    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    if Node.libvirtd:
        pytest.skip("the private libvirtd does not see file systems mounted after it was started")
    folder = tempfile.mkdtemp(prefix="tp", dir="/tmp")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        os.rmdir(folder)
        pytest.skip(f"tmpfs can not be mounted here: {done.stderr.strip()}")
    node = Node(folder=folder, options={"images.dir": folder + "-images"})
    try:
        yield node.start()
    finally:
        node.close()
        subprocess.run(["umount", "-l", folder], check=False)
        subprocess.run(["rm", "-rf", folder, folder + "-images"], check=False)


def fill(node, leave=0, below=""):
    """Use all the space except @leave bytes. Returns the file to remove."""
    path = node.dir / below / "ballast"
    with open(path, "wb", buffering=0) as f:    # unbuffered: a failed write must not be repeated by close()
        try:
            while True:
                f.write(b"x" * 65536)
                f.flush()
        except OSError:
            pass
    if leave:
        os.truncate(path, max(0, path.stat().st_size - leave))
    return path


def test_a_start_without_space_fails_with_its_cause_and_undoes_what_it_did(tiny):
    cvm = tiny.create(stopped=True)
    before = tiny.capacity()
    # Enough for the database, not for a guest's files and its disk.
    ballast = fill(tiny, leave=200 * 1024)
    answer = cvm.request("start")
    if answer.status // 100 == 2:
        tiny.settled(cvm.uuid)
        op = cvm.operations()[0]
        assert op["state"] == "failed", op
        assert "space" in str(op["error"]).lower(), op
        assert cvm.status in ("stopped", "exited", "crashed")
    else:
        assert answer.status in (500, 507) and "space" in answer.text.lower(), answer
    assert tiny.get("/node").ok() and tiny.api("GET", "/healthz", prefix="", key=None).status == 200
    ballast.unlink()
    assert tiny.capacity() == before
    assert_consistent(tiny)
    cvm.do("start")
    cvm.becomes("running")
    cvm.delete()
    assert_consistent(tiny)


def test_a_full_database_refuses_changes_and_answers_reads(tiny):
    cvm = tiny.create(stopped=True)
    ballast = fill(tiny)
    failures = [tiny.try_create(stopped=True, name=f"no-room-{n}") for n in range(60)]
    bad = [a for a in failures if a.status // 100 != 2]
    assert bad, "sixty creates fit into a full file system"
    for answer in bad:
        assert answer.status in (500, 507), answer
    assert tiny.get(f"/cvms/{cvm.uuid}").status == 200
    assert tiny.get("/apps?page=1&page_size=100").status == 200
    made = {a["vm_uuid"] for a in failures if a.status // 100 == 2}
    assert tiny.uuids() == made | {cvm.uuid}, "what was answered is there, what was refused is not"
    ballast.unlink()
    until("changes work again", lambda: tiny.try_create(stopped=True).status // 100 == 2)
    assert_consistent(tiny)


def test_a_guest_that_fills_the_disk_harms_no_other_guest(tiny):
    cvm = tiny.create()
    ballast = fill(tiny)
    assert tiny.get(f"/cvms/{cvm.uuid}").status == 200
    assert tiny.process.poll() is None
    ballast.unlink()
    cvm.do("stop")
    cvm.becomes("stopped")
    assert_consistent(tiny)


def test_a_guest_that_ends_while_nothing_can_be_written_is_noticed_later(node):
    """libvirt sends the event once, so a failed write must not lose it. A database lock stands for the full disk."""
    cvm = node.create()
    database = sqlite3.connect(node.dir / "teepod.db", isolation_level=None)
    database.execute("begin immediate")
    for pid in cvm.pids():
        os.kill(pid, signal.SIGKILL)
    until("the write has failed", lambda: "cannot record the state of" in node.log_path.read_text(errors="replace"))
    assert cvm.status == "running"
    database.execute("rollback")
    database.close()
    cvm.becomes("crashed", 15)
    assert_consistent(node)
