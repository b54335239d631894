# SPDX-License-Identifier: Apache-2.0
"""checks.py - the checks: some hold at every instant and are made by reading the database beside the daemon, some hold when
no operation runs.

The reader opens the file by itself, read-only, and takes one snapshot for each round of checks: what it sees is what a
restart after a kill -9 at that very moment would find.
"""

import collections
import contextlib
import http.client
import json
import sqlite3
import threading
from urllib.parse import quote

from model import FINAL, GONE, SAME, VERBS, ends, harmed
from node import Late, inconsistencies, until

# A resource is overcommitted, or the counter differs from the sum over the rows. A CVM under change holds the larger need of its two
# states.
CAPACITY = """
select c.resource, c.total, c.promised, h.held from capacity c join (
  select 'vcpus' as resource, coalesce(sum(max(v.given_vcpus, coalesce(x.given_vcpus, 0)) * v.holds_cpu), 0) as held
    from cvms v left join changes x on x.cvm = v.id
  union all select 'memory_mib', coalesce(sum(max(v.given_memory_mib, coalesce(x.given_memory_mib, 0)) * v.holds_cpu
    * (1 - v.hugepages)), 0) from cvms v left join changes x on x.cvm = v.id
  union all select 'disk_gib', coalesce(sum(max(v.disk_gib, coalesce(x.disk_gib, 0))), 0)
    from cvms v left join changes x on x.cvm = v.id
  union all select 'slots', count(*) from cvms
  union all select 'cids', count(*) from cvms
  union all select 'host_ports', count(*) from ports) h on h.resource = c.resource
where c.promised <> h.held or (c.total >= 0 and c.promised > c.total)"""

# Name of a violation, and a query that returns a row for each.
SQL = (
    ("reserved and held amounts differ, or exceed the total", CAPACITY),
    ("a workspace counts other host ports than its CVMs have", "select slug, held_host_ports from workspaces w where held_host_ports <>"
     " (select count(*) from ports p join cvms c on c.id = p.cvm where c.workspace = w.id)"),
    ("two CVMs with one CID", "select cid, count(*) from cvms group by cid having count(*) > 1"),
    ("two CVMs with one name", "select name, count(*) from cvms group by workspace, name collate nocase having count(*) > 1"),
    ("one host port is forwarded to two CVMs", "select p.protocol, p.host_port from ports p join ports q on p.protocol = q.protocol and"
     " p.host_port = q.host_port where p.host_address < q.host_address and '0.0.0.0' in (p.host_address, q.host_address)"),
    ("a port of nobody", "select host_port from ports where cvm not in (select id from cvms)"),
    ("two CVMs with one device", "select address, count(*) from devices where cvm is not null group by address having count(*) > 1"),
    ("two operations run on one CVM", "select cvm, count(*) from operations where state = 'running' group by cvm having count(*) > 1"),
    ("an operation under way without its CVM", "select id, kind from operations where state in ('queued', 'running') and cvm not in"
     " (select id from cvms)"),
    ("event numbers with a gap", "select min(seq), max(seq), count(*) from events having count(*) > 0 and"
     " max(seq) - min(seq) + 1 <> count(*)"),
    ("a CVM created twice", "select cvm_uuid, count(*) from events where type = 'cvm.created' group by cvm_uuid having count(*) > 1"),
    ("a CVM deleted twice", "select cvm_uuid, count(*) from events where type = 'cvm.deleted' group by cvm_uuid having count(*) > 1"),
    ("an operation ended twice", "select op_id, count(*) from events where type = 'operation.finished' group by op_id having"
     " count(*) > 1"),
    ("one name created twice", "select json_extract(data, '$.name') as name, count(*) from events where type = 'cvm.created'"
     " group by name having count(*) > 1"),
)


class Watcher:
    """A thread that checks the database periodically during an epoch."""

    def __init__(self, node, ledger, every=0.15):
        self.node, self.ledger, self.every = node, ledger, every
        self.over, self.last_seq, self.missed = {}, 0, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        try:
            while not self.stop.is_set():
                self._count(self.check())
                self.stop.wait(self.every)
        except Exception as e:
            self.ledger.violation(f"the watcher ended by {type(e).__name__}: {e}")

    def _count(self, checked):
        """A round that found the file locked is skipped; more than three in a row are a violation, because nothing was checked."""
        self.missed = 0 if checked else self.missed + 1
        if self.missed > 3:
            self.ledger.violation(f"the database could not be read {self.missed} times in a row")

    def check(self):
        """One round of checks. False if the database could not be read."""
        # What was acknowledged before the snapshot began must be in it.
        uuids, ops = self.ledger.snapshot()
        with self.ledger.lock:
            refused = set(self.ledger.refused)
        uri = f"file:{quote(str(self.node.database()))}?mode=ro"
        db = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
        try:
            db.execute("begin")
            self._rows(db)
            self._acknowledged(db, uuids, ops)
            self._refused(db, refused)
        except sqlite3.OperationalError as e:
            # After a kill the next daemon recovers the WAL. SQLite waits 10 s for that, but fails at once when this reader and
            # the daemon both try to recover it.
            if "locked" not in str(e) and "busy" not in str(e):
                raise
            return False
        finally:
            db.close()
        self.ledger.count("checks")
        return True

    def _rows(self, db):
        for what, query in SQL:
            found = db.execute(query).fetchall()
            if found:
                self.ledger.violation(f"{what}: {found[:5]}")
        seq = db.execute("select coalesce(max(seq), 0) from events").fetchone()[0]
        if seq < self.last_seq:
            self.ledger.violation(f"events end with number {seq}, earlier with {self.last_seq}")
        self.last_seq = seq

    def _acknowledged(self, db, uuids, ops):
        there = {row[0] for row in db.execute("select uuid from cvms")}
        gone = {row[0] for row in db.execute("select cvm_uuid from events where type = 'cvm.deleted'")}
        lost = [(name, uuid) for name, uuid in uuids.items() if uuid not in there and uuid not in gone]
        if lost:
            self.ledger.violation(f"acknowledged CVMs are lost: {lost[:5]}")
        both = there & gone
        if both:
            self.ledger.violation(f"deleted, and still there: {sorted(both)[:5]}")
        state = dict(db.execute("select id, state from operations"))
        lost = [(op, *about) for op, about in ops.items() if op not in state]
        if lost:
            self.ledger.violation(f"acknowledged operations are lost: {lost[:5]}")
        for op, was in self.over.items():
            if state.get(op) != was:
                self.ledger.violation(f"operation {op} had ended as {was}, is {state.get(op)}")
        self.over = {op: word for op, word in state.items() if word not in ("queued", "running")}

    def _refused(self, db, refused):
        made = {row[0] for row in db.execute("select json_extract(data, '$.name') from events where type = 'cvm.created'")}
        if refused & made:
            with self.ledger.lock:
                still = refused & made & self.ledger.refused
            if still:
                self.ledger.violation(f"refused, and created all the same: {sorted(still)[:5]}")


class Follower:
    """Reads /events and reconnects after each restart where it was. No number may be missing or repeated."""

    def __init__(self, node, ledger, deaf=lambda: False):
        """@deaf: True while errors of the server are expected."""
        self.node, self.ledger, self.deaf, self.last = node, ledger, deaf, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def _follow(self):
        try:
            while not self.stop.is_set():
                # Each kill of the daemon breaks the connection. Only the position of the next one matters.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._read()
                self.stop.wait(0.1)
        except Exception as e:
            self.ledger.violation(f"the follower ended by {type(e).__name__}: {e}")

    def _read(self):
        connection = self.node.connection(timeout=3)
        try:
            connection.request("GET", "/api/v1/events", headers={"Accept": "text/event-stream", "X-API-Key": self.node.key,
                                                                 "Last-Event-ID": str(self.last)})
            answer, number = connection.getresponse(), None
            if answer.status != 200:
                if answer.status != 503 and not self.deaf():
                    self.ledger.violation(f"the event stream was answered {answer.status} {answer.read()[:300]!r}")
                return
            self.ledger.count("event streams")
            for line in answer:
                if self.stop.is_set():
                    return
                name, _, value = line.decode().rstrip("\r\n").partition(":")
                if name == "id":
                    number = int(value)
                elif name == "event" and value.strip() == "reset":
                    self.ledger.violation(f"the event stream could not go on from {self.last}")
                elif not name and number is not None and not value:
                    self._event(number)
                    number = None
        finally:
            connection.close()

    def _event(self, number):
        if number != self.last + 1:
            self.ledger.violation(f"event {number} was sent after {self.last}")
        self.last = number
        self.ledger.count("events followed")


# ---------------------------------------------------------------------- once all is quiet

def quiet(node, ledger, faults, unlock=None, seconds=90):
    """Wait until all operations have ended; then the database, the host, the statuses and all acknowledgements must agree.
    @faults: kinds of fault that may fail an operation.
    @unlock is called when operations do not end soon, and they get their time once more.

    90 s: each of twelve CVMs may have two operations queued that wait 10 s for a guest that ignores its power button, and all
    guests are emulated on two CPUs."""
    def live():
        return node.rows("select id, kind, state, step, cvm_name, undoing from operations where state in ('queued', 'running')")
    for last in (unlock is None, True)[unlock is None:]:
        try:
            until(lambda: f"operations are over: {live()}", lambda: not live(), seconds if last else 25, every=0.2)
            break
        except Late as e:
            if last:
                return ledger.violation(f"{e}\n{node.log_tail(12)}")
            unlock()
    problems = []

    def balanced():
        problems[:] = inconsistencies(node) + statuses(node, ledger)
        return not problems
    try:
        until("", balanced, 20, every=0.2)
    except Late:
        ledger.violation("the node is not consistent:\n  " + "\n  ".join(problems) + f"\n  harmed: {sorted(ledger.harmed)}")
    code, output = node.check_db()
    if code:
        ledger.violation(f"--check-db: {output}")
    ended(node, ledger, faults)
    ledger.count("times all was quiet and balanced")
    return None


def statuses(node, ledger):
    """Each CVM has the status in which its last operation left it, and the API reports it."""
    bad = []
    after, last, undone = {}, {}, {}
    for uuid, kind, state, params, error in node.rows(
            "select o.cvm_uuid, o.kind, o.state, o.params, o.error from events e join operations o on o.id = e.op_id"
            " where e.type = 'operation.finished' order by e.seq"):
        last[uuid] = kind, state
        words = ends(kind, state, bool(json.loads(params or "{}").get("stopped")))
        after[uuid] = after.get(uuid, FINAL) if words == SAME else words
        # A stop that overtakes a create leaves a stopped CVM.
        if kind == "create" and state != "succeeded" and "overtaken by stop" not in error:
            undone[uuid] = state
    ups = {}
    for uuid, seq in node.rows("select cvm_uuid, seq from events where type = 'cvm.observed' and"
                               " json_extract(data, '$.observed') = 'running'"):
        ups.setdefault(uuid, []).append(seq)
    for uuid, (kind, state) in last.items():
        allowed = after[uuid]
        # Operations queued behind a create that was undone do nothing. A cancelled create leaves no CVM.
        if uuid in undone:
            allowed = GONE if undone[uuid] == "cancelled" else allowed | GONE
        # The harm concerns one boot; the event that this boot runs may be recorded after it.
        when = ledger.harmed.get(uuid)
        if when is not None and len([seq for seq in ups.get(uuid, ()) if seq > when]) <= 1:
            allowed = harmed(allowed)
        answer = node.get(f"/cvms/{uuid}", version=25)
        word = "gone" if answer.status == 404 else answer.json.get("status", f"?{answer.status}")
        if word not in allowed:
            bad.append(f"{uuid} is {word}; after {kind} {state} it should be one of {sorted(allowed)}")
        elif word not in FINAL and word != "gone":
            bad.append(f"{uuid} is {word} although nothing is under way")
    return bad


def family(kind):
    """The daemon calls a change resize or upgrade depending on the fields that differ; here both are "change"."""
    return "change" if kind in ("resize", "upgrade") else kind


def ended(node, ledger, faults):
    """Check that each operation was requested, and that each failure is explained by a fault."""
    rows = node.rows("select id, kind, state, error, cvm_uuid, caller from operations")
    for name in [n for n in ledger.counts if n.startswith(("operations: ", "failed: "))]:
        del ledger.counts[name]
    done = {}
    for op, kind, state, error, uuid, caller in rows:
        ledger.count(f"operations: {kind} {state}")
        if caller.startswith("teepod:"):
            ledger.count("operations: by the node itself")
        else:
            done[uuid, family(kind)] = done.get((uuid, family(kind)), 0) + 1
        if state == "failed":
            ledger.count(f"failed: {kind}: {json.loads(error or '{}').get('text', '')[:70]}")
        # The error texts for a full disk, a missing libvirtd or a dead guest come from libvirt and QEMU and vary; a person can
        # judge them by the counts above. Without such a fault only the named failures are allowed.
        excused = faults or kind in VERBS and any(text in error for text in VERBS[kind].may_fail)
        if state == "failed" and not excused:
            ledger.violation(f"{kind} {op} failed without a fault to explain it: {error}")
    # A change that is undone starts the old CVM again by a separate operation.
    back = collections.Counter(uuid for _, kind, state, _, uuid, _ in rows if family(kind) == "change" and state != "succeeded")
    requested = collections.Counter()
    with ledger.lock:
        for (uuid, kind), n in ledger.requested.items():
            requested[uuid, family(kind)] += n
    for (uuid, kind), n in done.items():
        most = requested[uuid, kind] + (back[uuid] if kind == "start" else 0)
        if kind != "create" and n > most:
            ledger.violation(f"{uuid}: {n} operations {kind}, {most} were requested")
