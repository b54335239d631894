# SPDX-License-Identifier: Apache-2.0
"""libvirtd.py - a private libvirtd, for tests of nodes whose guests do not run in the embedded driver."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import qemu_capabilities
from node import until

# Only the programs of the system's libvirt are used. Its folders are new ones in a mount namespace, which a sleeping process
# keeps, so that it does not meet the libvirtd of the machine or of another test.
HOLDER = """
for dir in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /run/libvirt; do mkdir -p $dir && mount -t tmpfs tmpfs $dir || exit 1; done
if [ "$2" = hide-kvm ]; then touch /run/libvirt/no-kvm && chmod 0 /run/libvirt/no-kvm && mount --bind /run/libvirt/no-kvm /dev/kvm || exit 1; fi
mkdir -p /var/cache/libvirt/qemu/capabilities && cp "$3"/*.xml /var/cache/libvirt/qemu/capabilities 2>/dev/null
cp "$1" /etc/libvirt/qemu.conf && echo ready && exec sleep infinity
"""
WORKS_WITHOUT_SYSTEMD = ('user = "root"\ngroup = "root"\nstdio_handler = "file"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
                         'namespaces = []\nremember_owner = 0\n')
# Debian's configuration, in which QEMU runs as libvirt-qemu. Only what a container lacks is switched off.
DEBIAN_DEFAULT = 'security_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'


class Unavailable(Exception):
    """No libvirtd can run here; the text says why."""


class Libvirtd:
    def __init__(self, conf=WORKS_WITHOUT_SYSTEMD, virtlogd=False, group=None, user=None):
        """@group: its socket is open to the members of that group and to root, as on Debian. @user: must exist."""
        self.check()
        try:
            pwd.getpwnam(user or "root")
        except KeyError:
            raise Unavailable(f"there is no user {user}") from None
        # libvirtd 9.0 probes QEMU as root and then checks whether QEMU's user may use /dev/kvm. When only root may, it takes its
        # cached capabilities for outdated and probes again: ten times, 3 s of CPU, for each start of a guest.
        self.hide_kvm = os.path.exists("/dev/kvm") and not may_use("/dev/kvm", user or "root")
        folder = self.folder = Path(tempfile.mkdtemp(prefix="tpv", dir="/tmp"))
        self.process = self.virtlogd = None
        self.uri = f"qemu+unix:///system?socket={folder}/libvirt-sock"
        (folder / "qemu.conf").write_text(conf)
        settings = f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        if group:
            settings += f'unix_sock_group = "{group}"\nunix_sock_rw_perms = "0770"\n'
            folder.chmod(0o711)
        (folder / "libvirtd.conf").write_text(settings)
        self.holder = subprocess.Popen(self.namespace(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = self.holder.stdout.readline()
        if line.strip() != "ready":
            self.holder.wait()
            shutil.rmtree(folder, ignore_errors=True)
            raise Unavailable(f"no mount namespace for a private libvirtd: {line.strip()}")
        if virtlogd:
            self._start_virtlogd()

    def check(self):
        """Raises Unavailable when no libvirtd can run here."""
        if os.geteuid() != 0:
            raise Unavailable("a system libvirtd needs root")
        if not shutil.which("libvirtd"):
            raise Unavailable("libvirtd is not installed")

    def namespace(self):
        """The command that keeps the namespace: it prints "ready" and sleeps."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLDER, "sh", self.folder / "qemu.conf",
                "hide-kvm" if self.hide_kvm else "", qemu_capabilities.SHARED]

    def _inside(self, *command):
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(["nsenter", "--mount", "--root", f"--target={self.holder.pid}", *command], stdout=log, stderr=log)

    def _start_virtlogd(self):
        if not shutil.which("virtlogd"):
            self.close()
            raise Unavailable("virtlogd is not installed")
        self.virtlogd = self._inside("virtlogd", "-p", self.folder / "virtlogd.pid")
        until(lambda: "virtlogd listens: " + (self.folder / "log").read_text()[-800:],
              lambda: answers(f"/proc/{self.holder.pid}/root/run/libvirt/virtlogd-sock"), 30)

    def start(self):
        for path in self.folder.glob("libvirt-*sock*"):
            path.unlink()
        self.process = self._inside("libvirtd", "-f", self.folder / "libvirtd.conf", "-p", self.folder / "pid")
        until(lambda: "libvirtd listens: " + (self.folder / "log").read_text()[-800:],
              lambda: answers(self.folder / "libvirt-sock"), 30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def status_file(self, domain):
        return Path(f"/proc/{self.holder.pid}/root/run/libvirt/qemu/{domain}.xml")

    def remove_status_files_without_pid(self):
        """The repair that docs/troubleshooting.md describes. Returns the number of removed files. A libvirtd that was killed after it wrote the status file of a start,
        and before QEMU was executed, leaves a file with pid='0'. libvirtd 9.0 then lists the domain as running and keeps the job
        "start" locked for good, also over restarts. Call it while no libvirtd runs."""
        files = [path for path in self.status_file("*").parent.glob("*.xml")
                 if re.search(r"<domstatus [^>]* pid='0'", path.read_text())]
        for path in files:
            path.unlink()
        return len(files)

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.virtlogd:
            self.virtlogd.kill()
            self.virtlogd.wait()
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def may_use(path, user):
    who = pwd.getpwnam(user)
    return subprocess.run(["test", "-r", path, "-a", "-w", path], user=who.pw_uid, group=who.pw_gid,
                          extra_groups=os.getgrouplist(user, who.pw_gid)).returncode == 0


class Line:
    """A socket that forwards to a libvirtd. cut() breaks all connections, and nobody answers until mend(). The libvirtd itself
    runs on: when it is killed in the middle of a start, libvirtd 9.0 may keep that domain locked forever."""

    def __init__(self, far_end, path):
        self.far_end, self.path, self.listener, self.ends = str(far_end), Path(path), None, set()
        self.uri = f"qemu+unix:///system?socket={path}"
        self.mend()

    def mend(self):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        threading.Thread(target=self._answer, args=(self.listener,), daemon=True).start()

    def cut(self):
        self.path.unlink(missing_ok=True)
        for end in [self.listener, *self.ends]:
            hang_up(end)
        self.ends.clear()

    def _answer(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.far_end)
            except OSError:     # nobody is there at this moment
                near.close()
                continue
            self.ends |= {near, far}
            for pair in (near, far), (far, near):
                threading.Thread(target=pass_on, args=pair, daemon=True).start()


def hang_up(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


def pass_on(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    hang_up(source)
    hang_up(sink)


def answers(path):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(str(path))
            return True
        except OSError:
            return False


def virsh(uri, *args):
    done = subprocess.run(["virsh", "-c", uri, *args], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else ""


def defined(uri, folder=""):
    """uuid -> name of the domains whose definition names @folder."""
    found = {}
    for uuid in virsh(uri, "list", "--all", "--uuid").split():
        if str(folder) in virsh(uri, "dumpxml", uuid):
            found[uuid] = virsh(uri, "domname", uuid).strip()
    return found
