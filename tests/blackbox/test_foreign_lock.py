# SPDX-License-Identifier: Apache-2.0
"""Another process holds the write lock of the database: the node answers, and changes are neither lost nor done twice.

TEEPOD_LOCK_SECONDS says for how long the lock is held (default 6).
"""

import http.client
import json
import os
import socket
import sqlite3
import threading
import time

import pytest

from node import PREFIX, assert_consistent

LOCK_SECONDS = float(os.environ.get("TEEPOD_LOCK_SECONDS", "6"))
READ_SECONDS = 0.1      # a read, and /healthz
ANSWER_SECONDS = 3      # a change: tried again for 2 s, then 503
WATCHDOG_SECONDS = 2


class Notify:
    """The socket of systemd; keeps the times of the watchdog's keep-alive messages."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.fed = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while True:
                if b"WATCHDOG=1" in self.socket.recv(4096):
                    self.fed.append(time.monotonic())
        except OSError:
            pass


class Lateness(threading.Thread):
    """How late this process wakes up. A loaded machine adds this to every time measured here."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.on = 0.0, True

    def run(self):
        while self.on:
            began = time.monotonic()
            time.sleep(0.005)
            self.most = max(self.most, time.monotonic() - began - 0.005)


class ForeignWriter:
    """This process holds BEGIN IMMEDIATE in the node's database."""

    def __init__(self, node):
        self.db = sqlite3.connect(node.database(), isolation_level=None, timeout=10)

    def __enter__(self):
        self.db.execute("BEGIN IMMEDIATE")
        self.began = time.monotonic()
        return self

    def over(self):
        return time.monotonic() - self.began >= LOCK_SECONDS

    def __exit__(self, *_):
        self.db.execute("ROLLBACK")
        self.db.close()


def read_all(node, cvm, seconds, statuses):
    """Requests that must not wait for the lock."""
    for path, prefix in (("/healthz", ""), (f"/cvms/{cvm.uuid}", PREFIX), ("/node", PREFIX), ("/operations", PREFIX), ("/apps", PREFIX)):
        answer = node.api("GET", path, prefix=prefix)
        seconds.append((answer.seconds, path))
        statuses.add((path, answer.status))


def change_all(node, cvm, n, answers):
    """Send one change of each kind, each with its own idempotency key, and keep the answers."""
    def note(what, answer):
        answers.append((what, answer.status, answer.seconds, answer.headers.get("retry-after")))
    body = node.create_body(name=f"locked-{n}", stopped=True)
    note("create", node.post("/cvms", json=body, headers={"Idempotency-Key": f"lock-{n}"}))
    note("stop", node.post(f"/cvms/{cvm.uuid}/stop", headers={"Idempotency-Key": f"stop-{n}"}))
    note("image", node.api("DELETE", "/images/not-there"))
    return body


def test_a_foreign_writer_holds_up_no_read_and_no_watchdog_and_changes_are_refused_or_done_once(spawn):
    node = spawn(start=False)
    notify = Notify(str(node.dir / "notify"))
    node.start(NOTIFY_SOCKET=str(node.dir / "notify"), WATCHDOG_USEC=str(WATCHDOG_SECONDS * 1000000))
    idle, runs = node.create(stopped=True), node.create()
    pids = runs.pids()
    under_way = node.create(wait=False)
    reads, statuses, answers, bodies = [], set(), [], []
    lateness = Lateness()
    lateness.start()
    with ForeignWriter(node) as lock:
        locked_at = time.monotonic()
        assert node.live_operations(under_way.uuid), "the start was to be under way when the lock came"

        def change():
            while not lock.over():
                bodies.append(change_all(node, idle, len(bodies), answers))
        writer = threading.Thread(target=change)
        writer.start()
        while writer.is_alive():
            read_all(node, runs, reads, statuses)
            time.sleep(0.02)
        assert lock.over()
        assert runs.pids() == pids and runs.status == "running"
    released_at = time.monotonic()
    lateness.on = False

    slowest = max(reads)
    assert slowest[0] < READ_SECONDS + lateness.most, (slowest, lateness.most, sorted(reads)[-10:])
    assert {status for _, status in statuses} == {200}, statuses
    fed = [locked_at] + [at for at in notify.fed if locked_at < at < released_at] + [released_at]
    assert max(b - a for a, b in zip(fed, fed[1:])) <= WATCHDOG_SECONDS, [at - locked_at for at in fed]
    assert answers and len(reads) > 100
    for what, status, seconds, retry_after in answers:
        assert status == 503, answers
        assert int(retry_after) >= 1 and seconds < ANSWER_SECONDS + lateness.most, (what, seconds, retry_after)

    # The client retries with the same key: each create is done exactly once.
    for n, body in enumerate(bodies):
        for _ in range(2):
            node.post("/cvms", json=body, headers={"Idempotency-Key": f"lock-{n}"}).ok()
    names = [row[0] for row in node.rows("select name from cvms where name like 'locked-%' order by name")]
    assert names == sorted(body["name"] for body in bodies)
    node.settled()
    under_way.becomes("running")
    assert_consistent(node)


def send(node, path, **body):
    """Send a change and do not wait for its answer."""
    connection = node.connection()
    connection.request("POST", PREFIX + path, body=json.dumps(body).encode(),
                       headers={"X-API-Key": node.key, "Content-Type": "application/json"})
    return connection


def test_changes_that_wait_for_a_short_lock_succeed(spawn):
    node = spawn()
    with ForeignWriter(node):
        waiting = [send(node, "/cvms", **node.create_body(name=f"waits-{n}", stopped=True)) for n in range(20)]
        gone = send(node, "/cvms", **node.create_body(name="gone", stopped=True))
        node.get("/node").ok()      # sent after them: the daemon has read them too
        gone.close()
        node.get("/node").ok()
        assert not node.uuids()
    assert {connection.getresponse().status for connection in waiting} == {200}
    names = {row[0] for row in node.rows("select name from cvms")}
    assert names - {"gone"} == {f"waits-{n}" for n in range(20)}
    # The create of the client that left was done once or not at all, and has an operation if it was done.
    cvms, operations = (node.rows(f"select count(*) from {table} where {column} = 'gone'")[0][0]
                        for table, column in (("cvms", "name"), ("operations", "cvm_name")))
    assert (cvms, operations) in ((0, 0), (1, 1))
    assert_consistent(node)


@pytest.mark.parametrize("drain_seconds", [30, 1])
def test_a_stop_of_the_daemon_refuses_changes_that_wait_for_the_lock(spawn, drain_seconds):
    """With 1 s the daemon closes the connection before the 2 s of the change are over, and then ends."""
    node = spawn(options={"api.drain_seconds": drain_seconds})
    with ForeignWriter(node):
        waiting = send(node, "/cvms", **node.create_body(stopped=True))
        node.get("/node").ok()
        assert node.stop() == 0
    if drain_seconds > ANSWER_SECONDS:
        answer = waiting.getresponse()
        assert answer.status == 503 and answer.getheader("Retry-After")
    else:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            waiting.getresponse()
    node.start()
    assert not node.uuids()
    assert_consistent(node)
