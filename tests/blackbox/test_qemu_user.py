# SPDX-License-Identifier: Apache-2.0
"""QEMU runs as its own user, as with Debian's libvirt: it can read its files, and other users cannot."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from libvirtd import DEBIAN_DEFAULT, defined, virsh
from node import DEMO, assert_consistent, until
from test_lifecycle import BOOTED, facts


@pytest.fixture(scope="module", params=["file", "logd"])
def libvirtd(request, private_libvirtd):
    conf = DEBIAN_DEFAULT + f'stdio_handler = "{request.param}"\n'
    with private_libvirtd(conf, virtlogd=request.param == "logd", user="libvirt-qemu") as daemon:
        yield daemon


@pytest.fixture
def node(libvirtd, spawn):
    node = spawn(start=False, hypervisor=libvirtd.uri)
    node.dir.chmod(0o711)
    yield node.start()
    if node.process.poll() is None:
        node.delete_all()
    for uuid in defined(libvirtd.uri, node.dir):
        for verb in ("destroy", "undefine"):
            virsh(libvirtd.uri, verb, uuid)


def owner_of(pid):
    return os.stat(f"/proc/{pid}").st_uid


def test_a_life_with_qemu_as_its_own_user(node, libvirtd):
    cvm = node.create(ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    assert [owner_of(pid) for pid in cvm.pids()] == [pwd.getpwnam("libvirt-qemu").pw_uid]
    until("boot", lambda: BOOTED in cvm.log())
    assert_consistent(node)
    cvm.do("stop")
    cvm.becomes("stopped")
    cvm.do("start")
    cvm.becomes("running")
    until("second boot", lambda: BOOTED in cvm.log())
    cvm.do("restart", force=True)
    cvm.becomes("running")
    until("third boot", lambda: BOOTED in cvm.log())
    for boot in (1, 2, 3):
        assert BOOTED in cvm.log(boot=boot), boot
    assert "qemu-system" in cvm.log("stdout")
    assert_consistent(node)
    cvm.delete()
    assert cvm.uuid not in defined(libvirtd.uri)
    assert_consistent(node)


def test_the_demo_guest_answers_and_is_adopted_over_kill_9(node):
    cvm = node.create(image=DEMO, memory=256, ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    port = cvm.ports()[0][2]
    before, pids = facts(port), cvm.pids()
    node.kill()
    node.start()
    cvm.becomes("running", 10)
    assert cvm.pids() == pids
    assert facts(port)["boots_of_this_disk"] == before["boots_of_this_disk"]
    assert_consistent(node)
    cvm.do("shutdown", timeout=60)
    cvm.becomes("stopped", 60)
    assert_consistent(node)


def can_read(user, path):
    who = pwd.getpwnam(user)
    return subprocess.run(["dd", f"if={path}", "of=/dev/null", "count=1", "status=none"], stderr=subprocess.DEVNULL,
                          user=who.pw_uid, group=who.pw_gid, extra_groups=[]).returncode == 0


def test_what_a_cvm_keeps_is_closed_to_other_users(node):
    cvm = node.create(encrypted_env="00" * 64)
    cvm.do("stop")
    cvm.do("start")
    cvm.becomes("running")
    folder = node.dir / "cvms" / cvm.uuid
    files = [Path(where) / name for where, _, names in os.walk(folder) for name in names]
    assert {"hda.img", ".encrypted-env", "app-compose.json", "serial.log", "serial.1.1.log", "qemu.1.1.log"} <= {f.name for f in files}
    for path in files:
        assert not can_read("nobody", path), path
    for name in ("hda.img", "shared/.encrypted-env", "shared/app-compose.json", "shared/.sys-config.json"):
        assert can_read("libvirt-qemu", folder / name), name
    for stat_mode in (folder.stat().st_mode, (folder / "logs").stat().st_mode, (folder / "hda.img").stat().st_mode):
        assert stat_mode & 0o007 == 0


def test_a_state_dir_that_qemu_can_not_pass_is_named_with_what_to_do(node):
    node.dir.chmod(0o700)
    created = node.try_create().ok().json
    answer = node.operation(created["operation_id"], wait=30)
    node.dir.chmod(0o711)
    assert answer["state"] == "failed"
    assert "Permission denied" in str(answer["error"]) and f"pass through {node.dir}" in str(answer["error"])
    node.settled()
    assert_consistent(node)
