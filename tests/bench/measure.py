# SPDX-License-Identifier: Apache-2.0
"""measure.py - all measurements of one run: the measured programs take turns, and medians are compared.

Numbers that are compared come from the same run. The programs take turns round by round, so that other load on the machine
affects them equally. The C programs in this folder measure; this file decides what runs when.
"""

import argparse
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
import types
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))

from node import PROGRAM, Node, free_port, until  # noqa: E402
from peer import Peer, kill_all  # noqa: E402
from table import Table, disk_folder  # noqa: E402

PARTS = ("xml", "admission", "boot", "parallel", "comeback", "autostart", "hung", "creates", "reads", "idle")
START_PARALLEL, CLIENTS = 8, 32
CLIENT_CID, RAW_CID = 100000, 200000     # where the host has vsock: of the guests without a node
# How much is measured: the default; enough for a comparison before and after a change; only that every part works.
# creates: by number of clients. few, many: CVMs of the two nodes that are read. running: guests while the daemon is killed.
SIZES = {
    "full": {"xml": 5000, "boots": 15, "parallel": 9, "at_once": 16, "create_rounds": 5, "creates": {1: 300, 16: 600, CLIENTS: 900},
             "read_rounds": 7, "reads": 500, "few": 1000, "admissions": 1000, "admission_rounds": 5, "running": (16, 100),
             "comebacks": 5, "started": 50, "autostarts": 3, "hung": 32, "hung_rounds": 10, "starts": 5, "idle_s": 10},
    "quick": {"xml": 3000, "boots": 5, "parallel": 2, "at_once": 16, "create_rounds": 2, "creates": {1: 300, 16: 600, CLIENTS: 600},
              "read_rounds": 3, "reads": 200, "few": 1000, "admissions": 1000, "admission_rounds": 1, "running": (16,),
              "comebacks": 2, "started": 16, "autostarts": 1, "hung": 8, "hung_rounds": 4, "starts": 3, "idle_s": 3},
    "smoke": {"xml": 50, "boots": 1, "parallel": 1, "at_once": 2, "create_rounds": 2, "creates": {1: 5, 16: 20, CLIENTS: 40},
              "read_rounds": 1, "reads": 20, "few": 60, "admissions": 100, "admission_rounds": 1, "running": (2,),
              "comebacks": 1, "started": 2, "autostarts": 1, "hung": 2, "hung_rounds": 2, "starts": 1, "idle_s": 1},
}
size = types.SimpleNamespace(**SIZES["full"])
tools = ROOT / "build" / "bench"

median = statistics.median


def note(text):
    print(text, file=sys.stderr, flush=True)


def in_turn(number, turns):
    """Each round starts with another one, because the first one runs into the after-effects of the previous round."""
    for turn in turns[number % len(turns):] + turns[:number % len(turns)]:
        turn()


def tool(name, *arguments):
    done = subprocess.run([str(tools / name), *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=300)
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
    """@n is a node or the peer. Also the CPU time of its daemons for one."""
    pids = n.daemons() if isinstance(n, Peer) else [n.process.pid]
    before = sum(map(cpu_seconds, pids))
    got = load(n, "creates", n.url, n.key, clients, count, prefix)
    return {"rate": count * 1e6 / got["us"], "p99": got["p99"] / 1000, "load": got["cpu_us"] / got["us"],
            "cpu": (sum(map(cpu_seconds, pids)) - before) * 1e6 / count}


def load(n, *arguments):
    return tool("load", *(["--peer"] if isinstance(n, Peer) else []), *arguments)


def middle(values):
    """None for a peer that was not measured."""
    return median(values) if values else None


def medians(rounds, key):
    return middle([one[key] for one in rounds])


# ---------------------------------------------------------------------- guests: the node, a libvirt client, QEMU alone

def libvirt_client(root, folder, found):
    """The program, connected, after it has found the guests that run below @root."""
    process = subprocess.Popen([str(tools / "libvirt_client"), str(root), str(folder)], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    answer = process.stdout.readline()
    if answer != f"ready {found}\n":
        raise SystemExit(f"libvirt_client is not ready with {found} guests: {answer or 'it failed'}")
    return process


class TrivialClient:
    """tests/bench/libvirt_client with its own root, and with the domain XML and the files that the node created."""

    def __init__(self, folder, n, cvm, count):
        self.folder, self.guests = folder, folder / "g"
        shutil.copytree(n.embed / "cache", folder / "r" / "cache")
        (folder / "r" / "etc").mkdir(parents=True)
        shutil.copy(n.embed / "etc" / "qemu.conf", folder / "r" / "etc")
        for number in range(count):
            self._adopt(n, cvm, self.guests / str(number), CLIENT_CID + number)
        self.process = libvirt_client(folder / "r", self.guests, 0)

    @staticmethod
    def _adopt(n, cvm, to, cid):
        """A copy of the files of @cvm, and its definition with another UUID, another CID and the paths of the copy."""
        was = n.dir / "cvms" / cvm
        xml = next(path for path in (n.embed / "etc" / "qemu").glob("*.xml") if cvm in path.name).read_text()
        shutil.copytree(was, to, ignore=shutil.ignore_patterns("logs"))
        xml = xml.replace(f"{was}/logs/", f"{to}/").replace(str(was), str(to)).replace(cvm, str(uuid.uuid4()))
        xml = re.sub(r"(<cid auto='no' address=')\d+", rf"\g<1>{cid}", xml)
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


def raw_command(n, cvm, files, to, cid):
    """The QEMU command line of @cvm with another CID, and without what depends on libvirt: pause at start, monitor, secret, passed
    descriptors."""
    log = (n.embed / "log" / "qemu" / f"teepod-{cvm}.log").read_text()
    text = re.search(r"^/\S*qemu-system\S* .*?(?=\n\d{4}-|\nchar device|\nqemu|\Z)", log, re.S | re.M).group()
    words, kept = shlex.split(text.replace("\\\n", " ")), []
    for word in words:
        if word in ("-S",):
            continue
        if word.startswith(("set=0,fd=", "socket,id=charmonitor", "chardev=charmonitor")) or '"masterKey0"' in word:
            kept.pop()
            continue
        word = re.sub(r'"guest-cid":\d+,"vhostfd":"[^"]*"', f'"guest-cid":{cid}', word)
        kept.append(word.replace(f"{n.dir}/cvms/{cvm}/logs/serial.log", f"{to}/serial.log"))
    to.mkdir()
    was = str(n.dir / "cvms" / cvm)
    (to / "argv").write_bytes(b"".join(w.replace(was, str(files)).encode() + b"\0" for w in kept))


class Guests:
    """The ways to run a guest: the node, a libvirt client, QEMU alone, and the peer if there is one."""

    def __init__(self, folder, new_peer):
        self.node = node(folder / "n").start()
        self.peers = new_peer(folder / "p")
        self.round = 0
        pattern = self._boot(self.node, self.node.dir / "cvms", 1)["uuids"][0]
        self.node.settled()
        self.client = TrivialClient(folder / "c", self.node, pattern, size.at_once)
        self.raw = [folder / f"q{number}" for number in range(size.at_once)]
        for number, to in enumerate(self.raw):
            raw_command(self.node, pattern, self.client.guests / str(number), to, RAW_CID + number)
        self.node.delete_all()
        self.node.settled()

    def _boot(self, n, cvms, count):
        self.round += 1
        return load(n, "boot", n.url, n.key, cvms, count, f"boot-{self.round}")

    def api_round(self, count):
        up = self._boot(self.node, self.node.dir / "cvms", count)
        self.node.settled()
        down = load(self.node, "stop", self.node.url, self.node.key, *up["uuids"])["us"]
        self.node.delete_all()
        self.node.settled()
        return up["us"], down

    def client_round(self, count):
        return self.client.do("boot", count), self.client.do("stop", count)

    def raw_round(self, count):
        return tool("raw_qemu", *self.raw[:count])

    def peer_round(self, count):
        peer = self.peers[0]
        up = self._boot(peer, peer.vms, count)
        down = load(peer, "stop", peer.url, peer.key, *up["uuids"])["us"]
        peer.remove(*up["uuids"])
        return up["us"], down

    def measure(self, count, rounds):
        """The times of each for @count guests, (ups, downs) in ms; the peer's are (None, None) if there is none."""
        turns = [self.api_round, self.client_round, self.raw_round] + [self.peer_round for _ in self.peers]
        for turn in turns:
            turn(count)     # fill the page cache
        measured = {turn: [] for turn in turns}
        for number in range(rounds):
            in_turn(number, [lambda turn=turn: measured[turn].append([us / 1000 for us in turn(count)]) for turn in turns])
        return [list(zip(*measured[turn])) for turn in turns] + [(None, None)] * (not self.peers)

    def close(self):
        for one in (self.client, self.node, *self.peers):
            one.close()


def boot(guests, table):
    (api, stop), (client, client_stop), (raw, end), (peer, peer_stop) = guests.measure(1, size.boots)
    if median(api) < median(raw) / 2:
        raise SystemExit(f"a guest behind the API cannot print in half the time ({median(api):.0f} ms) that QEMU alone takes "
                         f"({median(raw):.0f} ms): the probe saw something else")
    table.add("create to first serial line", median(api), "ms", median(raw), "raw QEMU", peer=middle(peer), most=1.5,
              spread=[api, raw, peer])
    table.add("  the same", median(api), "ms", median(client), "libvirt", most=1.25, spread=[client])
    table.add("  more than raw QEMU", median(api) - median(raw), "ms")
    table.add("stop, until the API says stopped", median(stop), "ms", median(end), "raw QEMU, SIGTERM to end", peer=middle(peer_stop),
              most=2.5, spread=[stop, end, peer_stop])
    table.add("  the same", median(stop), "ms", median(client_stop), "libvirt", spread=[client_stop])


def parallel(guests, table):
    (api, stop), (client, client_stop), (raw, end), (peer, peer_stop) = guests.measure(size.at_once, size.parallel)
    table.add(f"{size.at_once} creates at once, to all first lines", median(api), "ms", median(raw), "raw QEMU", peer=middle(peer),
              most=1.1, spread=[api, raw, peer])
    table.add("  the same", median(api), "ms", median(client), "libvirt", most=1.25, spread=[client])
    table.add(f"{size.at_once} stops at once, until the API says stopped", median(stop), "ms", median(end), "raw QEMU, SIGTERM to end",
              peer=middle(peer_stop), most=1.5, spread=[stop, end, peer_stop])
    table.add("  the same", median(stop), "ms", median(client_stop), "libvirt", spread=[client_stop])


# ---------------------------------------------------------------------- rows

def raw_sqlite(verb, n, *arguments):
    """SQLite alone with a copy of the database of @n. The copy and its journal are removed."""
    with tempfile.TemporaryDirectory(dir=n.dir.parent) as folder:
        copy = Path(folder) / "copy.db"
        with contextlib.closing(sqlite3.connect(n.database())) as a, contextlib.closing(sqlite3.connect(copy)) as b:
            a.backup(b)
        return tool("raw_sqlite", verb, copy, *arguments)


def raw_creates(n, count):
    got = raw_sqlite("creates", n, count)
    return {"rate": count * 1e6 / got["us"], "cpu": got["cpu_us"] / count}


def creates(few, many, peers, table):
    """Fill both nodes, and the two peers like them: the first one like @few, to be read, the other one like @many. SQLite alone is
    measured with the same rows between the rounds, in copies that are as full as @many."""
    raw, ours, theirs = [], {clients: [] for clients in size.creates}, {clients: [] for clients in size.creates}
    for n, prefix in ((few, "few"), (many, "many"), *((peer, "peer") for peer in peers)):
        create_stopped(n, size.few, prefix)
    for number in range(size.create_rounds):
        raw.append(raw_creates(many, size.few))
        in_turn(number, [lambda n=n, got=got, c=clients: got[c].append(create_stopped(n, size.creates[c], f"more-{number}-{c}", c))
                         for clients in size.creates for n, got in ((many, ours), *((peer, theirs) for peer in peers[1:]))])
    for clients, least, most in ((1, 0.5, 2), (16, 1.3, 1.25), (CLIENTS, 1.4, None)):
        got, other = ours[clients], theirs[clients]
        table.add(f"durable stopped creates, {clients} client{'s' * (clients > 1)}", medians(got, "rate"), "/s", medians(raw, "rate"),
                  "raw SQLite", peer=medians(other, "rate"), least=least, spread=[got, raw, other])
        table.add("  the daemon's CPU for one", medians(got, "cpu"), "us", medians(raw, "cpu"), "raw SQLite", most=most,
                  peer=medians(other, "cpu"))
        table.add("  p99 of one", medians(got, "p99"), "ms", peer=medians(other, "p99"))
    table.add(f"  last of {cvms_of(many):,} (first as baseline)", ours[CLIENTS][-1]["rate"], "/s", ours[CLIENTS][0]["rate"], "first")
    table.add("  share of a CPU the load itself takes", medians(ours[CLIENTS], "load"), "")
    assert cvms_of(few) == size.few and cvms_of(many) == size.few + size.create_rounds * sum(size.creates.values())


def cpu_seconds(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def cvms_of(n):
    return n.rows("select count(*) from cvms")[0][0]


def gets(wanted, rounds):
    """p50 and p99 of each (server, path) of @wanted, read in turn, in ms."""
    words = [word for n, path in wanted for word in (n.url, n.key, path)]
    tool("load", "gets", max(rounds // 5, 1), *words)
    got = [tool("load", "gets", rounds, *words) for _ in range(size.read_rounds)]
    return ([median(us) / 1000 for us in zip(*(one[q] for one in got))] for q in ("p50", "p99"))


def raw_lists(n, *limits):
    """SQLite alone reading the same rows, p50 in ms."""
    got = [raw_sqlite("lists", n, max(size.reads // 5, 1), *limits)["p50"] for _ in range(size.read_rounds)]
    return [median(us) / 1000 for us in zip(*got)]


def reads(few, many, peers, table):
    page, everything = "/api/v1/cvms/paginated?page_size=50", f"/api/v1/cvms/paginated?page_size={size.few}"
    apps, their_list = "/api/v1/apps?page_size=50", "/prpc/Status?json&brief=true"
    (health, one, more), (health99, one99, more99) = gets([(few, "/healthz"), (few, apps), (many, apps)], size.reads)
    (fifty, *their_fifty), _ = gets([(few, page), *((peer, f"{their_list}&page=1&page_size=50") for peer in peers[:1])], size.reads)
    (whole, *their_whole), _ = gets([(few, everything), *((peer, their_list) for peer in peers[:1])], max(size.reads // 10, 1))
    raw_fifty, raw_whole = raw_lists(few, 50, size.few)
    table.add(f"page of 50 of {size.few:,} CVMs, p50", fifty, "ms", health + raw_fifty, "/healthz + raw SQLite",
              peer=middle(their_fifty), most=2)
    table.add(f"all {size.few:,} CVMs in one answer, p50", whole, "ms", health + raw_whole, "/healthz + raw SQLite",
              peer=middle(their_whole), most=2)
    table.add(f"GET /apps?page_size=50, {size.few:,} CVMs, p50", one, "ms", health + raw_fifty, "/healthz + raw SQLite", most=2)
    table.add("  p99", one99, "ms", health99 + raw_fifty, "/healthz + raw SQLite", most=3)
    table.add(f"  {cvms_of(many):,} CVMs, p50", more, "ms", one, f"{size.few:,} CVMs", most=1.3)
    table.add(f"  {cvms_of(many):,} CVMs, p99", more99, "ms", one99, f"{size.few:,} CVMs", most=1.3)
    table.add("  GET /healthz, p99", health99, "ms", health, "p50")


# ---------------------------------------------------------------------- idle

def status(path, key):
    return int(re.search(rf"^{key}:\s+(\d+)", path.read_text(), re.M).group(1))


def resident(pids):
    return sum(status(Path(f"/proc/{pid}/status"), "VmRSS") for pid in pids) / 1024


def ms_since(began):
    return (time.monotonic() - began) * 1000


def libvirt_alone(root, guests):
    """A client that opens the driver below @root and finds its @guests again: the ms until then, and its resident memory."""
    began = time.monotonic()
    with libvirt_client(root, "-", guests) as process:
        took, memory = ms_since(began), resident([process.pid])
        process.stdin.close()
    return took, memory


def program_alone():
    """The time that the daemon's program needs to start and end without doing anything."""
    began = time.monotonic()
    subprocess.run([PROGRAM, "--version"], check=True, stdout=subprocess.DEVNULL)
    return ms_since(began)


def spawn(n):
    """Start the daemon of a node or a peer, and wait for its first response with 200. Returns when it was started, and the ms."""
    if isinstance(n, Peer):
        port, path = n.listen, "/prpc/Version?json"
    else:
        port, path = free_port(), "/healthz"
        n.listen = [f"127.0.0.1:{port}"]
    began = time.monotonic()
    n.spawn()
    until(lambda: f"the first response:\n{n.log_tail()}", lambda: responds(port, path), 60, every=0.001)
    return began, ms_since(began)


def responds(port, path):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return s.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wake_ups(pid):
    """Number of voluntary context switches of each thread so far."""
    return {task.name: status(task / "status", "voluntary_ctxt_switches") for task in Path(f"/proc/{pid}/task").iterdir()}


def start_times(n, peers):
    ours, alone, theirs = [], [], []

    def start():
        n.stop()
        ours.append(spawn(n)[1])
        n.answers()
        n.ready()

    def peer_start(peer):
        peer.stop()
        theirs.append(spawn(peer)[1])
    for number in range(size.starts):
        in_turn(number, [start, lambda: alone.append(program_alone()), *(lambda peer=peer: peer_start(peer) for peer in peers[:1])])
    return ours, alone, theirs


def idle_wake_ups(n):
    """Of each thread in size.idle_s seconds, and of all threads by 20 requests: a count of 0 is meaningful only if the same
    method counts real work."""
    pid = n.process.pid
    time.sleep(min(3, size.idle_s))  # let the work after a start finish
    before = wake_ups(pid)
    time.sleep(size.idle_s)
    woken = [count - before.get(task, 0) for task, count in wake_ups(pid).items()]
    seen = sum(wake_ups(pid).values())
    port = int(n.listen[0].split(":")[1])
    for _ in range(20):
        responds(port, "/healthz")
        time.sleep(0.05)  # long enough for the threads to sleep in between
    by_requests = sum(wake_ups(pid).values()) - seen
    if by_requests < 10:
        raise SystemExit("20 requests, a pause between, woke nobody up: wake-ups are not what is counted")
    return woken, by_requests


def idle(n, peers, folder, table):
    ours, alone, theirs = start_times(n, peers)
    table.add(f"first answer after a start, {size.few:,} stopped CVMs", median(ours), "ms", median(alone), "teepod --version",
              peer=middle(theirs), most=3, spread=[ours, alone, theirs])
    tool("load", "gets", 200, n.url, n.key, "/api/v1/apps?page_size=50")
    root = folder / "root"
    for name in ("cache", "etc"):
        shutil.copytree(n.embed / name, root / name, ignore=shutil.ignore_patterns("*.xml"))
    table.add("  resident memory (VmRSS)", resident([n.process.pid]), "MiB", libvirt_alone(root, 0)[1], "libvirt",
              peer=resident(peers[0].daemons()) if peers else None, most=2.1)
    woken, by_requests = idle_wake_ups(n)
    table.add("  wake-ups in an idle second, busiest thread", max(woken) / size.idle_s, "", by_requests, "by 20 requests", most=0.025)
    table.add("  wake-ups in an idle second, all threads", sum(woken) / size.idle_s, "")


# ---------------------------------------------------------------------- admission, and restart of the node

def admission(folder, table):
    """A tenth of the creates fits, as in the admission test. Then a single client measures the cost of each decision."""
    rates, raw, made, refused = [], [], [], []
    fit = size.admissions // 10
    for number in range(size.admission_rounds):
        n = node(folder / f"r{number}", **{"capacity.slots": fit}).start()
        with contextlib.closing(n):
            got = tool("load", "admissions", n.url, n.key, 64, size.admissions, "all")
            if (got["made"], got["refused"]) != (fit, size.admissions - fit):
                raise SystemExit(f"room for {fit}: {got}")
            rates.append(size.admissions * 1e6 / got["us"])
        n = node(folder / f"o{number}", **{"capacity.slots": 3 * fit}).start()
        with contextlib.closing(n):
            one = tool("load", "admissions", n.url, n.key, 1, 6 * fit, "one")
            if not one["made"] == one["refused"] == 3 * fit:
                raise SystemExit(f"room for {3 * fit}: {one}")
            made.append(one["p50"])
            refused.append(one["refused_p50"])
        n = node(folder / f"s{number}").start()
        with contextlib.closing(n):
            create_stopped(n, fit, "raw")
            raw.append(raw_creates(n, size.admissions // 2)["rate"])
    table.add(f"{size.admissions:,} admission decisions, 64 clients", median(rates), "/s", median(raw), "raw SQLite creates", least=4,
              spread=[rates, raw])
    table.add("  one refused (p50, one client)", median(refused), "us", median(made), "one admitted", most=0.25,
              spread=[refused, made])


def adopted(n):
    """True if the node has found all running guests after its start."""
    return "running guests adopted" in n.log_path.read_text(errors="replace").rsplit("listening on", 1)[-1]


def run_guests(n, cvms, prefix, first, last):
    for batch in range(first, last, size.at_once):
        load(n, "boot", n.url, n.key, cvms, min(size.at_once, last - batch), f"{prefix}-{batch}")


def come_back(n, running):
    """Kill the daemon, let a libvirt client find the guests, and start the daemon again. The ms of the client, and the daemon's until
    it answers, is ready, and has found all guests."""
    n.kill()
    alone, _ = libvirt_alone(n.embed, running)
    began, answered = spawn(n)
    n.answers()
    until("/readyz", lambda: n.api("GET", "/readyz", prefix="", key=None).status == 200, 60, every=0.005)
    ready = ms_since(began)
    until("all are adopted", lambda: adopted(n), 60, every=0.005)
    if len(n.guests()) != running or cvms_of(n) != size.few + running:
        raise SystemExit(f"{len(n.guests())} guests run, {cvms_of(n)} CVMs are known")
    return alone, answered, ready, ms_since(began)


def peer_comes_back(peer):
    peer.process.kill()
    peer.process.wait()
    return spawn(peer)[1]


def comeback(folder, new_peer, table):
    """Kill the daemon while guests run beside size.few stopped ones, and start it again."""
    with contextlib.ExitStack() as closing:
        n = closing.enter_context(contextlib.closing(node(folder / "back", **{"logs.level": "info"}).start()))
        peers = [closing.enter_context(contextlib.closing(peer)) for peer in new_peer(folder / "peer")]
        for one in (n, *peers):
            create_stopped(one, size.few, "still")
        for before, running in zip((0, *size.running), size.running):
            run_guests(n, n.dir / "cvms", "up", before, running)
            n.settled(seconds=120)
            for peer in peers:
                run_guests(peer, peer.vms, "up", before, running)
            times = list(zip(*(come_back(n, running) for _ in range(size.comebacks))))
            theirs = [peer_comes_back(peer) for peer in peers for _ in range(size.comebacks)]
            alone, answered, ready, everything = map(median, times)
            table.add(f"kill -9 and start, {size.few:,} stopped CVMs, {running} running: ready", ready, "ms", alone, "libvirt", most=2,
                      spread=times)
            table.add("  all running ones adopted", everything, "ms", alone, "libvirt", most=2)
            table.add("  first answer", answered, "ms", peer=middle(theirs))


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
        until(lambda: f"{size.started} run: {up(down)}", lambda: up(down) == size.started, 120, every=0.02)
        ours.append(size.started / (time.monotonic() - began))

    def client_all():
        reboot(n)   # alone, because guests of the node would use CPU time
        theirs.append(size.started * 1e6 / client.do("row", size.started, START_PARALLEL))
        client.do("stop", size.started)

    with contextlib.closing(n):
        run_guests(n, n.dir / "cvms", "auto", 0, size.started)
        n.settled(seconds=120)
        client = TrivialClient(folder / "c", n, sorted(n.uuids())[0], size.started)
        with contextlib.closing(client):
            for number in range(size.autostarts):
                start_all()
                n.settled(seconds=120)
                client_all()
    table.add(f"{size.started} guests started after a boot of the host, {START_PARALLEL} at a time", median(ours), "/s", median(theirs),
              "libvirt", least=0.8, spread=[ours, theirs])


# ---------------------------------------------------------------------- peers that never respond

def hang_all(n):
    """Make the QEMU of size.hung guests stop responding, with one waiting operation for each."""
    run_guests(n, n.dir / "cvms", "hung", 0, size.hung)
    n.settled(seconds=120)
    for pid in n.guests():
        os.kill(pid, signal.SIGSTOP)
    for cvm in n.uuids():
        n.post(f"/cvms/{cvm}/shutdown", json={"timeout": 1200}).ok()
    until("all operations wait", lambda: len(n.live_operations()) == size.hung)


def create_and_delete(n, name):
    up = tool("load", "boot", n.url, n.key, n.dir / "cvms", 1, name)
    n.settled(up["uuids"][0])
    n.api("DELETE", f"/cvms/{up['uuids'][0]}")
    until("the CVM is gone", lambda: n.get(f"/cvms/{up['uuids'][0]}").status == 404)
    return up["us"] / 1000


def hung(folder, table):
    """Creates and reads, on a node with hung QEMUs and on one without, in turn."""
    with contextlib.ExitStack() as closing:
        beside, alone = (closing.enter_context(contextlib.closing(node(folder / name).start())) for name in ("h", "a"))
        hang_all(beside)
        create_stopped(alone, size.hung, "still")
        ours, theirs = [], []
        for number in range(size.hung_rounds):
            turns = [lambda n=number: ours.append(create_and_delete(beside, f"beside-{n}")),
                     lambda n=number: theirs.append(create_and_delete(alone, f"alone-{n}"))]
            in_turn(number % 2, turns)
        _, p99 = gets([(n, "/api/v1/apps?page_size=50") for n in (beside, alone)], size.reads)
        # The first create of each node reads files that are not cached.
        table.add(f"create to first line beside {size.hung} hung QEMUs", median(ours[1:]), "ms", median(theirs[1:]), "without them",
                  most=1.2, spread=[ours[1:], theirs[1:]])
        table.add(f"  GET /apps?page_size=50, {size.hung} CVMs, p99", p99[0], "ms", p99[1], "none hung", most=1.5)


# ---------------------------------------------------------------------- a domain's XML

def xml(table):
    runs = [tool("domain_xml", size.xml) for _ in range(5)]
    wrote, read = ([run[key] for run in runs] for key in ("write_us", "read_us"))
    table.add("spec to domain XML, two NUMA nodes, 12 devices", median(wrote), "us", median(read), "read by libxml2", most=1,
              spread=[wrote, read])


# ---------------------------------------------------------------------- one run

def options():
    """The command line; it also decides how much is measured."""
    global size, tools
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--tools", type=Path, default=tools, help="folder of the C programs")
    parser.add_argument("--result", type=Path, help="file for the numbers, also those of each round (result.json with the programs)")
    parser.add_argument("--peer", help="a dstack-vmm to compare with; its supervisor is beside it")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    given = parser.parse_args()
    if set(given.parts) - set(PARTS):
        parser.error(f"parts are: {' '.join(PARTS)}")
    size, tools = types.SimpleNamespace(**SIZES[given.size]), given.tools.resolve()
    given.result = given.result or tools / "result.json"
    given.result.unlink(missing_ok=True)    # do not leave the result of an older run
    return given


def measure(work, parts, new_peer, table):
    def measured(name):
        if name in parts:
            note(f"measuring: {name}")
        return name in parts
    if measured("xml"):
        xml(table)
    if measured("admission"):
        admission(work_for(work, "admission"), table)
    if measured("comeback"):
        comeback(work_for(work, "comeback"), new_peer, table)
    for part in (autostart, hung):
        if measured(part.__name__):
            part(work_for(work, part.__name__), table)
    if {"boot", "parallel"} & parts:
        guests = Guests(work_for(work, "a"), new_peer)
        with contextlib.closing(guests):
            for part in (boot, parallel):
                if measured(part.__name__):
                    part(guests, table)
    if {"creates", "reads", "idle"} & parts:
        rows(work_for(work, "r"), measured, new_peer, table)


def rows(folder, measured, new_peer, table):
    """All three read the nodes that creates() fills."""
    with contextlib.ExitStack() as closing:
        few, many = (closing.enter_context(contextlib.closing(node(folder / name).start())) for name in ("f", "m"))
        peers = [closing.enter_context(contextlib.closing(peer)) for name in ("p", "q") for peer in new_peer(folder / name)]
        note("measuring: creates")
        creates(few, many, peers, table)
        if measured("reads"):
            reads(few, many, peers, table)
        many.stop()
        if measured("idle"):
            idle(few, peers, folder, table)


def main():
    given = options()
    table, began = Table(), time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="tpb", dir=disk_folder()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))   # so that nothing stays behind then, either

    def new_peer(folder):
        return [Peer(given.peer, folder).start()] if given.peer else []
    print(", ".join(f"{key} {value}" for key, value in table.machine.items()) + "\n", flush=True)
    try:
        measure(work, set(given.parts or PARTS), new_peer, table)
    finally:
        kill_all(work)
        shutil.rmtree(work, ignore_errors=True)
    seconds = time.monotonic() - began
    table.print()
    table.save(given.result, seconds)
    table.print_summary(seconds)


def work_for(work, name):
    (work / name).mkdir()
    return work / name


if __name__ == "__main__":
    main()
