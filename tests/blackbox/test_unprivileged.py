# SPDX-License-Identifier: Apache-2.0
"""The daemon as an unprivileged user with a system libvirtd, and the restrictions of configs/teepod.service."""

import grp
import hashlib
import os
import pwd
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from libvirtd import DEBIAN_DEFAULT, defined, virsh
from node import BOOT, DEMO, assert_consistent, command_line, refused, until
from test_host_check import checks
from test_hung_steps import jobs
from test_lifecycle import BOOTED, facts
from test_qemu_user import can_read, owner_of
from unit_sandbox import Sandbox, service

# Stand-ins for the user teepod and the group libvirt: every Debian has both. QEMU's user is the real one.
USER, SOCKET_GROUP, QEMU = "daemon", "users", "libvirt-qemu"
MEMBER = (SOCKET_GROUP, QEMU)
PORT = {"protocol": "tcp", "host_port": 0, "vm_port": 80}
LOGS = Path("/var/log/libvirt/qemu")


@pytest.fixture(scope="module")
def libvirtd(private_libvirtd):
    with private_libvirtd(DEBIAN_DEFAULT, virtlogd=True, group=SOCKET_GROUP, user=QEMU) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def sandbox():
    try:
        made = Sandbox()
    except OSError as e:
        pytest.skip(f"the unit's restrictions cannot be applied: {e}")
    yield made
    made.close()


@pytest.fixture
def device_filter(sandbox):
    if not sandbox.devices:
        pytest.skip(f"the unit's device filter cannot be applied: {sandbox.why_no_devices}")


@pytest.fixture
def run_as(libvirtd, sandbox, spawn):
    """Makes nodes whose daemon runs as @user in the sandbox; None: as root, without the sandbox."""
    made = []

    def run(user, groups=MEMBER, with_vsock=False, beside=None, **how):
        made.append(spawn(start=False, hypervisor=libvirtd.uri, user=user, groups=groups, **how))
        made[-1].dir.chmod(0o711)
        if user:
            sandbox.confine(made[-1], with_vsock, beside)
        return made[-1]
    yield run
    for node in made:
        if not node.process:    # never started
            continue
        if node.process.poll() is None:
            node.delete_all()
        for uuid in defined(libvirtd.uri, node.dir):
            for verb in ("destroy", "undefine"):
                virsh(libvirtd.uri, verb, uuid)
        for uuid, in node.rows("select distinct cvm_uuid from events where cvm_uuid is not null"):
            (LOGS / f"teepod-{uuid}.log").unlink(missing_ok=True)


@pytest.fixture
def node(run_as):
    return run_as(USER).start()


def process_status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def owner_and_mode(path):
    s = os.stat(path)
    return pwd.getpwuid(s.st_uid).pw_name, grp.getgrgid(s.st_gid).gr_name, oct(s.st_mode & 0o7777)


def resize(cvm, **body):
    accepted = cvm.node.api("PATCH", f"/cvms/{cvm.uuid}/resources", json=body).ok().json
    op = cvm.node.operation(accepted["operation_id"], wait=30)
    assert op["state"] == "succeeded", op


def virtual_gib(disk):
    return int.from_bytes(disk.read_bytes()[24:32], "big") >> 30


def test_a_life_under_a_daemon_without_privileges(node, libvirtd):
    daemon = process_status(node.process.pid)
    assert set(daemon["Uid"].split()) == {str(pwd.getpwnam(USER).pw_uid)}
    assert {int(daemon[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert (daemon["NoNewPrivs"], daemon["Seccomp"]) == ("1", "2")
    cvm = node.create(ports=[PORT])
    disk = node.dir / "cvms" / cvm.uuid / "hda.img"
    assert [owner_of(pid) for pid in cvm.pids()] == [pwd.getpwnam(QEMU).pw_uid]
    assert owner_and_mode(disk) == (USER, QEMU, "0o660")
    until("boot", lambda: BOOTED in cvm.log())
    assert_consistent(node)
    cvm.do("stop")
    assert owner_and_mode(disk) == (USER, QEMU, "0o660")
    resize(cvm, disk_size=3)
    assert virtual_gib(disk) == 3
    cvm.do("start")
    cvm.becomes("running")
    until("second boot", lambda: BOOTED in cvm.log())
    assert BOOTED in cvm.log(boot=1)
    resize(cvm, disk_size=4, allow_restart=True)
    assert virtual_gib(disk) == 4
    assert_consistent(node)
    cvm.delete()
    assert cvm.uuid not in defined(libvirtd.uri)
    assert_consistent(node)


def test_the_end_of_a_qemu_is_seen_that_may_not_be_signalled(run_as, libvirtd):
    """A stop does not wait for libvirt: the daemon can read libvirt's pid file, as on a server."""
    node = run_as(USER, beside=libvirtd.holder.pid, options={"logs.level": "debug"}).start()
    cvm = node.create()
    cvm.do("stop")
    assert cvm.status == "stopped" and cvm.pids() == []
    until("the stop did not wait", lambda: f"libvirt has cleaned up after teepod-{cvm.uuid}" in node.log_path.read_text())
    cvm.do("start")
    cvm.becomes("running")
    cvm.delete()
    assert_consistent(node)


@pytest.mark.parametrize("what", ["is frozen", "is killed", "outlives the daemon"])
def test_a_start_waits_for_a_libvirtd_that_has_not_cleaned_up(run_as, libvirtd, what):
    """QEMU ends while libvirtd does not run: the stop is over, and the start that follows begins when libvirtd runs again."""
    node = run_as(USER, beside=libvirtd.holder.pid).start()
    cvm = node.create()
    qemu, = cvm.pids()
    libvirtd.process.send_signal(signal.SIGSTOP)
    try:
        stop = cvm.request("stop").ok()["operation_id"]
        until("libvirt is called", lambda: jobs(node, "kill", "running") > 0)
        os.kill(qemu, signal.SIGKILL)
        assert node.operation(stop, wait=30)["state"] == "succeeded"
        start = cvm.request("start").ok()["operation_id"]
        assert node.get(f"/operations/{start}?wait=1").ok()["state"] == "running" and cvm.pids() == []
        if what == "outlives the daemon":
            node.kill()
    finally:
        libvirtd.process.send_signal(signal.SIGKILL if what == "is killed" else signal.SIGCONT)
    if what == "outlives the daemon":
        node.start()
    if what == "is killed":
        libvirtd.process.wait()
        libvirtd.start()
    assert node.operation(start, wait=60)["state"] == "succeeded"
    cvm.becomes("running")
    new, = cvm.pids()
    assert new != qemu
    assert_consistent(node)
    cvm.delete()
    assert_consistent(node)


def test_the_demo_guest_is_reached_and_adopted_and_boots_again_from_its_disk(node):
    cvm = node.create(image=DEMO, memory=256, ports=[PORT])
    port = cvm.ports()[0][2]
    boots, pids = facts(port)["boots_of_this_disk"], cvm.pids()
    node.kill()
    node.start()
    cvm.becomes("running", 10)
    assert cvm.pids() == pids
    assert facts(port)["boots_of_this_disk"] == boots
    cvm.do("shutdown", timeout=60)
    cvm.becomes("stopped", 60)
    cvm.do("start")
    cvm.becomes("running")
    assert facts(port)["boots_of_this_disk"] == boots + 1
    assert_consistent(node)


def test_what_a_cvm_keeps_is_closed_to_other_users(node):
    cvm = node.create(encrypted_env="00" * 64)
    folder = node.dir / "cvms" / cvm.uuid
    files = [Path(where) / name for where, _, names in os.walk(folder) for name in names]
    assert {"hda.img", ".encrypted-env", "serial.log"} <= {f.name for f in files}
    for path in files:
        assert not can_read("nobody", path), path
    for name in ("hda.img", "shared/.encrypted-env", "shared/app-compose.json"):
        assert can_read(QEMU, folder / name), name


def test_the_guests_files_come_by_a_disk_too(run_as):
    node = run_as(USER, options={"guest.share_mode": "vhd"}).start()
    cvm = node.create()
    until("boot", lambda: BOOTED in cvm.log())
    assert owner_and_mode(node.dir / "cvms" / cvm.uuid / "shared.img") == (USER, QEMU, "0o640")
    cvm.do("restart", force=True)
    cvm.becomes("running")
    until("second boot", lambda: BOOTED in cvm.log())
    assert_consistent(node)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_share_writable(image):
    """Set shared_ro to false in the metadata of an image, and correct its checksums."""
    metadata, sums = image / "metadata.json", image / "sha256sum.txt"
    old = sha256(metadata)
    metadata.write_text(metadata.read_text().replace('"shared_ro": true', '"shared_ro": false'))
    sums.write_text(sums.read_text().replace(old, sha256(metadata)))
    (image / "digest.txt").write_text(sha256(sums) + "\n")


GUEST_WRITES = """
cd "$0"
mkdir made
touch made/file
rm .instance_info
echo {} >.instance_info
chmod 770 made
chmod 660 made/file .instance_info
"""


def test_a_share_that_an_older_release_made_writable_is_closed_at_a_start_and_removed(run_as):
    node = run_as(USER)
    make_share_writable(node.dir / "given" / BOOT)
    node.start()
    cvm = node.create()
    shared = node.dir / "cvms" / cvm.uuid / "shared"
    assert owner_and_mode(shared) == (USER, QEMU, "0o750"), "whatever the image says"
    assert owner_and_mode(shared / ".instance_info")[::2] == (USER, "0o644")
    # The state of that time: the guest made a folder, a file in it, and another .instance_info.
    shared.chmod(0o770)
    who = pwd.getpwnam(QEMU)
    subprocess.run(["sh", "-ec", GUEST_WRITES, shared], user=who.pw_uid, group=who.pw_gid, extra_groups=[],
                   check=True)
    cvm.do("restart", force=True)
    cvm.becomes("running")
    assert owner_and_mode(shared) == (USER, QEMU, "0o750")
    assert owner_and_mode(shared / ".instance_info")[0] == QEMU
    cvm.delete()
    assert not shared.exists()
    assert_consistent(node)


def test_the_log_of_qemu_itself_is_roots_and_the_channel_says_so(node):
    cvm = node.create()
    log = LOGS / f"teepod-{cvm.uuid}.log"
    assert owner_and_mode(log)[::2] == ("root", "0o600")
    for query in ("", "&tail=5", "&follow=1"):
        body = refused(node.get(f"/cvms/{cvm.uuid}/logs?ch=stdout{query}"), 501)
        assert str(log) in str(body), body
    cvm.delete()
    assert log.exists()


PROBE = """
import errno, os

def tried(call, *arguments):
    try: return str(call(*arguments))
    except OSError as e: return errno.errorcode[e.errno]
for folder in ("/var/log", "/etc", "/usr", "/tmp", os.environ["STATE"]):
    print(tried(os.unlink, folder + "/missing"))
print(os.access("/dev/null", os.W_OK), os.path.exists("/dev/vhost-vsock"), os.access("/dev/vhost-vsock", os.F_OK))
print(tried(os.open, "/dev/vhost-vsock", os.O_RDONLY))
"""


def test_the_sandbox_has_a_read_only_system_and_closed_devices(run_as, device_filter):
    """The sandbox works; otherwise the other tests here would prove nothing."""
    node = run_as(USER, with_vsock=True)
    ran = subprocess.run(["/usr/bin/python3", "-c", PROBE], env={"STATE": str(node.dir)}, stdout=subprocess.PIPE,
                         text=True, check=True, **node.identity)
    assert ran.stdout.split() == ["EROFS"] * 4 + ["ENOENT", "True", "True", "False", "EPERM"]


def test_a_device_that_the_unit_closes_is_seen(run_as, device_filter):
    node = run_as(USER, with_vsock=True).start()
    assert checks(node)["vhost_vsock"]["state"] == "ok"
    accepted = node.try_create().ok().json
    error = node.operation(accepted["operation_id"], wait=30)["error"]
    if not Path("/dev/vhost-vsock").exists():
        # Only the daemon sees the device. The domain has it, so libvirt tries to open it.
        assert "unable to open vhost-vsock device" in str(error), error
    else:
        assert not error
        uuid, = defined(node.hypervisor, node.dir)
        assert "<vsock " in virsh(node.hypervisor, "dumpxml", uuid)
    node.settled()
    assert_consistent(node)


def test_a_user_outside_the_sockets_group_gets_an_error_that_names_it(run_as):
    node = run_as(USER, groups=(QEMU,)).spawn().answers()
    until("the refusal is logged", lambda: "Permission denied" in node.log_tail())
    assert "usermod -aG libvirt" in node.log_tail()
    assert node.api("GET", "/readyz", prefix="", key=None).json["reasons"] == ["the hypervisor is not connected"]


def test_a_user_outside_qemus_group_gets_an_error_that_names_it(run_as):
    node = run_as(USER, groups=(SOCKET_GROUP,)).start()
    accepted = node.try_create().ok().json
    error = node.operation(accepted["operation_id"], wait=30)["error"]
    assert f"member of group {grp.getgrnam(QEMU).gr_gid}" in str(error), error
    node.settled()
    assert_consistent(node)


def test_a_node_of_root_becomes_a_users(run_as, sandbox):
    node = run_as(None).start()
    cvm = node.create(ports=[PORT])
    until("boot", lambda: BOOTED in cvm.log())
    cvm.do("stop")
    node.stop()
    node.run_as(USER, MEMBER)   # chown -R
    sandbox.confine(node)
    node.start()
    cvm.do("start")
    cvm.becomes("running")
    until("second boot", lambda: BOOTED in cvm.log())
    assert BOOTED in cvm.log(boot=1)
    cvm.do("stop")
    resize(cvm, disk_size=2)
    assert_consistent(node)
    cvm.delete()


def test_no_core_file_is_written_of_the_daemon_or_its_guests(spawn):
    """By LimitCORE of the unit, and by the daemon itself when it runs without systemd."""
    assert service()["LimitCORE"] == ["0"]
    allowed = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (allowed[1], allowed[1]))
    try:
        node = spawn()
        cvm = node.create()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, allowed)
    for pid in (node.process.pid, *cvm.pids()):
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0), command_line(pid)[:1]
    assert any("dump-guest-core=off" in arg for arg in command_line(cvm.pids()[0]))
