# SPDX-License-Identifier: Apache-2.0
"""node.py - a teepod of one's own: start it, ask it, kill it, and count what it left behind.

Everything a Node starts lives under a folder of its own with a short path (sockets of QEMU must fit 107 bytes), and is
found again by that path: the daemon, and every QEMU whose command line names it. close() ends them all, by pid.
"""

import contextlib
import grp
import http.client
import json
import math
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time
import xml.etree.ElementTree as tree
from pathlib import Path
from urllib.parse import quote, urlsplit

import qemu_capabilities

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str((ROOT / os.environ.get("TEEPOD_BIN", "build/test/teepod")).resolve())
# A daemon with sanitizers says what it leaked only when it ends by itself.
GRACEFUL = "TEEPOD_GRACEFUL" in os.environ
IMAGES = ROOT / "build" / "images"
BOOT, DEMO = "teepod-boot-1.0.0", "teepod-demo-1.0.0"
PREFIX = "/api/v1"

COMPOSE = {"docker_compose_file": "services:\n  web:\n    image: nginx:1.27\n"}


class Late(AssertionError):
    """Something that had to happen did not, in time."""


def until(what, condition, seconds=20, every=0.03):
    """The first true value of condition(), or a failure that says what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(f"after {seconds} s still not: {what() if callable(what) else what}")
        time.sleep(every)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def sockets_of(pid):
    """Local (protocol, address, port) that a process listens on or has bound."""
    inodes = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        pass
    found = set()
    for protocol, listening in (("tcp", "0A"), ("udp", "07")):
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            field = line.split()
            if field[9] in inodes and field[3] == listening:
                address, port = field[1].split(":")
                found.add((protocol, socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


_blocks = 0


def port_block(size=40):
    """Ports that no other test of this run uses, below those that the kernel gives to clients: first and last."""
    global _blocks
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0)
    share = (32768 - 11000) // 8    # for up to eight workers
    while True:
        first = 11000 + worker % 8 * share + (os.getpid() * 131 + _blocks * size) % (share - size)
        _blocks += 1
        try:
            for port in (first, first + size // 2, first + size - 1):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first, first + size - 1
        except OSError:
            continue


class Answer:
    """One HTTP answer."""

    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __getitem__(self, key):
        return self.json[key]

    def __repr__(self):
        return f"<{self.status} {self.text[:600]}>"

    def ok(self):
        assert 200 <= self.status < 300, self
        return self


def refused(answer, status, code=None, field=None, value=None):
    """Hold a refusal against what every refusal must say: field, value and rule."""
    statuses = status if isinstance(status, (tuple, list, set)) else (status,)
    assert answer.status in statuses, answer
    assert answer.headers["content-type"].startswith("application/json"), answer
    body = answer.json
    if code:
        assert body.get("error_code") == code, answer
    if "error_code" in body:
        assert body["message"], answer
        assert body["request_id"], answer
        for row in body["details"]:
            assert row["field"] and not isinstance(row["value"], (dict, list)), answer
    else:
        assert body["detail"], answer
    text = answer.text
    if field:
        assert field in [row["field"] for row in body.get("details", [])] or field in body.get("detail", ""), answer
    if value is not None:
        assert json.dumps(value).strip('"') in text, answer
    return body


class Cvm:
    """A CVM as this test knows it."""

    def __init__(self, node, body):
        self.node, self.body = node, body
        self.uuid, self.name, self.app_id = body["vm_uuid"], body["name"], body["app_id"]

    def get(self, version=26):
        return self.node.get(f"/cvms/{self.uuid}", version=version).ok().json

    @property
    def status(self):
        return self.get()["status"]

    def request(self, verb, **body):
        return self.node.post(f"/cvms/{self.uuid}/{verb}", json=body or None)

    def do(self, verb, **body):
        """Power verb, and wait until its operation is over."""
        answer = self.request(verb, **body).ok()
        self.node.settled(self.uuid)
        return answer

    def delete(self):
        answer = self.node.api("DELETE", f"/cvms/{self.uuid}")
        assert answer.status == 204, answer
        until(f"{self.name} is gone", lambda: self.node.get(f"/cvms/{self.uuid}").status == 404)
        self.node.settled(self.uuid)

    def becomes(self, status, seconds=30):
        until(lambda: f"{self.name} {status}, it is {self.status}", lambda: self.status == status, seconds)

    def log(self, channel="serial", **query):
        tail = "".join(f"&{k}={v}" for k, v in query.items())
        return self.node.get(f"/cvms/{self.uuid}/logs?ch={channel}{tail}").ok().text

    def pids(self):
        return [pid for pid in self.node.guests() if any(self.uuid in arg for arg in command_line(pid))]

    def ports(self):
        return self.node.rows("select protocol = 'udp', host_address, host_port, vm_port from ports join cvms on cvms.id = ports.cvm"
                              " where cvms.uuid = ? order by host_port", self.uuid)

    def operations(self):
        """Newest first."""
        return [op for op in self.node.get("/operations?page_size=100").ok().json["items"] if op["cvm"]["vm_uuid"] == self.uuid]


class Node:
    """One daemon with everything under one folder."""

    defaults = {"capacity.vcpus": 64, "capacity.memory_mib": 65536, "capacity.disk_gib": 2000, "capacity.slots": 64,
                "node.name": "alpha"}
    libvirtd = None     # where guests run unless a test says otherwise; None: in the daemon itself

    def __init__(self, options=None, arguments=(), environment=None, hypervisor=None, listen=("127.0.0.1:0",),
                 folder=None, user=None, groups=()):
        self.dir = Path(folder or tempfile.mkdtemp(prefix="tp", dir="/tmp"))
        self.port_first, self.port_last = port_block()
        self.options = {**self.defaults, "ports.range": f"{self.port_first}-{self.port_last}", **(options or {})}
        self.arguments, self.listen = list(arguments), listen
        self.hypervisor = hypervisor or (self.libvirtd and self.libvirtd.uri)
        self.environment = environment or {}
        self.process = self.url = self.key = None
        self.log_path, self._scanned = self.dir / "daemon.log", 0
        self.embed = self.dir / "libvirt"
        self._tls = self.good_commit = None     # good_commit: what last_commit() was when --check-db found nothing
        self.program, self.identity = PROGRAM, {}
        if user:
            self.run_as(user, groups)

    def run_as(self, user, groups):
        """The next start runs the daemon as @user. What it reads is copied: our own folders may be closed to
        that user."""
        who = pwd.getpwnam(user)
        self.identity = {"user": who.pw_uid, "group": who.pw_gid,
                         "extra_groups": [grp.getgrnam(name).gr_gid for name in groups]}
        self.program = shutil.copy(PROGRAM, self.dir / "program")
        shutil.copytree(IMAGES, self.dir / "given")
        self.environment |= {"HOME": str(self.dir), "TEEPOD_IMAGES": str(self.dir / "given")}
        self.dir.chmod(0o711)
        subprocess.run(["chown", "-hR", f"{who.pw_uid}:{who.pw_gid}", self.dir], check=True)

    # ------------------------------------------------------------ life

    def command(self):
        args = [self.program, "--dev", str(self.dir)]
        for address in self.listen:
            args += ["--listen", address]
        if self.hypervisor:
            args += ["--hypervisor", self.hypervisor]
        return args + self._settings() + self.arguments

    def _settings(self):
        return [word for key, value in self.options.items() for word in ("-o", f"{key}={value}")]

    def spawn(self, **environment):
        """Start the process and wait for nothing."""
        self.lend_capabilities()
        (self.dir / "url").unlink(missing_ok=True)
        env = {**os.environ, **self.environment, **environment}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), env=env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, **self.identity)
        return self

    def start(self, seconds=60, **environment):
        """Start, and wait until it is ready for everything."""
        self.spawn(**environment)
        self.answers(seconds)
        self.ready(seconds)
        qemu_capabilities.keep(self.embed / "cache" / "qemu" / "capabilities")
        return self

    def answers(self, seconds=30):
        """Wait until it answers HTTP."""
        def read():
            assert self.process.poll() is None, f"daemon ended with {self.process.returncode}:\n{self.log_tail()}"
            try:
                self.url = (self.dir / "url").read_text().strip()
                self.key = (self.dir / "admin.key").read_text().strip()
            except OSError:
                return False
            return self.url and self.key
        until("url and admin.key are written", read, seconds)
        return self

    def ready(self, seconds=60):
        until(lambda: f"/readyz is 200:\n{self.log_tail()}",
              lambda: self.api("GET", "/readyz", prefix="", key=None).status == 200, seconds)
        return self.imported(seconds)

    def imported(self, seconds=60):
        """The demo images are imported beside everything else."""
        until("the demo images are there", lambda: all(name in self.get("/images").text for name in (BOOT, DEMO)), seconds)
        return self

    def stop(self, seconds=45):
        """SIGTERM; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(seconds)
        return self.process and self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()

    def died(self, seconds=20):
        """Wait for the daemon to die by itself; its signal."""
        try:
            return -self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Late(f"the daemon did not die:\n{self.log_tail()}") from None

    def restart(self, **environment):
        self.stop()
        return self.start(**environment)

    def assert_no_full_scans(self):
        """A daemon with failure points looks at the plan of each statement (db/plan.c). Reads what the log has got since the
        last call."""
        try:
            with open(self.log_path, errors="replace") as log:
                log.seek(self._scanned if self._scanned <= os.fstat(log.fileno()).st_size else 0)
                text = log.read()
                self._scanned = log.tell()
        except OSError:
            return
        found = [line for line in text.splitlines() if "FULL SCAN" in line]
        assert not found, "statements that read a whole table that grows:\n" + "\n".join(found)

    def close(self):
        """End everything under the folder and remove it."""
        try:
            self.assert_no_full_scans()
        finally:
            self._close()

    def _close(self):
        try:
            if GRACEFUL:
                self.stop()
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        finally:
            for _ in range(50):
                left = self.guests(probes=True)
                if not left:
                    break
                for pid in left:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                time.sleep(0.05)
            run = self.embed / "run"
            if run.is_symlink():
                shutil.rmtree(os.readlink(run), ignore_errors=True)
            shutil.rmtree(self.dir, ignore_errors=True)

    def log_tail(self, lines=40):
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    def lend_capabilities(self):
        if self.hypervisor is None:
            qemu_capabilities.lend(self.embed / "cache" / "qemu" / "capabilities")

    # ------------------------------------------------------------ HTTP

    def connection(self, timeout=30):
        where = urlsplit(self.url)
        if where.scheme == "https":
            return http.client.HTTPSConnection(where.hostname, where.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)

    def api(self, method, path, json=None, data=None, headers=None, version=None, key="own", prefix=PREFIX, timeout=30):
        sent = {"Accept": "application/json"}
        if key == "own":
            key = self.key
        if key:
            sent["X-API-Key"] = key
        if version:
            sent["X-Phala-Version"] = {25: "2025-10-28", 26: "2026-01-21"}[version]
        if json is not None:
            data = _json_text(json)
        if data is not None:
            sent["Content-Type"] = "application/json"
            data = data.encode() if isinstance(data, str) else data
        elif method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = "0"
        sent.update(headers or {})
        began = time.monotonic()
        connection = self.connection(timeout)
        try:
            connection.request(method, prefix + path, body=data, headers=sent)
            answer = connection.getresponse()
            body = answer.read()
            found = {k.lower(): v for k, v in answer.getheaders()}
            return Answer(answer.status, found, body, time.monotonic() - began)
        finally:
            connection.close()

    def get(self, path, **more):
        return self.api("GET", path, **more)

    def post(self, path, **more):
        return self.api("POST", path, **more)

    def raw(self, data, timeout=15, half_close=False):
        """Send bytes as they are; everything that comes back until the server closes."""
        where = urlsplit(self.url)
        got = b""
        with socket.create_connection((where.hostname, where.port), timeout=timeout) as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    got += piece
            except (ConnectionResetError, BrokenPipeError):
                pass
        return got

    # ------------------------------------------------------------ CVMs

    counter = 0

    def create_body(self, name=None, image=BOOT, **more):
        """Body of a small create."""
        Node.counter += 1
        body = {"name": name or f"cvm-{os.getpid()}-{Node.counter}", "image": image, "vcpu": 1, "memory": 64,
                "disk_size": 1, "compose_file": dict(COMPOSE)}
        if image == DEMO:
            body["memory"] = 160
        body.update(more)
        return {k: v for k, v in body.items() if v is not None}

    def try_create(self, headers=None, **fields):
        return self.post("/cvms", json=self.create_body(**fields), headers=headers)

    def create(self, wait=True, **fields):
        cvm = Cvm(self, self.try_create(**fields).ok().json)
        if wait:
            self.settled(cvm.uuid)
            if not fields.get("stopped"):
                cvm.becomes("running")
        return cvm

    def cvm(self, uuid):
        return Cvm(self, self.get(f"/cvms/{uuid}", version=25).ok().json)

    def uuids(self):
        return {row[0] for row in self.rows("select uuid from cvms")}

    def operation(self, op_id, wait=0):
        return self.get(f"/operations/{op_id}" + (f"?wait={wait}" if wait else ""), timeout=wait + 30).ok().json

    def live_operations(self, uuid=None):
        return [op for op in self.get("/operations?page_size=100").ok().json["items"]
                if op["state"] in ("queued", "running") and uuid in (None, op["cvm"]["vm_uuid"])]

    def settled(self, uuid=None, seconds=40):
        """Wait until no operation is under way (on this CVM)."""
        end = time.monotonic() + seconds
        while live := self.live_operations(uuid):
            left = end - time.monotonic()
            if left <= 0:
                raise Late(f"after {seconds} s operations still run: {live}\n{self.log_tail()}")
            self.operation(live[-1]["id"], wait=min(60, math.ceil(left)))

    def capacity(self):
        return {row["resource"]: row for row in self.get("/node").ok().json["capacity"]}

    def free(self, resource):
        row = self.capacity()[resource]
        return row["total"] - row["promised"]

    def delete_all(self):
        """Whatever is being done: a CVM that is busy stopping is asked again."""
        def gone():
            for uuid in self.uuids():
                self.api("DELETE", f"/cvms/{uuid}")
            return not self.uuids()
        until("all CVMs are gone", gone, 40, every=0.1)

    # ------------------------------------------------------------ what is really there

    def guests(self, probes=False):
        """Pids of QEMUs that name this folder. Without @probes not those libvirt starts to ask QEMU what it can do."""
        found = []
        for pid in processes():
            line = command_line(pid)
            if line and "qemu-system" in line[0] and any(str(self.dir) in arg for arg in line) and alive(pid):
                if probes or not any(arg.startswith("none,accel") for arg in line):
                    found.append(pid)
        return sorted(found)

    def database(self):
        return self.dir / "teepod.db"

    @contextlib.contextmanager
    def reading(self):
        """Read the database beside the daemon: several queries by one connection."""
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(self.database()))}?mode=ro", uri=True, timeout=5)) as db:
            yield lambda query, *values: db.execute(query, values).fetchall()

    def rows(self, query, *values):
        with self.reading() as rows:
            return rows(query, *values)

    def last_commit(self):
        """What the database and the image files are now: equal values, nothing was written between. None: unknown.

        Each commit changes the first 48 bytes of the WAL index (https://www.sqlite.org/walformat.html)."""
        try:
            with open(f"{self.database()}-shm", "rb", buffering=0) as index:
                header = index.read(48)
            images = [(str(path), path.stat()) for path in sorted((self.dir / "images").rglob("*"))]
        except FileNotFoundError:
            return None
        return header, [(path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in images]

    @contextlib.contextmanager
    def writing(self):
        """Change the database while the daemon is down."""
        with contextlib.closing(sqlite3.connect(self.database())) as db, db:
            yield db

    def check_db(self):
        done = subprocess.run([PROGRAM, "--check-db", "--dev", str(self.dir), *self._settings()], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def definitions(self):
        """uuid -> name of persistent domain definitions."""
        if self.hypervisor:
            from libvirtd import defined

            return defined(self.hypervisor, self.dir)
        folder = self.embed / "etc" / "qemu"
        found = {}
        for path in folder.glob("*.xml"):
            root = tree.parse(path).getroot()
            found[root.findtext("uuid")] = root.findtext("name")
        return found

    def folders(self):
        try:
            return set(os.listdir(self.dir / "cvms"))
        except FileNotFoundError:
            return set()


def _json_text(value):
    return json.dumps(value)


# ---------------------------------------------------------------------- consistency

OBSERVED_RUNNING = ("running", "paused")


def assert_consistent(node, seconds=15):
    """Database, libvirt's definitions, QEMU processes, files and ports say the same.

    What libvirt tells us by events may be a moment late: the comparison is repeated until it holds or @seconds are over.
    """
    problems = []

    def balanced():
        problems[:] = inconsistencies(node)
        return not problems
    try:
        until("", balanced, seconds, every=0.1)
    except Late:
        raise AssertionError("the node is not consistent:\n" + "\n".join(problems) + "\n" + node.log_tail(6)) from None
    # Without CVMs, --check-db reads only the database and the images: what did not change since it was good is good.
    commit = node.last_commit()
    if commit is None or commit != node.good_commit or node.uuids():
        code, output = node.check_db()
        assert code == 0, output
        node.good_commit = commit


def inconsistencies(node):
    """What is not as it must be, one text for each. By one database connection."""
    with node.reading() as rows:
        return _inconsistencies(node, rows)


def _inconsistencies(node, rows):
    bad = []
    cvms = {row[0]: row for row in rows("select uuid, observed, given_vcpus, given_memory_mib * (1 - hugepages), disk_gib, holds_cpu"
                                            " from cvms")}
    running = {uuid for uuid, row in cvms.items() if row[1] in OBSERVED_RUNNING}
    live = rows("select id, kind, state from operations where state in ('queued', 'running')")
    if live:
        bad.append(f"operations still under way: {live}")

    owner = {}
    for pid in node.guests():
        line = " ".join(command_line(pid))
        owners = [uuid for uuid in cvms if uuid in line]
        if len(owners) != 1:
            bad.append(f"QEMU {pid} belongs to {owners}")
        elif owners[0] in owner:
            bad.append(f"{owners[0]} has two QEMUs: {owner[owners[0]]}, {pid}")
        else:
            owner[owners[0]] = pid
    if set(owner) != running:
        bad.append(f"QEMUs run for {sorted(owner)}, the rows say {sorted(running)}")

    defined = set(node.definitions())
    if not running <= defined or not defined <= set(cvms):
        bad.append(f"defined {sorted(defined)}, running {sorted(running)}, rows {sorted(cvms)}")
    # A start that was overtaken before its first side effect has a boot's number, and no folder.
    started = set(cvms) & {row[0] for row in rows("select distinct cvm_uuid from events where type = 'cvm.observed'"
                                                       " and json_extract(data, '$.observed') = 'running'")}
    if not started <= node.folders() or not node.folders() <= set(cvms):
        bad.append(f"folders {sorted(node.folders())}, rows {sorted(cvms)}, once started {sorted(started)}")

    for uuid, pid in owner.items():
        promised = {("udp" if udp else "tcp", address, port) for udp, address, port in rows(
            "select protocol = 'udp', host_address, host_port from ports where cvm = (select id from cvms where uuid = ?)", uuid)}
        # The guest's own connections go through sockets of QEMU too; only UDP ones of those look like these.
        bound = {s for s in sockets_of(pid) if s[0] == "tcp" or node.port_first <= s[2] <= node.port_last}
        if bound != promised:
            bad.append(f"{uuid} forwards {sorted(promised)}, QEMU listens on {sorted(bound)}")

    for table, query in {"changes": "select op from changes", "ports": "select * from ports where vm_port <> other_vm_port",
                         "devices": "select address from devices where part <> 'both'",
                         "shares": "select * from cvm_nodes where hugepages_mib <> other_hugepages_mib or pinned_mib <> other_pinned_mib",
                         "history": "select uuid from cvms where uuid not in (select cvm_uuid from history)"}.items():
        left = rows(query)
        if left and not live:
            bad.append(f"no operation runs, and of {table} there is left {left}")

    promised = dict(rows("select resource, promised from capacity"))
    holding = [row for row in cvms.values() if row[5]]
    for resource, amount in {"vcpus": sum(row[2] for row in holding), "memory_mib": sum(row[3] for row in holding),
                             "disk_gib": sum(row[4] for row in cvms.values()), "slots": len(cvms), "cids": len(cvms),
                             "host_ports": rows("select count(*) from ports")[0][0]}.items():
        if promised[resource] != amount:
            bad.append(f"capacity says {promised[resource]} {resource} are promised, the rows hold {amount}")
    for slug, counted, ports in rows("select slug, held_host_ports, (select count(*) from ports p join cvms c on c.id = p.cvm"
                                       " where c.workspace = w.id) from workspaces w"):
        if counted != ports:
            bad.append(f"workspace {slug} counts {counted} host ports, the rows hold {ports}")
    return bad
