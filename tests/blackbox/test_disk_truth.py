# SPDX-License-Identifier: Apache-2.0
"""A data disk that exists in the database is never replaced without new_disk, whatever happened to its file."""

import os
import shutil
import signal
import subprocess

import pytest

from node import alive, assert_consistent, refused, until


def folder(cvm):
    return cvm.node.dir / "cvms" / cvm.uuid


def disk(cvm):
    return folder(cvm) / "hda.img"


def qcow2(path, size, *more):
    path.unlink(missing_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *more, path, size], check=True)


def gone(cvm):
    disk(cvm).unlink()


def empty(cvm):
    disk(cvm).write_bytes(b"")


def replace_by_folder(cvm):
    disk(cvm).unlink()
    disk(cvm).mkdir()


def link(cvm):
    disk(cvm).rename(folder(cvm) / "elsewhere.img")
    disk(cvm).symlink_to("elsewhere.img")


def fifo(cvm):
    disk(cvm).unlink()
    os.mkfifo(disk(cvm))


def raw(cvm):
    disk(cvm).write_bytes(b"\0" * 1048576)


def cut(cvm):
    """QEMU opens the rest as an empty disk."""
    os.truncate(disk(cvm), 1024)


def smaller(cvm):
    qcow2(disk(cvm), "512M")


def larger(cvm):
    qcow2(disk(cvm), "3G")


def backed(cvm):
    disk(cvm).rename(folder(cvm) / "base.img")
    qcow2(disk(cvm), "2G", "-b", folder(cvm) / "base.img", "-F", "qcow2")


def all_gone(cvm):
    shutil.rmtree(folder(cvm))


SPOILS = [gone, empty, replace_by_folder, link, fifo, raw, cut, smaller, larger, backed, all_gone]


def state_of(cvm):
    """Inode, mode, size and time of the file at the disk's path; None without one."""
    try:
        st = disk(cvm).lstat()
        return st.st_ino, st.st_mode, st.st_size, st.st_mtime_ns
    except FileNotFoundError:
        return None


def over(cvm, answer):
    return cvm.node.operation(answer.ok().headers["x-operation-id"], wait=60)


def fails_for_its_disk(cvm, answer):
    """The operation fails because of the disk, and does not change the file."""
    before = state_of(cvm)
    operation = over(cvm, answer)
    assert operation["state"] == "failed", (operation, "it started with a disk that is not its own")
    assert "data disk" in str(operation["error"]), operation
    assert state_of(cvm) == before
    return operation


@pytest.fixture
def used(node):
    """A stopped CVM with a disk of 2 GiB that has run once."""
    cvm = node.create(disk_size=2)
    cvm.do("stop")
    return cvm


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_start_without_its_own_disk_fails_and_makes_none(used, spoil):
    spoil(used)
    fails_for_its_disk(used, used.request("start"))
    assert used.status == "stopped"
    if spoil is larger:
        operation = fails_for_its_disk(used, used.request("start", new_disk=True))
        assert "resize the CVM to 3 GiB" in str(operation["error"]), operation
        return
    was = state_of(used)
    over(used, used.request("start", new_disk=True))
    used.becomes("running")
    assert disk(used).is_file() and not disk(used).is_symlink()
    kept = list(folder(used).glob("hda.img.replaced-*"))
    assert [path.lstat().st_ino for path in kept] == ([was[0]] if was else []), "what was in its place is kept"
    used.delete()
    assert not folder(used).exists()


def test_a_start_without_its_disk_says_what_to_do(used):
    gone(used)
    operation = fails_for_its_disk(used, used.request("start"))
    error = str(operation["error"])
    assert "is gone" in error and "new_disk" in error, operation


def test_a_disk_that_is_put_back_starts_again(used):
    kept = folder(used) / "kept.img"
    disk(used).rename(kept)
    fails_for_its_disk(used, used.request("start"))
    kept.rename(disk(used))
    before = disk(used).stat().st_ino
    used.do("start")
    used.becomes("running")
    assert disk(used).stat().st_ino == before


def test_new_disk_keeps_a_disk_that_is_there(used):
    before = disk(used).stat().st_ino
    used.do("start", new_disk=True)
    used.becomes("running")
    assert disk(used).stat().st_ino == before
    refused(used.request("start", new_disk=True), 409, field="new_disk")
    refused(used.request("start", new_disk="yes"), 400, field="new_disk")
    used.do("restart", new_disk=True, force=True)
    used.becomes("running")
    assert disk(used).stat().st_ino == before


def test_the_first_start_makes_the_disk(node):
    cvm = node.create(stopped=True, disk_size=2)
    assert not disk(cvm).exists()
    over(cvm, node.api("PATCH", f"/cvms/{cvm.uuid}/resources", json={"disk_size": 3}))
    cvm.do("start")
    cvm.becomes("running")
    assert disk(cvm).read_bytes()[24:32] == (3 << 30).to_bytes(8, "big")


def test_a_restart_leaves_a_guest_alone_whose_disk_was_removed(node):
    cvm = node.create()
    pids = cvm.pids()
    gone(cvm)
    for force in (True, False):
        fails_for_its_disk(cvm, cvm.request("restart", force=force))
        assert cvm.pids() == pids and cvm.status == "running", "the only copy of its data was thrown away"
    larger(cvm)
    fails_for_its_disk(cvm, cvm.request("restart", force=True, new_disk=True))
    assert cvm.pids() == pids and cvm.status == "running", "ended for a new disk that is refused"
    gone(cvm)
    over(cvm, cvm.request("restart", force=True, new_disk=True))
    cvm.becomes("running")
    assert cvm.pids() != pids and disk(cvm).is_file()


def test_an_upgrade_leaves_a_guest_alone_whose_disk_was_removed(node):
    cvm = node.create()
    pids = cvm.pids()
    gone(cvm)
    answer = node.api("PATCH", f"/cvms/{cvm.uuid}", json={"vcpu": 2, "allow_restart": True})
    fails_for_its_disk(cvm, answer)
    assert cvm.pids() == pids and cvm.status == "running"


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("spoil", [gone, link, smaller])
def test_a_disk_that_is_lost_does_not_grow(node, runs, spoil):
    cvm = node.create(disk_size=1)
    if not runs:
        cvm.do("stop")
    spoil(cvm)
    fails_for_its_disk(cvm, node.api("PATCH", f"/cvms/{cvm.uuid}/resources", json={"disk_size": 4}))
    assert node.rows("select disk_gib from cvms where uuid = ?", cvm.uuid) == [(1,)]
    if runs:
        assert cvm.status == "running"


def test_a_larger_disk_is_recorded_by_a_resize(used):
    larger(used)
    fails_for_its_disk(used, used.request("start"))
    over(used, used.node.api("PATCH", f"/cvms/{used.uuid}/resources", json={"disk_size": 3}))
    used.do("start")
    used.becomes("running")


def test_a_restart_by_the_node_makes_no_disk(spawn):
    node = spawn(options={"restart.initial_backoff": 1, "restart.max_retries": 2})
    cvm = node.create()
    gone(cvm)
    for pid in cvm.pids():
        os.kill(pid, signal.SIGKILL)
    until("a restart was tried, and failed", lambda: any(
        op["kind"] == "start" and op["state"] in ("failed", "succeeded") for op in cvm.operations()), 30)
    assert not disk(cvm).exists() and not cvm.pids()


def test_a_start_after_a_boot_of_the_host_makes_no_disk(spawn):
    node = spawn()
    cvm = node.create()
    pids = cvm.pids()
    node.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until("its guest is gone", lambda: not any(alive(pid) for pid in pids))
    gone(cvm)
    node.start()
    until("a start was tried", lambda: any(op["kind"] == "start" and op["state"] in ("failed", "succeeded")
                                           for op in cvm.operations()), 30)
    assert not disk(cvm).exists() and not cvm.pids()


def test_a_replica_has_a_disk_of_its_own(used):
    gone(used)
    copy = used.node.post(f"/cvms/{used.uuid}/replicas", json={}).ok().json
    used.node.settled(copy["vm_uuid"])
    assert (used.node.dir / "cvms" / copy["vm_uuid"] / "hda.img").is_file() and not disk(used).exists()


def killed_in_its_first_start(spawn, point):
    """A daemon that died at @point of the first start of a CVM, and that CVM."""
    node = spawn()
    cvm = node.create(stopped=True)
    node.stop()
    node.start(TEEPOD_FAILPOINT=point)
    cvm.request("start")
    assert node.died(30) == signal.SIGKILL
    return node, cvm


@pytest.mark.parametrize("point", ["start.disk.before", "start.disk.after"])
def test_killed_while_the_first_disk_is_made(spawn, point):
    node, cvm = killed_in_its_first_start(spawn, point)
    made = state_of(cvm)
    assert (made is not None) == (point == "start.disk.after")
    node.start()
    cvm.becomes("running")
    if made:
        assert state_of(cvm)[0] == made[0], "the disk that was made is the one it has"
    assert_consistent(node)


@pytest.mark.parametrize("point", ["start.define.before", "start.start.before"])
def test_killed_after_the_disk_was_recorded_and_then_it_is_gone(spawn, point):
    node, cvm = killed_in_its_first_start(spawn, point)
    gone(cvm)
    node.start()
    node.settled(cvm.uuid)
    assert not disk(cvm).exists()
    fails_for_its_disk(cvm, cvm.request("start"))


# ---------------------------------------------------------------------- what a killed daemon leaves

OURS = ["hda.img.tmp", "shared.img.tmp", "logs/.rotate.tmp", "logs/boots.json.tmp", "shared/app-compose.json.tmp",
        "shared/.sys-config.json.tmp", "shared/.encrypted-env.tmp", "shared/.user-config.tmp", "shared/.instance_info.tmp"]
OF_OTHERS = ["shared/mine.tmp", "shared/.instance_info", "hda.img"]


def test_temporary_files_of_a_killed_daemon_are_removed_and_no_others(spawn):
    node = spawn()
    cvm = node.create()
    kept = node.create(stopped=True)
    guest = cvm.pids()
    node.kill()
    left = [folder(cvm) / name for name in OURS]
    left += [node.dir / name for name in ("admin.key.tmp", "url.tmp", "owner.tmp", "teepod.db.v7-1.tmp")]
    for path in left:
        path.write_bytes(b"half")
    others = [folder(cvm) / name for name in OF_OTHERS] + [node.dir / "notes.tmp", node.dir / "teepod.db.v6-1"]
    for path in others:
        if not path.exists():
            path.write_bytes(b"mine")
    node.start()
    assert [path for path in left if path.exists()] == []
    assert [path for path in others if not path.exists()] == []
    assert cvm.pids() == guest and cvm.status == "running" and kept.status == "stopped"
