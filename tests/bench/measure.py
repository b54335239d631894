# SPDX-License-Identifier: Apache-2.0
"""measure.py - all measurements of one run: the measured programs take turns, and medians are compared.

Numbers that are compared come from the same run. The programs take turns round by round, so that other load on the machine
affects them equally. The C programs in this folder measure; this file decides what runs when.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))

from node import Node, free_port, until  # noqa: E402
from table import Table, disk_folder  # noqa: E402

TOOLS = ROOT / "build" / "bench"
AT_ONCE = 16
BOOT_ROUNDS, PARALLEL_ROUNDS = 15, 9
CREATE_ROUNDS, CLIENTS = 5, 32
CREATES = {1: 300, 16: 600, CLIENTS: 900}  # by number of clients
READ_ROUNDS, READS = 7, 500
FEW, MANY = 1000, 10000
ADMISSIONS, ADMISSION_ROUNDS = 1000, 5
RUNNING, COMEBACKS = 100, 5
STARTED, START_PARALLEL, AUTOSTARTS = 50, 8, 3
HUNG, HUNG_ROUNDS = 32, 9
IDLE_S = 10

median = statistics.median


def note(text):
    print(text, file=sys.stderr, flush=True)


def in_turn(number, turns):
    """Each round starts with another one, because the first one runs into the after-effects of the previous round."""
    for turn in turns[number % len(turns):] + turns[:number % len(turns)]:
        turn()


def tool(name, *arguments):
    done = subprocess.run([str(TOOLS / name), *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{name} {' '.join(map(str, arguments[:1]))} failed")
    return json.loads(done.stdout)


def node(folder, **options):
    """A node with capacity for all measurements."""
    room = {"capacity.vcpus": 50000, "capacity.memory_mib": 4000000, "capacity.disk_gib": 50000, "capacity.slots": 20000,
            "capacity.cid_count": 20000, "records.revisions": 0, "logs.level": "warn"}
    folder.mkdir()
    return Node(options={**room, **options}, folder=str(folder))


def create_stopped(n, count, prefix, clients=CLIENTS):
    """Also the CPU time of the daemon for one."""
    before = cpu_seconds(n.process.pid)
    got = tool("load", "creates", n.url, n.key, clients, count, prefix)
    return {"rate": count * 1e6 / got["us"], "p99": got["p99"] / 1000, "load": got["cpu_us"] / got["us"],
            "cpu": (cpu_seconds(n.process.pid) - before) * 1e6 / count}


# ---------------------------------------------------------------------- guests: the node, a libvirt client, QEMU alone

class TrivialClient:
    """tests/bench/libvirt_client with its own root, and with the domain XML and the files that the node created."""

    def __init__(self, folder, n, cvm, count=AT_ONCE):
        self.folder, self.guests = folder, folder / "g"
        shutil.copytree(n.embed / "cache", folder / "r" / "cache")
        (folder / "r" / "etc").mkdir(parents=True)
        shutil.copy(n.embed / "etc" / "qemu.conf", folder / "r" / "etc")
        for number in range(count):
            self._adopt(n, cvm, self.guests / str(number))
        self.process = subprocess.Popen([str(TOOLS / "libvirt_client"), str(folder / "r"), str(self.guests)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("libvirt_client did not start")

    @staticmethod
    def _adopt(n, cvm, to):
        """A copy of the files of @cvm, and its definition with another UUID and with the paths of the copy."""
        was = n.dir / "cvms" / cvm
        xml = next(path for path in (n.embed / "etc" / "qemu").glob("*.xml") if cvm in path.name).read_text()
        shutil.copytree(was, to, ignore=shutil.ignore_patterns("logs"))
        xml = xml.replace(f"{was}/logs/", f"{to}/").replace(str(was), str(to)).replace(cvm, str(uuid.uuid4()))
        (to / "domain.xml").write_text(xml)

    def do(self, verb, *numbers):
        print(verb, *numbers, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("libvirt_client failed")
        return int(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def raw_command(n, cvm, client, to):
    """The QEMU command line of @cvm without what depends on libvirt: pause at start, monitor, secret, passed descriptors."""
    log = (n.embed / "log" / "qemu" / f"teepod-{cvm}.log").read_text()
    text = re.search(r"^/\S*qemu-system\S* .*?(?=\n\d{4}-|\nchar device|\nqemu|\Z)", log, re.S | re.M).group()
    words, kept = shlex.split(text.replace("\\\n", " ")), []
    for word in words:
        if word in ("-S",):
            continue
        if word.startswith(("set=0,fd=", "socket,id=charmonitor", "chardev=charmonitor")) or '"masterKey0"' in word:
            kept.pop()
            continue
        kept.append(word.replace(f"{n.dir}/cvms/{cvm}/logs/serial.log", f"{to}/serial.log"))
    to.mkdir()
    was = str(n.dir / "cvms" / cvm)
    files = client.guests / "0"
    (to / "argv").write_bytes(b"".join(w.replace(was, str(files)).encode() + b"\0" for w in kept))


class Guests:
    """Three ways to run a guest: the node, a libvirt client, QEMU alone."""

    def __init__(self, folder):
        self.node = node(folder / "n").start()
        first = self.node.create(name="pattern")
        self.node.settled()
        self.client = TrivialClient(folder / "c", self.node, first.uuid)
        self.raw = folder / "q"
        raw_command(self.node, first.uuid, self.client, self.raw)
        first.delete()
        self.round = 0

    def api_boot(self, count):
        self.round += 1
        return tool("load", "boot", self.node.url, self.node.key, self.node.dir / "cvms", count, f"boot-{self.round}")

    def api_stop(self, uuids):
        return tool("load", "stop", self.node.url, self.node.key, *uuids)["us"]

    def api_round(self, count):
        up = self.api_boot(count)
        self.node.settled()
        down = self.api_stop(up["uuids"])
        self.node.delete_all()
        self.node.settled()
        return up["us"], down

    def client_round(self, count):
        return self.client.do("boot", count), self.client.do("stop", count)

    def raw_round(self):
        return tool("raw_qemu", self.raw)

    def close(self):
        self.client.close()
        self.node.close()


def boot(guests, table):
    api, client, raw = [], [], []
    guests.api_round(1), guests.client_round(1), guests.raw_round()  # fill the page cache
    turns = [lambda: api.append(guests.api_round(1)[0] / 1000), lambda: client.append(guests.client_round(1)[0] / 1000),
             lambda: raw.append(guests.raw_round() / 1000)]
    for number in range(BOOT_ROUNDS):
        in_turn(number, turns)
    if median(api) < median(raw):
        raise SystemExit(f"a guest behind the API cannot print sooner ({median(api):.0f} ms) than bare QEMU's "
                         f"({median(raw):.0f} ms): the probe saw something else")
    table.add("API create to first serial line", median(api), "ms", median(client), "libvirt", most=1.10, spread=[api, client])
    table.add("  the same", median(api), "ms", median(raw), "raw QEMU", spread=[raw])


def parallel(guests, table):
    api, client = [], []
    for number in range(PARALLEL_ROUNDS):
        in_turn(number, [lambda: api.append(guests.api_round(AT_ONCE)), lambda: client.append(guests.client_round(AT_ONCE))])

    def rates(rounds):
        both = median([2 * AT_ONCE * 1e6 / (up + down) for up, down in rounds])
        return both, median([AT_ONCE * 1e6 / up for up, _ in rounds]), median([AT_ONCE * 1e6 / down for _, down in rounds])
    ours, theirs = rates(api), rates(client)
    table.add(f"{AT_ONCE} creates and {AT_ONCE} stops in parallel", ours[0], "/s", theirs[0], "libvirt", least=0.9,
              spread=[api, client])
    table.add("  creates, to all first lines", ours[1], "/s", theirs[1], "libvirt")
    table.add("  stops", ours[2], "/s", theirs[2], "libvirt")


# ---------------------------------------------------------------------- rows

def copy_database(n, to):
    with contextlib.closing(sqlite3.connect(n.database())) as a, contextlib.closing(sqlite3.connect(to)) as b:
        a.backup(b)


def creates(few, many, folder, table):
    """Fill both nodes. SQLite alone is measured with the same rows between the rounds, in copies that are as full as the node."""
    raw, ours = [], {clients: [] for clients in CREATES}
    for n, prefix in ((few, "few"), (many, "many")):
        create_stopped(n, FEW, prefix)
    for number in range(CREATE_ROUNDS):
        copy = folder / f"raw{number}.db"
        copy_database(many, copy)
        got = tool("raw_sqlite", copy, 1000)
        raw.append({"rate": 1000 * 1e6 / got["us"], "cpu": got["cpu_us"] / 1000})
        copy.unlink()
        in_turn(number, [lambda c=clients: ours[c].append(create_stopped(many, CREATES[c], f"more-{number}-{c}", c))
                         for clients in CREATES])

    def of(rounds, key):
        return [one[key] for one in rounds]
    for clients, least, most in ((1, 0.55, 2), (16, 1.3, 1.25), (CLIENTS, 1.4, None)):
        got = ours[clients]
        table.add(f"durable stopped creates, {clients} client{'s' * (clients > 1)}", median(of(got, "rate")), "/s",
                  median(of(raw, "rate")), "raw SQLite", least=least, spread=[of(got, "rate"), of(raw, "rate")])
        table.add("  the daemon's CPU for one", median(of(got, "cpu")), "us", median(of(raw, "cpu")), "raw SQLite", most=most)
        table.add("  p99 of one", median(of(got, "p99")), "ms")
    table.add(f"  last of {MANY:,} (first as baseline)", ours[CLIENTS][-1]["rate"], "/s", ours[CLIENTS][0]["rate"], "first")
    table.add("  share of a CPU the load itself takes", median(of(ours[CLIENTS], "load")), "")
    assert cvms_of(few) == FEW and cvms_of(many) == FEW + CREATE_ROUNDS * sum(CREATES.values()) == MANY


def cpu_seconds(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def cvms_of(n):
    return n.rows("select count(*) from cvms")[0][0]


def reads(few, many, table):
    page = "/api/v1/apps?page_size=50"
    wanted = [word for n, path in ((few, "/healthz"), (few, page), (many, page)) for word in (n.url, n.key, path)]
    tool("load", "gets", 100, *wanted)
    rounds = [tool("load", "gets", READS, *wanted) for _ in range(READ_ROUNDS)]
    (health50, few50, many50), (health99, few99, many99) = (
        [median(us) / 1000 for us in zip(*(got[q] for got in rounds))] for q in ("p50", "p99"))
    allowed = 3 * health99 + 1
    table.add(f"GET /apps?page_size=50, {FEW:,} CVMs, p99", few99, "ms", allowed, "3 x /healthz + 1 ms =", most=1)
    table.add(f"  {MANY:,} CVMs, p50", many50, "ms", few50, f"{FEW:,} CVMs", most=1.3)
    table.add(f"  {MANY:,} CVMs, p99", many99, "ms", few99, f"{FEW:,} CVMs", most=1.3)
    table.add("  GET /healthz, p99 (p50 as baseline)", health99, "ms", health50, "p50")
    sizes = [word for size in (1, 50, FEW) for word in (few.url, few.key, f"/api/v1/cvms/paginated?page_size={size}")]
    rounds = [tool("load", "gets", READS // 10, *sizes) for _ in range(READ_ROUNDS)]
    one, fifty, all_of_them = (median(us) / 1000 for us in zip(*(got["p50"] for got in rounds)))
    table.add("GET /cvms/paginated, page of 50, p50", fifty, "ms", one, "page of 1", most=4)
    table.add(f"  all {FEW:,} in one answer, p50", all_of_them, "ms", fifty, "page of 50", most=FEW / 50 * 1.5)


# ---------------------------------------------------------------------- idle

def status(path, key):
    return int(re.search(rf"^{key}:\s+(\d+)", path.read_text(), re.M).group(1))


def time_to_answer(n):
    """The time from starting the daemon to its first response with 200."""
    n.listen = [f"127.0.0.1:{free_port()}"]
    host, port = n.listen[0].split(":")
    began = time.monotonic()
    n.spawn()
    while True:
        if answers_health(host, int(port)):
            return (time.monotonic() - began) * 1000
        if time.monotonic() - began > 30:
            raise SystemExit("the daemon does not answer")
        time.sleep(0.001)


def answers_health(host, port):
    try:
        with socket.create_connection((host, port), timeout=5) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return s.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wake_ups(pid):
    """Number of voluntary context switches of each thread so far."""
    return {task.name: status(task / "status", "voluntary_ctxt_switches") for task in Path(f"/proc/{pid}/task").iterdir()}


def idle(n, table):
    answered = []
    for _ in range(5):
        n.stop()
        answered.append(time_to_answer(n))
        n.answers()
        n.ready()
    table.add(f"answering after start, {FEW:,} stopped CVMs", median(answered), "ms", most=300, spread=[answered])
    tool("load", "gets", 200, n.url, n.key, "/api/v1/apps?page_size=50")
    pid = n.process.pid
    table.add("  resident memory (VmRSS)", status(Path(f"/proc/{pid}/status"), "VmRSS") / 1024, "MiB", most=40)
    time.sleep(3)  # let the work after a start finish
    before = wake_ups(pid)
    time.sleep(IDLE_S)
    woken = {task: count - before.get(task, 0) for task, count in wake_ups(pid).items()}
    # A count of 0 is meaningful only if the same method counts real work.
    seen = sum(wake_ups(pid).values())
    host, port = n.listen[0].split(":")
    for _ in range(20):
        answers_health(host, int(port))
        time.sleep(0.05)  # long enough for the threads to sleep in between
    if sum(wake_ups(pid).values()) - seen < 10:
        raise SystemExit("20 requests, a pause between, woke nobody up: wake-ups are not what is counted")
    table.add("  wake-ups of an idle daemon, busiest thread", max(woken.values()) / IDLE_S, "/s", most=1)
    table.add("  wake-ups, all threads", sum(woken.values()) / IDLE_S, "/s")


# ---------------------------------------------------------------------- admission, and restart of the node

def admission(folder, table):
    """A tenth of the creates fits, as in the admission test. Then a single client measures the cost of each decision."""
    rates, made, refused = [], [], []
    for number in range(ADMISSION_ROUNDS):
        n = node(folder / f"r{number}", **{"capacity.slots": ADMISSIONS // 10}).start()
        with contextlib.closing(n):
            got = tool("load", "admissions", n.url, n.key, 64, ADMISSIONS, "all")
            if (got["made"], got["refused"]) != (ADMISSIONS // 10, ADMISSIONS - ADMISSIONS // 10):
                raise SystemExit(f"room for {ADMISSIONS // 10}: {got}")
            rates.append(ADMISSIONS * 1e6 / got["us"])
        n = node(folder / f"o{number}", **{"capacity.slots": 300}).start()
        with contextlib.closing(n):
            before = cpu_seconds(n.process.pid)
            one = tool("load", "admissions", n.url, n.key, 1, 600, "one")
            if not one["made"] == one["refused"] == 300:
                raise SystemExit(f"room for 300: {one}")
            made.append(one["made_p50"])
            refused.append(one["refused_p50"])
            assert cpu_seconds(n.process.pid) >= before
    table.add(f"{ADMISSIONS:,} admission decisions, 64 clients", median(rates), "/s", least=2000, spread=[rates])
    table.add("  one refused (p50, one client)", median(refused), "us", median(made), "one admitted", most=0.25,
              spread=[refused, made])


def adopted(n):
    """True if the node has found all running guests after its start."""
    return "running guests adopted" in n.log_path.read_text(errors="replace").rsplit("listening on", 1)[-1]


def comeback(folder, table):
    """Kill the daemon while RUNNING of FEW guests run, and start it again."""
    n = node(folder / "back", **{"logs.level": "info"}).start()
    ready, all_there = [], []
    with contextlib.closing(n):
        create_stopped(n, FEW - RUNNING, "still")
        for batch in range(0, RUNNING, AT_ONCE):
            tool("load", "boot", n.url, n.key, n.dir / "cvms", min(AT_ONCE, RUNNING - batch), f"up-{batch}")
        n.settled(seconds=120)
        n.listen = [f"127.0.0.1:{free_port()}"]
        for _ in range(COMEBACKS):
            n.kill()
            began = time.monotonic()
            n.spawn()
            n.answers()
            until("/readyz", lambda: n.api("GET", "/readyz", prefix="", key=None).status == 200, 60, every=0.005)
            ready.append((time.monotonic() - began) * 1000)
            until("all are adopted", lambda: adopted(n), 60, every=0.005)
            all_there.append((time.monotonic() - began) * 1000)
            if len(n.guests()) != RUNNING or cvms_of(n) != FEW:
                raise SystemExit(f"{len(n.guests())} guests run, {cvms_of(n)} CVMs are known")
    table.add(f"kill -9 and start with {FEW:,} CVMs, {RUNNING} running: ready", median(ready), "ms", most=1000, spread=[ready])
    table.add("  all running ones adopted", median(all_there), "ms", most=3000, spread=[all_there])


def reboot(n):
    """Simulate a reboot of the host."""
    n.kill()
    for pid in n.guests(probes=True):
        os.kill(pid, signal.SIGKILL)
    until("all QEMUs are dead", lambda: not n.guests(probes=True))
    (n.embed / "boot").write_text("another boot")


def autostart(folder, table):
    """After a reboot of the host: the time from the node's connection to libvirt until all guests run again."""
    n = node(folder / "auto", **{"logs.level": "info", "start.parallel": START_PARALLEL}).start()
    ours, theirs = [], []

    def up(since):
        return n.rows("select count(*) from cvms where observed = 'running' and boot_progress = 'done' and started_ms > ?", since)[0][0]

    def start_all():
        reboot(n)
        down = int(time.time() * 1000)
        n.spawn()
        n.answers()
        until("/readyz", lambda: n.api("GET", "/readyz", prefix="", key=None).status == 200, 60, every=0.005)
        began = time.monotonic()
        until(lambda: f"{STARTED} run: {up(down)}", lambda: up(down) == STARTED, 120, every=0.02)
        ours.append(STARTED / (time.monotonic() - began))

    def client_all():
        reboot(n)   # alone, because guests of the node would use CPU time
        theirs.append(STARTED * 1e6 / client.do("row", STARTED, START_PARALLEL))
        client.do("stop", STARTED)

    with contextlib.closing(n):
        for batch in range(0, STARTED, AT_ONCE):
            tool("load", "boot", n.url, n.key, n.dir / "cvms", min(AT_ONCE, STARTED - batch), f"auto-{batch}")
        n.settled(seconds=120)
        client = TrivialClient(folder / "c", n, sorted(n.uuids())[0], STARTED)
        with contextlib.closing(client):
            for number in range(AUTOSTARTS):
                start_all()
                n.settled(seconds=120)
                client_all()
    table.add(f"{STARTED} guests started after a boot of the host, {START_PARALLEL} at a time", median(ours), "/s", median(theirs),
              "libvirt", least=0.9, spread=[ours, theirs])


# ---------------------------------------------------------------------- peers that never respond

def hang_all(n):
    """Make the QEMU of HUNG guests stop responding, with one waiting operation for each."""
    for batch in range(0, HUNG, AT_ONCE):
        tool("load", "boot", n.url, n.key, n.dir / "cvms", min(AT_ONCE, HUNG - batch), f"hung-{batch}")
    n.settled(seconds=120)
    for pid in n.guests():
        os.kill(pid, signal.SIGSTOP)
    for cvm in n.uuids():
        n.post(f"/cvms/{cvm}/shutdown", json={"timeout": 1200}).ok()
    until("all operations wait", lambda: len(n.live_operations()) == HUNG)


def create_and_delete(n, name):
    up = tool("load", "boot", n.url, n.key, n.dir / "cvms", 1, name)
    n.settled(up["uuids"][0])
    n.api("DELETE", f"/cvms/{up['uuids'][0]}")
    until("the CVM is gone", lambda: n.get(f"/cvms/{up['uuids'][0]}").status == 404)
    return up["us"] / 1000


def hung(folder, table):
    """Creates and reads, on a node with HUNG hung QEMUs and on one without, in turn."""
    with contextlib.ExitStack() as closing:
        beside, alone = (closing.enter_context(contextlib.closing(node(folder / name).start())) for name in ("h", "a"))
        hang_all(beside)
        create_stopped(alone, HUNG, "still")
        ours, theirs = [], []
        for number in range(HUNG_ROUNDS + 1):
            turns = [lambda n=number: ours.append(create_and_delete(beside, f"beside-{n}")),
                     lambda n=number: theirs.append(create_and_delete(alone, f"alone-{n}"))]
            in_turn(number % 2, turns)
        wanted = [word for n in (beside, alone) for word in (n.url, n.key, "/api/v1/apps?page_size=50")]
        tool("load", "gets", 100, *wanted)
        rounds = [tool("load", "gets", READS, *wanted) for _ in range(READ_ROUNDS)]
        p99 = [median(us) / 1000 for us in zip(*(got["p99"] for got in rounds))]
        # The first create of each node reads files that are not cached.
        table.add(f"create to first line beside {HUNG} hung QEMUs", median(ours[1:]), "ms", median(theirs[1:]), "without them",
                  most=1.2, spread=[ours[1:], theirs[1:]])
        table.add(f"  GET /apps?page_size=50, {HUNG} CVMs, p99", p99[0], "ms", p99[1], "none hung", most=1.5)


# ---------------------------------------------------------------------- a domain's XML

def xml(table):
    runs = [tool("domain_xml", 5000) for _ in range(5)]
    wrote, read = ([run[key] for run in runs] for key in ("write_us", "read_us"))
    table.add("spec to domain XML, two NUMA nodes, 12 devices", median(wrote), "us", most=100, spread=[wrote])
    table.add("  the same, read back by libxml2", median(wrote), "us", median(read), "libxml2", spread=[wrote, read])


# ---------------------------------------------------------------------- one run

def main(parts):
    parts = parts or ["xml", "admission", "boot", "parallel", "comeback", "autostart", "hung", "creates", "reads", "idle"]
    table, began, closing = Table(), time.monotonic(), contextlib.ExitStack()
    work = Path(tempfile.mkdtemp(prefix="tpb", dir=disk_folder()))
    print(", ".join(f"{key} {value}" for key, value in table.machine.items()) + "\n", flush=True)
    with closing:
        closing.callback(shutil.rmtree, work, ignore_errors=True)
        if "xml" in parts:
            note("measuring: xml")
            xml(table)
        for part in (admission, comeback, autostart, hung):
            if part.__name__ in parts:
                note(f"measuring: {part.__name__}")
                part(work_for(work, part.__name__), table)
        if {"boot", "parallel"} & set(parts):
            guests = Guests(work_for(work, "a"))
            with contextlib.closing(guests):
                for part in (boot, parallel):
                    if part.__name__ in parts:
                        note(f"measuring: {part.__name__}")
                        part(guests, table)
        if {"creates", "reads", "idle"} & set(parts):
            few, many = (closing.enter_context(contextlib.closing(node(work / name).start())) for name in ("f", "m"))
            note("measuring: creates")
            creates(few, many, work, table)
            if "reads" in parts:
                note("measuring: reads")
                reads(few, many, table)
            many.stop()
            if "idle" in parts:
                note("measuring: idle")
                idle(few, table)
    seconds = time.monotonic() - began
    table.print()
    table.save(TOOLS / "result.json", seconds)
    missed = sum(row["verdict"] == "missed" for row in table.rows)
    held = sum(row["verdict"] == "ok" for row in table.rows)
    print(f"\n{held} bounds held, {missed} missed; {seconds:.0f} s; {TOOLS.relative_to(ROOT)}/result.json")


def work_for(work, name):
    (work / name).mkdir()
    return work / name


if __name__ == "__main__":
    main(sys.argv[1:])
