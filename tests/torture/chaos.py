# SPDX-License-Identifier: Apache-2.0
"""chaos.py - the faults of an epoch: the daemon is killed, guests die or hang, the disk fills, the clock jumps.

One thread does all of it, one thing at a time, drawn from its own generator. It is also the only one that starts the daemon,
so it always knows why the daemon is not running; a daemon that ends by itself for no reason it knows of is a violation.
"""

import http.client
import os
import random
import signal
import threading
import time

from model import VERBS
from node import alive, command_line, until

# Steps of the operations that start or end a guest. test_crash.py compares its list with the daemon's.
BOOT_STEPS = ("files", "disk", "define", "start", "forwards", "boot")
CHANGE_STEPS = ("check", "signal", "wait", "stop", "disk", "apply", *(step for step in BOOT_STEPS if step != "disk"))
STEPS = {"create": BOOT_STEPS, "start": BOOT_STEPS, "stop": ("stop",), "shutdown": ("signal", "wait", "stop"),
         "resize": CHANGE_STEPS, "upgrade": CHANGE_STEPS, "restart": ("check", "signal", "wait", "stop", *BOOT_STEPS), "delete": ("stop", "undefine", "remove"),
         "resume": ("resume",)}
DRAIN_S = 2


def console(pid):
    """Number of the terminal that is the console of QEMU process @pid, or None."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{fd}").endswith("ptmx"):
            with open(f"/proc/{pid}/fdinfo/{fd}") as info:
                return next((line.split()[1] for line in info if line.startswith("tty-index:")), None)
    return None


def power_off(pid, seconds=2.5):
    """The boot sector turns its machine off when it reads 'q'; its console is a terminal of QEMU's."""
    index = console(pid)
    if index is None:
        return False
    tty = os.open(f"/dev/pts/{index}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        # Before the open, another QEMU could have got the number. While it is open, none can.
        if console(pid) != index:
            return False
        # QEMU checks once a second whether the other end is open.
        end = time.monotonic() + seconds
        while alive(pid) and time.monotonic() < end:
            os.write(tty, b"q")
            time.sleep(0.2)
    finally:
        os.close(tty)
    return True


class Chaos:
    def __init__(self, seed, node, ledger, kind, line=None, libvirtd=None):
        self.rng = random.Random(seed)
        self.node, self.ledger, self.kind = node, ledger, kind
        self.line, self.libvirtd = line, libvirtd
        self.armed, self.jumped, self.ballast = None, 0, None
        self.full_until = 0
        self.stop = threading.Event()
        self.thread = None
        self.clock = node.dir.parent / f"{node.dir.name}.clock"
        node.environment["TEEPOD_CLOCK_FILE"] = str(self.clock)
        self.jump(0)

    # ------------------------------------------------------------ the daemon's life

    def answering(self):
        try:
            return self.node.api("GET", "/healthz", prefix="", key=None, timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def up(self, failpoint=None):
        """Start the daemon, and wait until it answers or has died of its failure point."""
        self.armed = failpoint
        self.ledger.out()
        self.ledger.did("chaos", "start of the daemon", failpoint=failpoint)
        self.node.spawn(**({"TEEPOD_FAILPOINT": failpoint} if failpoint else {}))
        self.ledger.count("starts of the daemon")
        began = time.monotonic()
        while not self.answering():
            if self.node.process.poll() is not None:
                return self.died()
            if time.monotonic() - began > 30:
                self.ledger.violation(f"the daemon does not answer 30 s after its start\n{self.node.log_tail()}")
                return False
            time.sleep(0.02)
        if not failpoint:
            self.ledger.back()
        return True

    def died(self):
        """The daemon ended by itself. Only an armed failure point, or a full disk, explains that."""
        status = self.node.process.poll()
        if status == -signal.SIGKILL and self.armed:
            self.ledger.count("deaths at a failure point")
        # A daemon that cannot open its database because the disk is full exits with an error, never by a signal.
        elif self.kind == "full" and self.is_full() and status > 0:
            self.ledger.count("starts refused for want of space")
        else:
            self.ledger.violation(f"the daemon ended with {status}\n{self.node.log_tail()}")
        self.armed = None
        return False

    def failpoint(self):
        kind = self.rng.choice(list(STEPS))
        when = self.rng.choice(("before", "after") + (("undone",) if kind in ("create", "start", "resize", "upgrade") else ()))
        return f"{kind}.{self.rng.choice(STEPS[kind])}.{when}:{self.rng.choice((1, 1, 1, 2, 4))}"

    def again(self):
        """Start the daemon again, at random with a delay and with a failure point."""
        self.stop.wait(self.rng.choice((0, 0, 0.1, 0.6)))
        if not self.up(self.failpoint() if self.rng.random() < 0.7 else None):
            self.up_whatever()

    def up_whatever(self):
        for _ in range(20):
            if self.ledger.broken.is_set() or self.up():
                return
            if self.is_full():
                self.empty()

    # ------------------------------------------------------------ what can happen

    def kill_daemon(self):
        self.ledger.out()
        self.node.kill()
        self.ledger.count("kill -9 of the daemon")
        self.again()

    def end_daemon(self):
        self.ledger.out()
        self.node.process.terminate()
        # The daemon finishes a start that is under way; it leaves a job that hangs when the drain time is over.
        try:
            status = self.node.process.wait(60)
        except Exception:
            self.ledger.violation(f"SIGTERM did not end the daemon\n{self.node.log_tail()}")
            return
        self.ledger.count("SIGTERM of the daemon")
        # On a full disk the last commit may fail; the daemon then exits with an error.
        if status and not (self.armed and status == -signal.SIGKILL) and not self.is_full():
            self.ledger.violation(f"SIGTERM ended the daemon with {status}\n{self.node.log_tail()}")
        self.again()

    def newest(self):
        return self.node.rows("select coalesce(max(seq), 0) from events")[0][0]

    def guest(self):
        guests = self.node.guests()
        return self.rng.choice(guests) if guests else None

    def uuid_of(self, pid):
        line = " ".join(command_line(pid))
        return next((uuid for (uuid,) in self.node.rows("select uuid from cvms") if uuid in line), None)

    def hurt(self, what, how):
        pid = self.guest()
        uuid = pid and self.uuid_of(pid)
        if not uuid:
            return
        self.ledger.harm(uuid, self.newest())
        self.ledger.did("chaos", what, uuid=uuid)
        try:
            how(pid)
        except (OSError, ValueError):
            return      # an operation has ended it meanwhile; the possible harm is recorded anyway
        self.ledger.count(what)

    def kill_guest(self):
        self.hurt("kill -9 of a QEMU", lambda pid: os.kill(pid, signal.SIGKILL))

    def turn_off_guest(self):
        self.hurt("guests that powered off", power_off)

    def hang_guest(self):
        """Stop a QEMU for a while and continue it. The guest is not harmed; an operation may end it meanwhile."""
        pid = self.guest()
        if not pid:
            return
        try:
            os.kill(pid, signal.SIGSTOP)
            self.ledger.count("SIGSTOP of a QEMU")
            self.stop.wait(self.rng.choice((0.3, 1, 3)))
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass        # ended by an operation

    def jump(self, seconds=None):
        """The wall clock of the daemon jumps by up to nine days, forward or back."""
        if seconds is None:
            seconds = self.rng.choice((-9, -1, 1, 9)) * self.rng.choice((1, 60, 3600, 86400))
            self.ledger.count("jumps of the clock")
        self.jumped = seconds
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds}\n")
        new.rename(self.clock)

    def is_full(self):
        """True while the disk is full and shortly after, because an answer may refer to that time."""
        return self.ballast is not None or time.monotonic() < self.full_until

    def fill_disk(self):
        """A libvirt that finds no space for what it notes about a running guest, when it is opened again, ends the guest: all
        count as harmed."""
        for (uuid,) in self.node.rows("select uuid from cvms"):
            self.ledger.harm(uuid, self.newest())
        self.ballast = self.node.dir / "ballast"
        self.ledger.count("times the disk was full")
        with open(self.ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 65536)
            except OSError:
                pass        # the disk is full, as intended
            if self.rng.random() < 0.5:
                f.truncate(max(0, f.tell() - self.rng.choice((8, 60, 400)) * 1024))
        self.stop.wait(self.rng.choice((0.2, 1, 2)))
        self.empty()

    def empty(self):
        if self.ballast:
            self.full_until = time.monotonic() + 3
            self.ballast.unlink(missing_ok=True)
            self.ballast = None

    def cut_line(self):
        self.line.cut()
        self.ledger.count("times the way to libvirtd was cut")
        self.stop.wait(self.rng.choice((0.05, 0.5, 2)))
        self.line.mend()

    def kill_libvirtd(self):
        self.libvirtd.kill()
        self.ledger.count("kill -9 of libvirtd")
        self.stop.wait(self.rng.choice((0.05, 0.5)))
        self.libvirtd.start()

    # Faults of each kind of epoch, with their weights.
    happenings = {
        "kills": ((kill_daemon, 6), (end_daemon, 2), (jump, 2)),
        "guests": ((kill_daemon, 3), (end_daemon, 1), (jump, 1), (kill_guest, 4), (turn_off_guest, 2), (hang_guest, 2)),
        "full": ((kill_daemon, 2), (end_daemon, 1), (fill_disk, 4), (kill_guest, 1)),
        "libvirtd": ((kill_daemon, 2), (cut_line, 4), (kill_libvirtd, 1), (kill_guest, 1)),
    }

    def thread_main(self):
        acts, weights = zip(*self.happenings[self.kind])
        try:
            while not self.stop.is_set() and not self.ledger.broken.is_set():
                self.stop.wait(self.rng.choice((0.1, 0.5, 1, 2, 4)))
                if self.node.process.poll() is not None:
                    self.died()
                    self.again()
                if not self.stop.is_set():
                    act = self.rng.choices(acts, weights)[0]
                    self.ledger.did("chaos", act.__name__)
                    act(self)
        except Exception as e:
            self.ledger.violation(f"chaos ended by {type(e).__name__}: {e}")

    # ------------------------------------------------------------ back to quiet

    def calm(self):
        """End all faults. The daemon then runs without failure points."""
        for pid in self.node.guests(probes=True):
            os.kill(pid, signal.SIGCONT)
        self.empty()
        if self.node.process.poll() is not None:
            self.died()
            self.up_whatever()
        elif self.armed or self.rng.random() < 0.5:
            self.ledger.out()
            self.node.kill()
            self.ledger.count("kill -9 of the daemon")
            self.up_whatever()
        # After a violation the daemon is not started again.
        until(lambda: f"/readyz is 200:\n{self.node.log_tail()}", lambda: self.ledger.broken.is_set() or self._ready(), 60)

    def _ready(self):
        try:
            return self.node.api("GET", "/readyz", prefix="", key=None).status == 200
        except (OSError, http.client.HTTPException):
            return False


assert set(STEPS) == {"create", *VERBS}, "a kind of operation without its steps here would never be cut short"
