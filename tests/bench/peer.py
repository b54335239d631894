# SPDX-License-Identifier: Apache-2.0
"""peer.py - a dstack-vmm with a folder of its own, so that the same lines are measured against it.

The program is the tester's; nothing of it is part of this repository. It expects KVM, vsock and a guest with its own kernel,
and has no setting for that. It therefore calls QEMU through a script, which removes these options, so that its guest is the
same boot sector as the node's, and emulated like the node's. Its API for guests listens on any CID, since the host's own may not
exist, and on a port of its own, since two peers run at the same time.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))

from node import IMAGES, BOOT, command_line, free_port, processes, until  # noqa: E402

IMAGE = "teepod-boot"

CONFIG = """\
address = "127.0.0.1"
port = {port}
log_level = "normal"
run_path = "{folder}/vm"
[image]
path = "{folder}/image"
[cvm]
qemu_path = "{folder}/qemu"
cid_start = 1000
cid_pool_size = 50000
[cvm.networking]
mode = "user"
[cvm.auto_restart]
enabled = false
[supervisor]
exe = "{supervisor}"
sock = "{folder}/supervisor.sock"
pid_file = "{folder}/supervisor.pid"
log_file = "{folder}/supervisor.log"
[key_provider]
enabled = false
[host_api]
address = "vsock:4294967295"
port = {port}
"""

# An option of QEMU is held back until the word after it decides about both. The node's guests without TDX are emulated, too.
QEMU = """\
#!/bin/sh
option=
for word do
	shift
	case $option in
	-accel) word=tcg ;;
	-cpu) word=qemu64 ;;
	-kernel | -initrd | -append) option=; continue ;;
	-device) case $word in vhost-vsock*) option=; continue ;; esac ;;
	*)
		case $word in
		-accel | -cpu | -kernel | -initrd | -append | -device) option=$word ;;
		*) set -- "$@" "$word" ;;
		esac
		continue
		;;
	esac
	set -- "$@" "$option" "$word"
	option=
done
exec {qemu} "$@"
"""


def works_in(pid, folder):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    return False


def processes_of(folder):
    """What names the folder in its command line, or works in it."""
    return [pid for pid in processes() if any(str(folder) in word for word in command_line(pid)) or works_in(pid, folder)]


def kill_all(folder):
    for _ in range(50):
        left = processes_of(folder)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(0.05)


class Peer:
    def __init__(self, program, folder):
        self.program, self.folder = Path(program).resolve(), folder
        if not os.access(self.program, os.X_OK):
            raise SystemExit(f"PEER={program} is not a program")
        self.vms, self.key, self.process, self.listen = folder / "vm", "-", None, free_port()
        self.url = f"http://127.0.0.1:{self.listen}"
        self.vms.mkdir(parents=True)
        self._image()
        script = folder / "qemu"
        script.write_text(QEMU.format(qemu=shutil.which("qemu-system-x86_64")))
        script.chmod(0o755)
        (folder / "vmm.toml").write_text(CONFIG.format(folder=folder, port=self.listen,
                                                       supervisor=self.program.with_name("supervisor")))

    def _image(self):
        """The boot sector as root file system; the kernel has to exist, and the script takes it away."""
        image = self.folder / "image" / IMAGE
        image.mkdir(parents=True)
        shutil.copy(IMAGES / BOOT / "boot.img", image / "rootfs.img.verity")
        for name in ("kernel", "initrd"):
            (image / name).write_bytes(b"")
        (image / "digest.txt").write_text("0" * 64)
        (image / "metadata.json").write_text(json.dumps({
            "kernel": "kernel", "initrd": "initrd", "cmdline": "", "rootfs": "rootfs.img.verity", "version": "0.6.0",
            "is_dev": True, "shared_ro": True}))

    # ------------------------------------------------------------ life

    def spawn(self):
        environment = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([str(self.program), "-c", str(self.folder / "vmm.toml")], cwd=self.folder, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def start(self):
        self.spawn()
        until(lambda: f"the peer answers:\n{self.log_tail()}", self.answers, 60)
        return self

    def answers(self):
        with contextlib.suppress(OSError):
            self.call("Version")
            return True
        if self.process.poll() is not None:
            raise SystemExit(f"the peer ended with {self.process.returncode}:\n{self.log_tail()}")
        return False

    def log_tail(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def daemons(self):
        """The daemon and its supervisor."""
        return [pid for pid in processes_of(self.folder) if not Path(command_line(pid)[0]).name.startswith("qemu")]

    def close(self):
        kill_all(self.folder)
        if self.process:
            self.process.wait(30)

    # ------------------------------------------------------------ calls

    def call(self, method, **body):
        request = Request(f"{self.url}/prpc/{method}?json", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def remove(self, *ids):
        """The peer answers before it has removed them, and looks every two seconds whether it can."""
        for one in ids:
            self.call("RemoveVm", id=one)
