# SPDX-License-Identifier: Apache-2.0
"""A state folder that was copied, moved or restored runs nothing until --accept-host."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from node import PROGRAM, alive, refused


def copy_of(node, spawn, **how):
    """A copy of the folder (cp -a), and a node for it that is not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="tp", dir="/tmp"))
    done = subprocess.run(["tar", "-C", node.dir, "--exclude=*.sock", "--exclude=daemon.log", "-cf", folder / "t", "."], check=False)
    assert done.returncode in (0, 1), done      # 1: a file changed while it was read
    subprocess.run(["tar", "-C", folder, "-xpf", folder / "t"], check=True)
    (folder / "t").unlink()
    return spawn(start=False, folder=folder, options=dict(node.options), **how)


def command(node, *arguments):
    return subprocess.run([PROGRAM, "--dev", str(node.dir), *arguments], capture_output=True, text=True, timeout=60)


def accept(node, *options):
    return command(node, "--accept-host", *options)


def maintenance(node):
    return node.get("/node/maintenance").ok().json


def assert_runs_nothing(node, cvm, why):
    """@node runs on a folder that belongs to another host, with the running CVM @cvm."""
    shown = maintenance(node)
    assert shown["enabled"] and why in shown["reason"] and "--accept-host" in shown["reason"], shown
    at_node = node.get("/node").ok().json
    assert at_node["maintenance"]["reason"] == shown["reason"]
    assert why in node.log_tail(200)
    refused(node.try_create(), 403, field="node_id")
    for verb in ("start", "stop", "restart", "shutdown"):
        refused(node.post(f"/cvms/{cvm.uuid}/{verb}"), 403, field="node_id")
    refused(node.api("DELETE", f"/cvms/{cvm.uuid}"), 403, field="node_id")
    refused(node.api("DELETE", "/node/maintenance"), 403, field="node_id")
    refused(node.post("/node/drain"), 403, field="node_id")
    assert maintenance(node)["enabled"]
    assert node.get(f"/cvms/{cvm.uuid}").ok()
    assert node.guests() == []


def test_a_copy_beside_its_original_runs_nothing_until_it_is_accepted(spawn):
    original = spawn()
    cvm = original.create()
    pids = original.guests()
    copy = copy_of(original, spawn).start()
    assert_runs_nothing(copy, cvm, f"a copy of {original.dir}")
    assert original.guests() == pids and original.cvm(cvm.uuid).status == "running"

    done = accept(copy)
    assert done.returncode == 1 and "in use by another teepod" in done.stderr, done.stderr
    copy.stop()
    assert original.guests() == pids
    done = accept(copy)
    assert done.returncode == 1 and str(original.dir) in done.stderr and "original" in done.stderr, done.stderr
    cvm.do("stop")
    original.stop()
    done = accept(copy)
    assert done.returncode == 0, done.stderr
    assert "already" in accept(copy).stdout

    copy.start()
    assert not maintenance(copy)["enabled"]
    copy.cvm(cvm.uuid).becomes("running")
    original.start()
    shown = maintenance(original)
    assert shown["enabled"] and f"replaced by {copy.dir}" in shown["reason"], shown


def test_a_copy_below_the_same_libvirtd_touches_no_guest_of_the_original(libvirtd, spawn):
    original = spawn(hypervisor=libvirtd.uri)
    try:
        cvm = original.create()
        crashed = original.create(name="crashed")
        pids, definitions = cvm.pids(), original.definitions()
        copy = copy_of(original, spawn, hypervisor=libvirtd.uri).start()
        assert_runs_nothing(copy, cvm, f"a copy of {original.dir}")
        assert "guests adopted" not in copy.log_tail(200)
        # The copy does not record events of the original's guests.
        seen = copy.rows("select uuid, observed from cvms order by uuid")
        crashed.do("stop")
        assert copy.rows("select uuid, observed from cvms order by uuid") == seen
        copy.stop()
        assert cvm.pids() == pids and original.definitions() == definitions
        assert cvm.status == "running"
    finally:
        original.delete_all()


def test_a_copy_on_another_host_runs_nothing_until_it_is_accepted(spawn):
    node = spawn(start=False)
    root = node.dir / "host"
    (root / "etc").mkdir(parents=True)
    (root / "etc/machine-id").write_text("uninitialized\n")      # the content during a first boot of systemd
    node.options["host.root"] = str(root)
    node.start()
    node.stop()
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    node.start()
    assert not maintenance(node)["enabled"]
    cvm = node.create()
    pids = node.guests()
    node.stop()
    (root / "etc/machine-id").write_text("fedcba9876543210fedcba9876543210\n")
    node.start()
    shown = maintenance(node)
    assert shown["enabled"] and "another host" in shown["reason"], shown
    refused(node.post(f"/cvms/{cvm.uuid}/stop"), 403, field="node_id")
    assert node.guests() == pids
    node.stop()
    done = accept(node, "-o", f"host.root={root}")
    assert done.returncode == 0, done.stderr
    node.start()
    assert not maintenance(node)["enabled"]
    cvm.becomes("running")
    assert node.guests() == pids


def test_a_copy_from_a_first_boot_replaces_its_original_too(spawn):
    """The copy was made before the host had a machine-id, and is accepted when it has one."""
    original = spawn(start=False)
    root = original.dir / "host"
    (root / "etc").mkdir(parents=True)
    (root / "etc/machine-id").write_text("uninitialized\n")
    original.options["host.root"] = str(root)
    original.start()
    original.stop()
    copy = copy_of(original, spawn)
    copy.options["host.root"] = str(root)
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    done = accept(copy, "-o", f"host.root={root}")
    assert done.returncode == 0, done.stderr
    original.start()
    shown = maintenance(original)
    assert shown["enabled"] and f"replaced by {copy.dir}" in shown["reason"], shown


def test_a_moved_and_a_restored_folder_say_so(spawn):
    node = spawn()
    node.create(stopped=True)
    node.stop()
    folder, moved = node.dir, Path(f"{node.dir}m")
    folder.rename(moved)
    node.dir, node.log_path, node.embed = moved, moved / "daemon.log", moved / "libvirt"
    try:
        node.start()
        assert f"moved here from {folder}" in maintenance(node)["reason"]
        node.stop()
        assert accept(node).returncode == 0
        node.start()
        assert not maintenance(node)["enabled"]
        node.stop()
        inode, backup = (moved / "owner").stat().st_ino, Path(f"{folder}b")
        shutil.copytree(moved, backup, symlinks=True)
        shutil.rmtree(moved)
        backup.rename(moved)
        if (moved / "owner").stat().st_ino == inode:    # the file system reused the number
            shutil.copy(moved / "owner", moved / "other")
            (moved / "other").rename(moved / "owner")
        assert (moved / "owner").stat().st_ino != inode
        node.start()
        assert f"restored or copied from {moved}" in maintenance(node)["reason"]
        node.stop()
        assert accept(node).returncode == 0
        (moved / "owner").unlink()
        node.start()
        assert "belongs to another state folder" in maintenance(node)["reason"]
    finally:
        node.stop()


def test_a_restored_database_in_its_own_folder_and_an_upgrade_are_the_nodes_own(spawn):
    node = spawn()
    cvm = node.create()
    subprocess.run(["sqlite3", node.database(), f".backup {node.dir}/backup.db"], check=True)
    node.stop()
    for left in node.dir.glob("teepod.db*"):
        left.unlink()
    (node.dir / "backup.db").rename(node.database())
    node.start()
    assert not maintenance(node)["enabled"]
    cvm.becomes("running")
    node.stop()
    # The state that an earlier release left.
    (node.dir / "owner").unlink()
    subprocess.run(["sqlite3", node.database(), "delete from owner"], check=True)
    node.start()
    assert not maintenance(node)["enabled"] and (node.dir / "owner").exists()
    cvm.becomes("running")
    assert all(alive(pid) for pid in node.guests())


def test_operations_under_way_in_the_original_are_not_gone_on_with_by_a_copy(spawn):
    node = spawn()
    cvm = node.create(stopped=True)
    node.stop()
    node.start(TEEPOD_FAILPOINT="start.start.before")
    try:
        cvm.request("start")
    except OSError:
        pass
    node.died()
    live = node.rows("select id, state from operations where state in ('queued', 'running')")
    assert len(live) == 1
    copy = copy_of(node, spawn).start()
    assert maintenance(copy)["enabled"]
    refused(copy.api("DELETE", f"/operations/{live[0][0]}"), 403, field="node_id")
    assert copy.rows("select cancel from operations where id = ?", live[0][0]) == [(0,)]
    assert copy.rows("select id, state from operations where state in ('queued', 'running')") == live
    assert copy.guests() == []
