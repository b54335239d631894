# SPDX-License-Identifier: Apache-2.0
"""torture.py - runs clients, faults and checks against a node for a given time: no guarantee may break.

    torture.py [--seconds N] [--seed N] [--epoch N] [--kind NAME]

A run is a sequence of epochs. Each has its own node, one kind of fault (chaos.py) and a seed made from the run's seed and its
number. In an epoch, storms and quiet phases alternate. In a storm clients send requests and faults happen, while a watcher checks
the database and a follower reads the event log. In a quiet phase the database and the host must agree. At the end nothing may be
left of any CVM.

Each epoch writes to its own folder (build/test-logs/torture-...) as it runs: the daemon's log, every request with its answer, every
fault. The folder is removed when the epoch succeeds. Otherwise, or when the torture is interrupted, the database, the guests' logs
and the violations are added and the folder's name is printed. After a kill -9 of the torture the first three are still there.

All choices come from the seed; each thread has its own generator. The scheduling of threads and processes is not repeatable, so a
seed repeats the actions but not their times: the command printed for a failed epoch may need a few runs.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "blackbox"), str(Path(__file__).resolve().parent)]

from chaos import DRAIN_S, Chaos  # noqa: E402
from checks import Follower, Watcher, quiet  # noqa: E402
from clients import Client  # noqa: E402
from ledger import Ledger  # noqa: E402
from libvirtd import Libvirtd, Line, Unavailable  # noqa: E402
from node import ROOT, Node, command_line, free_port, until  # noqa: E402

KINDS = ("kills", "guests", "full", "libvirtd")
CLIENTS = 6
TOTALS = {"vcpus": 18, "memory_mib": 1400, "disk_gib": 40, "slots": 12}
# Faults that may fail an operation. The death of the daemon and a jump of the clock may not.
FAULTS = {"kills": (), "guests": ("guests",), "full": ("full",), "libvirtd": ("libvirtd",)}


class Unfit(Exception):
    """This machine cannot run an epoch of this kind."""


@contextlib.contextmanager
def small_disk(size="40m"):
    folder = tempfile.mkdtemp(prefix="tp", dir="/tmp")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        os.rmdir(folder)
        raise Unfit(f"tmpfs cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def private_libvirtd():
    try:
        daemon = Libvirtd()
    except Unavailable as e:
        raise Unfit(str(e)) from None
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


class Epoch:
    def __init__(self, seed, number, kind, say=print):
        self.seed, self.number, self.kind, self.say = seed, number, kind, say
        self.rng = random.Random(f"{seed}/{number}/{kind}")
        self.ledger = Ledger(say)
        self.folder = ROOT / "build" / "test-logs" / f"torture-{seed}-{number}-{kind}-{time.strftime('%m%d-%H%M%S')}-{os.getpid()}"

    def command(self):
        return f"tests/torture/run.sh --seed {self.seed} --epoch {self.number} --kind {self.kind}"

    def options(self):
        return {**{f"capacity.{key}": value for key, value in TOTALS.items()},
                "capacity.release_on_stop": self.rng.choice(("yes", "no")), "api.drain_seconds": DRAIN_S,
                # With and without automatic restarts.
                "restart.enabled": self.rng.choice(("yes", "no")), "restart.initial_backoff": 1,
                # A jump of the clock must not expire anything.
                "operations.keep_days": 3650, "events.keep_days": 3650, "idempotency.keep_hours": 8760}

    def run(self, seconds, needs=()):
        """Run an epoch of about @seconds and return its ledger. @needs: counters that must not be zero at the end."""
        self.folder.mkdir(parents=True)
        try:
            with open(self.folder / "requests.jsonl", "w", buffering=1) as record:
                self.ledger.record_to(record)
                try:
                    self._run(seconds, needs)
                finally:
                    self.ledger.record_to(None)     # a thread may still be about to write
        except AssertionError as e:     # of the node's end
            self.ledger.violation(f"{e}")
        except Unfit:
            shutil.rmtree(self.folder)
            raise
        if self.ledger.violations:
            self._say_where()
        else:
            shutil.rmtree(self.folder)
        return self.ledger

    def _run(self, seconds, needs):
        with contextlib.ExitStack() as stack:
            how = {"options": self.options(), "listen": [f"127.0.0.1:{free_port()}"]}
            line = libvirtd = None
            if self.kind == "full":
                how["folder"] = stack.enter_context(small_disk())
                how["options"]["images.dir"] = how["folder"] + "-images"
                stack.callback(shutil.rmtree, how["folder"] + "-images", ignore_errors=True)
            elif self.kind == "libvirtd":
                libvirtd = stack.enter_context(private_libvirtd())
                line = Line(libvirtd.folder / "libvirt-sock", libvirtd.folder / "line")
                stack.callback(line.cut)
                how["hypervisor"] = line.uri
            self.node = Node(**how)
            if self.kind != "full":     # there the log must be on the full disk, too
                self.node.log_path = self.folder / "daemon.log"
            self.libvirtd = libvirtd
            stack.callback(self.node.close)
            stack.push(self._keep)
            chaos = self.chaos = Chaos(self.rng.random(), self.node, self.ledger, self.kind, line, libvirtd)
            stack.callback(chaos.clock.unlink, missing_ok=True)
            try:
                self.node.start()
                self.ledger.count("starts of the daemon")
                self._storms(seconds)
            except Exception:
                self.ledger.violation(traceback.format_exc())
            missing = [what for what in needs if not self.ledger.counts[what]]
            if missing and not self.ledger.violations:
                self.ledger.violation(f"none of {missing}: {dict(self.ledger.counts)}")

    def _storms(self, seconds):
        node, ledger, end = self.node, self.ledger, time.monotonic() + seconds
        watcher, follower = Watcher(node, ledger), Follower(node, ledger, self._excused)
        steady = [watcher, follower]
        for each in steady:
            each.thread.start()
        clients = [Client(n, f"{self.rng.random()}", node, ledger, TOTALS, self._excused) for n in range(CLIENTS)]
        try:
            while time.monotonic() < end and not ledger.broken.is_set():
                self._storm(clients, min(20, max(4, (end - time.monotonic()) * 0.6)))
                self._quiet()
            if not ledger.broken.is_set():
                self._nothing_left()
                newest = node.rows("select coalesce(max(seq), 0) from events")[0][0]
                until(lambda: f"the follower has all {newest} events, it has {follower.last}", lambda: follower.last >= newest, 15)
                ledger.count("events", newest)
        finally:
            for each in (self.chaos, *clients, *steady):
                each.stop.set()
        for each in steady:
            each.thread.join(10)
        if not ledger.broken.is_set():
            until("a last look at the database", watcher.check, 15)

    def _excused(self):
        return self.kind == "full" and self.chaos.is_full()

    def _storm(self, clients, seconds):
        threads = [*clients, self.chaos]
        for each in threads:
            each.stop = threading.Event()
            each.thread = threading.Thread(target=each.thread_main, daemon=True)
            each.thread.start()
        self.ledger.broken.wait(seconds)
        for each in threads:
            each.stop.set()
        for each in threads:
            each.thread.join(90)
            if each.thread.is_alive():
                self.ledger.violation(f"{each.thread} hangs")

    def _quiet(self):
        if self.ledger.broken.is_set():
            return
        self.chaos.calm()
        if not self.ledger.broken.is_set():
            quiet(self.node, self.ledger, FAULTS[self.kind], self._unlock if self.kind == "libvirtd" else None)

    def _unlock(self):
        """libvirtd 9.0, killed during a start, may keep that domain's job locked for good. Repair it as an operator would
        (docs/troubleshooting.md); the daemon must then continue by itself."""
        self.chaos.libvirtd.kill()
        repaired = self.chaos.libvirtd.remove_status_files_without_pid()
        self.ledger.count("repairs of a libvirtd that kept a job locked" if repaired else "restarts of libvirtd that repaired nothing")
        self.chaos.libvirtd.start()

    def _nothing_left(self):
        node = self.node
        node.delete_all()
        until("operations are over", lambda: not node.rows("select id from operations where state in ('queued', 'running')"), 60)
        left = {"guests": node.guests(), "folders": node.folders(), "definitions": node.definitions(),
                "ports": node.rows("select * from ports"), "apps": node.rows("select app_id from apps"),
                "promised": [row for row in node.rows("select resource, promised from capacity") if row[1]]}
        for what, some in left.items():
            if some:
                self.ledger.violation(f"all CVMs are deleted, {what} are left: {some}")

    def _keep(self, error, value, _):
        """Copy what explains a failure or an interruption, before the node is removed."""
        if not error and not self.ledger.violations:
            return
        ended = traceback.format_exception_only(error, value) if error else []
        (self.folder / "violations.txt").write_text("\n".join([*self.ledger.violations, *ended, f"again: {self.command()}", ""]))
        for path in (*self.node.dir.glob("*.log"), *self.node.dir.glob("cvms/*/logs/*")):
            copy = self.folder / path.relative_to(self.node.dir)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):      # a guest may be deleted meanwhile
                shutil.copy(path, copy)
        # A failed copy must not hide the violations.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._keep_threads()
        if self.libvirtd:
            with contextlib.suppress(OSError):
                shutil.copy(self.libvirtd.folder / "log", self.folder / "libvirtd.log")
        # A copy of the file would lack the last commits, which are in the WAL.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self.node.database())) as a, \
                contextlib.closing(sqlite3.connect(self.folder / "teepod.db")) as b:
            a.backup(b)
        if error:
            self._say_where()

    def _keep_threads(self):
        """Record where each thread of the daemon and of its QEMUs waits; the log does not show that for a daemon that hangs."""
        with open(self.folder / "threads.txt", "w") as out:
            for pid in [self.node.process.pid, *self.node.guests(probes=True)] if self.node.process else []:
                out.write(f"=== {pid} {' '.join(command_line(pid))[:200]}\n")
                for task in Path(f"/proc/{pid}/task").glob("*"):
                    with contextlib.suppress(OSError):      # it may end meanwhile
                        out.write(f"{task.name} {(task / 'comm').read_text().strip()}: {(task / 'wchan').read_text()},"
                                  f" system call {(task / 'syscall').read_text()}")
            out.flush()
            if self.node.process and shutil.which("gdb"):
                subprocess.run(["gdb", "-p", str(self.node.process.pid), "-batch", "-ex", "thread apply all bt"], stdout=out, stderr=out,
                               stdin=subprocess.DEVNULL, timeout=60, check=False)

    def _say_where(self):
        self.say(f"the daemon's log, its database, all requests and violations are kept: {self.folder}")


def report(counts, violations, say=print):
    for name in sorted(counts):
        say(f"{counts[name]:9,}  {name}")
    say(f"{len(violations)} violations")


def interrupted(number, _):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)     # the output must be kept completely
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--epoch", type=int, help="only this epoch of the run")
    parser.add_argument("--kind", choices=KINDS, help="only epochs of this kind")
    parser.add_argument("--length", type=float, default=60, help="seconds of an epoch")
    args = parser.parse_args(arguments)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupted)
    print(f"torture: seed {args.seed}, {args.seconds:.0f} s; again: make torture SEED={args.seed} SECONDS={args.seconds:.0f}", flush=True)
    counts, violations, end, number = Ledger().counts, [], time.monotonic() + args.seconds, args.epoch or 0
    while time.monotonic() < end and not violations:
        kind = args.kind or KINDS[number % len(KINDS)]
        epoch = Epoch(args.seed, number, kind, lambda text: print(text, flush=True))
        began = time.monotonic()
        try:
            ledger = epoch.run(min(args.length, max(10, end - time.monotonic())))
        except Unfit as e:
            print(f"epoch {number} ({kind}): not on this machine: {e}", flush=True)
            ledger = Ledger()
            ledger.counts[f"epochs left out: {kind}"] += 1
            end = min(end, time.monotonic()) if args.kind else end
        except KeyboardInterrupt as e:
            print(f"interrupted by {e} in epoch {number} ({kind}); again: {epoch.command()}", flush=True)
            report(counts + epoch.ledger.counts, violations)
            return 130
        counts.update(ledger.counts)
        violations += ledger.violations
        counts[f"epochs: {kind}"] += 1
        print(f"epoch {number} ({kind}): {time.monotonic() - began:.0f} s, {ledger.counts['checks']} checks,"
              f" {len(ledger.violations)} violations", flush=True)
        if ledger.violations:
            print("\n".join(ledger.violations) + f"\nagain: {epoch.command()}", flush=True)
        number += 1
        if args.epoch is not None:
            break
    report(counts, violations)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
