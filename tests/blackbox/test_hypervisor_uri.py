# SPDX-License-Identifier: Apache-2.0
"""The same life under a libvirtd of its own instead of the embedded driver."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from node import assert_books, until
from test_lifecycle import BOOTED


# Of the system's libvirt only the programs are used: its folders are fresh ones in a mount namespace that a sleeping
# process holds, so that a libvirtd of the machine, or of another test, is neither seen nor disturbed.
HOLDER = """
for dir in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /run/libvirt; do mkdir -p $dir && mount -t tmpfs tmpfs $dir || exit 1; done
cp "$1" /etc/libvirt/qemu.conf && echo ready && exec sleep infinity
"""
WORKS_WITHOUT_SYSTEMD = ('user = "root"\ngroup = "root"\nstdio_handler = "file"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
                         'namespaces = []\nremember_owner = 0\n')


class Libvirtd:
    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.uri = f"qemu+unix:///system?socket={folder}/libvirt-sock"
        (folder / "qemu.conf").write_text(WORKS_WITHOUT_SYSTEMD)
        (folder / "libvirtd.conf").write_text(f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n')
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLDER, "sh", folder / "qemu.conf"],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self.holder.stdout.readline()
        if said.strip() != "ready":
            pytest.skip(f"no mount namespace for a private libvirtd: {said.strip()}")

    def start(self):
        for path in self.folder.glob("libvirt-*sock*"):
            path.unlink()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(["nsenter", "--mount", f"--target={self.holder.pid}", "libvirtd", "-f",
                                             self.folder / "libvirtd.conf", "-p", self.folder / "pid"], stdout=log, stderr=log)
        until(lambda: "libvirtd listens: " + (self.folder / "log").read_text()[-800:],
              lambda: answers(self.folder / "libvirt-sock"), 30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def libvirtd():
    if os.geteuid() != 0:
        pytest.skip("a system libvirtd needs root")
    if not shutil.which("libvirtd"):
        pytest.skip("libvirtd is not installed")
    daemon = Libvirtd(Path(tempfile.mkdtemp(prefix="tpv", dir="/tmp")))
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


def answers(path):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(str(path))
            return True
        except OSError:
            return False


def defined(uri):
    done = subprocess.run(["virsh", "-c", uri, "list", "--all", "--uuid"], capture_output=True, text=True, timeout=30, check=True)
    return set(done.stdout.split())


@pytest.fixture
def remote(libvirtd, spawn):
    node = spawn(hypervisor=libvirtd.uri)
    yield node
    if node.process.poll() is None:
        node.delete_all()
    for uuid in defined(libvirtd.uri):
        for verb in ("destroy", "undefine"):
            subprocess.run(["virsh", "-c", libvirtd.uri, verb, uuid], capture_output=True, timeout=60)


def test_a_life_under_libvirtd(remote, libvirtd):
    node = remote
    cvm = node.create(ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    until("boot", lambda: BOOTED in cvm.log())
    assert cvm.uuid in defined(libvirtd.uri)
    assert_books(node)
    cvm.do("stop")
    cvm.becomes("stopped")
    cvm.do("start")
    cvm.becomes("running")
    cvm.do("restart", force=True)
    cvm.becomes("running")
    assert_books(node)
    cvm.delete()
    assert cvm.uuid not in defined(libvirtd.uri)
    assert_books(node)


def test_guests_are_adopted_over_kill_9_under_libvirtd(remote):
    node = remote
    cvm = node.create(ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    pids = cvm.pids()
    node.kill()
    node.start()
    cvm.becomes("running", 10)
    assert cvm.pids() == pids
    os.kill(pids[0], signal.SIGKILL)
    cvm.becomes("crashed", 10)
    assert_books(node)


def test_libvirtd_may_die_and_come_back(remote, libvirtd):
    node = remote
    cvm = node.create()
    pids = cvm.pids()
    libvirtd.kill()
    until("the daemon notices", lambda: node.api("GET", "/readyz", prefix="", key=None).status == 503, 20)
    assert node.get(f"/cvms/{cvm.uuid}").status == 200, "reads need no hypervisor"
    libvirtd.start()
    node.ready(40)
    cvm.becomes("running", 15)
    assert cvm.pids() == pids
    cvm.do("stop")
    cvm.becomes("stopped")
    assert_books(node)


def test_without_a_hypervisor_the_api_answers_and_says_why_it_is_not_ready(spawn):
    node = spawn(start=False, hypervisor="qemu+unix:///system?socket=/tmp/teepod-no-such-socket")
    node.spawn()
    node.answers()
    assert node.api("GET", "/healthz", prefix="", key=None).status == 200
    answer = node.api("GET", "/readyz", prefix="", key=None)
    assert answer.status == 503 and answer.text.strip()
    node.create(stopped=True)
    assert node.get("/node").status == 200
