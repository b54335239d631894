# SPDX-License-Identifier: Apache-2.0
"""Logs that are large, locked, rotated or read by many clients: no other request waits, and no line is lost."""

import contextlib
import fcntl
import http.client
import multiprocessing
import re
import selectors
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

from node import PREFIX, until

READ_MAX_S = 15  # limit of a job that reads


def serial(node, cvm):
    return node.dir / "cvms" / cvm.uuid / "logs" / "serial.log"


def written_before(node):
    """A CVM that has a log and no running QEMU."""
    cvm = node.create()
    until("boot", lambda: "BOOTSECTOR-READY" in cvm.log())
    cvm.do("stop")
    return cvm


def streams(node):
    return int(node.api("GET", "/metrics", prefix="").text.split("\nteepod_streams ")[1].split("\n")[0])


def say(path, text):
    """Append as QEMU does: without a lock, even during a rotation."""
    with open(path, "a") as log:
        log.write(text)


@contextlib.contextmanager
def locked(path):
    with open(path) as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(log, fcntl.LOCK_UN)     # a child process may have the file open too


def make_large(path, mib=200):
    line = b"what a guest says that has a lot to say, and says it again and again and again\n"
    block = (line * (2 ** 20 // len(line) + 1))[:2 ** 20 - 1] + b"\n"
    with open(path, "ab") as log:
        for _ in range(mib):
            log.write(block)


class Reader:
    """A client that reads one log in a thread."""

    def __init__(self, node, cvm, query, key="own", accept=None, path="/logs?"):
        self.text, self.times, self.ended = "", [], False
        self.connection = node.connection(timeout=60)
        headers = {"X-API-Key": node.key if key == "own" else key} if key else {}
        if accept:
            headers["Accept"] = accept
        self.connection.request("GET", f"{PREFIX}/cvms/{cvm.uuid}{path}{query}" if cvm else PREFIX + path, headers=headers)
        self.socket = self.connection.sock
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.answer = None
        self.thread.start()

    def _read(self):
        try:
            self.answer = self.connection.getresponse()
            while piece := self.answer.read1(65536):
                self.text += piece.decode(errors="replace")
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.ended = True

    @property
    def status(self):
        until("the head of an answer", lambda: self.answer or self.ended, READ_MAX_S + 15)
        return self.answer.status

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.connection.close()


@contextlib.contextmanager
def reading(*args, **how):
    reader = Reader(*args, **how)
    try:
        yield reader
    finally:
        reader.close()


# ---------------------------------------------------------------------- the loop does not wait

def _crowd(where, request, clients, rounds, done):
    """Runs in a process of its own: @clients connections read the same answer, @rounds times each."""
    chosen = selectors.DefaultSelector()

    def connect(left):
        s = socket.create_connection(where)
        s.sendall(request)
        s.setblocking(False)
        chosen.register(s, selectors.EVENT_READ, [left, 0, b""])
    for _ in range(clients):
        connect(rounds)
    while chosen.get_map():
        for key, _ in chosen.select():
            piece = key.fileobj.recv(2 ** 20)
            key.data[1] += len(piece)
            key.data[2] = (key.data[2] + piece)[-5:]
            if piece:
                continue
            chosen.unregister(key.fileobj)
            key.fileobj.close()
            done.put((key.data[1], key.data[2]))
            if key.data[0] > 1:
                connect(key.data[0] - 1)


@contextlib.contextmanager
def crowd(node, path, clients, rounds=1):
    """Yields a function that returns (size, last bytes) of each answer that is complete."""
    where = urlsplit(node.url)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\nConnection: close\r\n\r\n".encode()
    done, got = multiprocessing.Queue(), []
    process = multiprocessing.Process(target=_crowd, args=((where.hostname, where.port), request, clients, rounds, done), daemon=True)
    process.start()

    def answers():
        while not done.empty():
            got.append(done.get())
        return got
    try:
        yield answers
    finally:
        process.kill()
        process.join()


def health(node, seconds=None, count=None):
    """Sorted times of GET /healthz in milliseconds, one request every 10 ms."""
    taken, end = [], seconds and time.monotonic() + seconds
    while (not end or time.monotonic() < end) and (not count or len(taken) < count):
        taken.append(node.api("GET", "/healthz", prefix="", key=None).ok().seconds * 1000)
        time.sleep(0.01)
    return sorted(taken)


def fast(taken):
    p99, longest = taken[len(taken) * 99 // 100], taken[-1]
    assert p99 < 100 and longest < 100, f"{len(taken)} requests: p99 {p99:.1f} ms, max {longest:.1f} ms"


def test_twenty_readers_of_a_large_log_delay_no_other_request(spawn):
    node = spawn(options={"logs.serial_max_bytes": 0})
    cvm = written_before(node)
    make_large(serial(node, cvm))
    rounds, taken = 12, []
    with crowd(node, f"{PREFIX}/cvms/{cvm.uuid}/logs?tail=1000000", 20, rounds) as answers:
        while len(answers()) < 20 * rounds:
            taken += health(node, count=5)
    assert all(size > 8 * 2 ** 20 and end == b"0\r\n\r\n" for size, end in answers())
    fast(sorted(taken))


def test_a_foreign_lock_of_a_log_delays_no_other_request(node):
    cvm = written_before(node)
    with contextlib.ExitStack() as lock:
        lock.enter_context(locked(serial(node, cvm)))
        with crowd(node, f"{PREFIX}/cvms/{cvm.uuid}/logs?tail=100", 20) as answers:
            taken = health(node, seconds=10)
            assert not answers(), "nothing is read without the lock"
            lock.close()
            until("all have their answers", lambda: len(answers()) == 20, 5)
    assert {end for _, end in answers()} == {b"0\r\n\r\n"}
    fast(taken)


def test_sigterm_ends_the_daemon_while_logs_are_being_read(spawn):
    node = spawn(options={"api.drain_seconds": 5})
    cvm = written_before(node)
    with locked(serial(node, cvm)), reading(node, cvm, "tail=100") as first, reading(node, cvm, "tail=100") as second:
        until("both are being read", lambda: streams(node) == 2)
        began = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(20) == 0
        assert time.monotonic() - began < 5
        assert (first.status, second.status) == (503, 503)


def test_a_read_that_takes_too_long_ends_with_an_error_or_with_a_line_that_says_so(node):
    cvm = written_before(node)
    with reading(node, cvm, "follow&tail=1") as follower:
        assert follower.status == 200
        say(serial(node, cvm), "first\n")
        until("the line", lambda: follower.text.endswith("first\n"))
        with locked(serial(node, cvm)), reading(node, cvm, "tail=1") as late:
            with open(serial(node, cvm), "a") as log:
                log.write("second\n")
            assert late.status == 504 and "locked by another process" in until("the error", lambda: late.ended and late.text)
            until("the end", lambda: follower.ended, 5)
    assert follower.text.endswith("first\n\n===== teepod: the log is not complete: the log is locked by another process =====\n")


# ---------------------------------------------------------------------- followers

def test_a_follower_receives_a_line_when_it_is_written(node):
    """Nothing is committed meanwhile, so only the file can tell that the log has grown."""
    cvm = written_before(node)
    with reading(node, cvm, "follow&tail=0") as follower:
        assert follower.status == 200
        took = []
        for n in range(8):
            began = time.monotonic()
            say(serial(node, cvm), f"line {n}\n")
            until("the line", lambda n=n: follower.text.endswith(f"line {n}\n"), 5, every=0.002)
            took.append(time.monotonic() - began)
    assert sorted(took)[4] < 0.2, took


def test_followers_lose_and_repeat_nothing_over_rotations(spawn):
    size, rotations = 64 * 1024, 6
    node = spawn(options={"logs.serial_max_bytes": size, "logs.check_seconds": 1, "logs.serial_backups": rotations})
    cvm = node.create()
    until("boot", lambda: "BOOTSECTOR-READY" in cvm.log())
    path, sent = serial(node, cvm), 0

    def more():
        nonlocal sent
        block = "".join(f"line {n} of what the guest says\n" for n in range(sent, sent + 20))
        say(path, block)
        sent += 20
        return len(block)
    with contextlib.ExitStack() as all_of_them:
        followers = [all_of_them.enter_context(reading(node, cvm, "follow&tail=0")) for _ in range(10)]
        assert {f.status for f in followers} == {200}
        # a segment between once and twice the bound, so that nothing of it is dropped
        for n in range(1, rotations + 1):
            written = 0
            while written < size:
                written += more()
            until(f"rotation {n}", lambda n=n: (path.parent / f"serial.1.{n}.log").exists())
        more()
        last = f"line {sent - 1} of what the guest says\n"
        until("all have heard all", lambda: all(f.text.endswith(last) for f in followers))
    for f in followers:
        lines = [line for line in f.text.splitlines() if line.startswith("line ")]
        assert lines == [f"line {n} of what the guest says" for n in range(sent)]


def test_a_client_that_does_not_read_learns_how_much_it_missed(spawn):
    """The guest writes more than the sockets and the daemon buffer for the client, and more than the log keeps."""
    node = spawn(options={"logs.serial_max_bytes": 64 * 1024, "logs.check_seconds": 1, "logs.serial_backups": 1})
    cvm = node.create()
    until("boot", lambda: "BOOTSECTOR-READY" in cvm.log())
    path, where = serial(node, cvm), urlsplit(node.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect((where.hostname, where.port))
        client.sendall(f"GET {PREFIX}/cvms/{cvm.uuid}/logs?follow&tail=0 HTTP/1.0\r\nX-API-Key: {node.key}\r\n\r\n".encode())
        got = client.recv(4096)
        assert got.startswith(b"HTTP/1.1 200"), got
        sent = "".join(f"line {n:07d} of what the guest says\n" for n in range(500_000))
        for at in range(0, len(sent), 2 ** 20):
            say(path, sent[at:at + 2 ** 20])
        size = len(sent)
        until("a rotation of all of it", lambda: path.stat().st_size < size)
        say(path, "the end\n")
        while not got.endswith(b"the end\n"):
            piece = client.recv(2 ** 20)
            assert piece, got[-300:]
            got += piece
    got = got.split(b"\r\n\r\n", 1)[1].decode()
    parts = re.split(r"\n?===== teepod: (\d+) bytes skipped: this part of the log was removed before it could be read =====\n", got)
    assert len(parts) > 1, "the log goes on without a line that says what is missing"
    sent, at = sent + "the end\n", 0
    for text, skipped in zip(parts[::2], [*map(int, parts[1::2]), 0]):
        # Before a marker the daemon ends an unfinished line.
        assert sent[at:at + len(text)] == text, (at, text[:200])
        at += len(text) + skipped
    assert at == len(sent)


# ---------------------------------------------------------------------- how many

def opened(node, path, key, held, expected=200):
    """Open a stream, check the status of its answer and return it."""
    where = urlsplit(node.url)
    s = socket.create_connection((where.hostname, where.port), timeout=10)
    held.append(s)
    credential = f"X-API-Key: {key}\r\n" if key else ""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{credential}Accept: text/event-stream\r\n\r\n".encode())
    got = s.recv(4096)
    assert got.startswith(f"HTTP/1.1 {expected}".encode()), got
    return got.decode(errors="replace")


def test_streams_of_all_kinds_are_bounded_by_caller_and_in_total_and_given_back(spawn):
    node = spawn(options={"api.max_streams": 7, "api.max_streams_per_caller": 3})
    cvm = written_before(node)
    link = cvm.get(25)["syslog_endpoint"]
    link = link[link.index(PREFIX):] + "&follow"
    kinds = [f"{PREFIX}/events", f"{PREFIX}/cvms/{cvm.uuid}/state", f"{PREFIX}/cvms/{cvm.uuid}/logs?follow"]
    reader = node.post("/tokens", json={"name": "r", "role": "reader"}).ok()["token"]
    other = node.post("/tokens", json={"name": "o", "role": "reader"}).ok()["token"]
    held, refused = [], []
    try:
        for path in kinds:
            opened(node, path, node.key, held)
        for path in kinds:
            got = opened(node, path, node.key, refused, 429)
            assert "3 streams of this caller are open" in got and "api.max_streams_per_caller" in got, got
            assert "Retry-After: " in got
        for _ in range(3):
            opened(node, link, None, held)
        assert "3 streams by this link are open" in opened(node, link, None, refused, 429)
        assert "3 streams by this link are open" in opened(node, link, other, refused, 429), "a key opens no more of them"
        opened(node, kinds[0], reader, held)
        for path in kinds:
            got = opened(node, path, other, refused, 429)
            assert "7 streams of all callers are open" in got and "api.max_streams" in got, got
        assert streams(node) == 7
        held.pop(0).close()
        until("a place is free", lambda: streams(node) == 6)
        opened(node, kinds[2], other, held)
        held.pop(3).close()
        until("another place is free", lambda: streams(node) == 6)
        opened(node, link, None, held)
    finally:
        for s in held + refused:
            s.close()
    until("all are given back", lambda: streams(node) == 0)
    assert node.get("/events").status == 200, "a page is no stream"


def waiting(node, op, key):
    """A connection on which a request waits for operation @op."""
    where = urlsplit(node.url)
    s = socket.create_connection((where.hostname, where.port), timeout=0.5)
    s.sendall(f"GET {PREFIX}/operations/{op}?wait=60 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode())
    return s


def received(s):
    try:
        return s.recv(4096).decode(errors="replace")
    except TimeoutError:
        return ""


def test_requests_that_wait_are_bounded_by_caller(spawn):
    """The guest ignores its power button, so the shutdown takes its whole timeout."""
    node = spawn()
    cvm = node.create()
    op = cvm.request("shutdown", timeout=60).ok().headers["x-operation-id"]
    other = node.post("/tokens", json={"name": "o", "role": "reader"}).ok()["token"]
    held = [waiting(node, op, node.key) for _ in range(64)]    # as api.max_streams_per_caller is by default
    try:
        assert received(held[-1]) == ""
        with waiting(node, op, node.key) as s:
            got = received(s)
        assert got.startswith("HTTP/1.1 429") and "Retry-After: " in got and "64 waiting requests of this caller" in got, got
        assert node.get(f"/operations/{op}").status == 200, "not waiting is no waiting"
        with waiting(node, op, other) as s:
            assert received(s) == "", "another caller waits"
        with reading(node, cvm, "follow"):
            until("it is a stream", lambda: streams(node) == 1)
        held.pop().close()

        def taken():
            held.append(waiting(node, op, node.key))
            return received(held[-1]) == ""
        until("a place is free again", taken)
    finally:
        for s in held:
            s.close()
    cvm.request("stop").ok()


def test_many_keys_of_one_workspace_leave_streams_to_others(spawn):
    node = spawn()
    for slug in ("one", "two"):
        node.post("/workspaces", json={"slug": slug}).ok()

    def key(slug):
        return node.post("/tokens", json={"name": "k", "role": "tenant", "workspace": slug}).ok()["token"]
    held, refused = [], []
    try:
        for tenant in [key("one") for _ in range(19)]:    # 342 is two thirds of 512, the default of api.max_streams
            for _ in range(18):
                opened(node, f"{PREFIX}/events", tenant, held)
        got = opened(node, f"{PREFIX}/events", key("one"), refused, 429)
        assert "342 streams of this workspace are open" in got and "Retry-After: " in got, got
        opened(node, f"{PREFIX}/events", key("two"), held)
        opened(node, f"{PREFIX}/events", node.key, held)
    finally:
        for s in held + refused:
            s.close()


def test_a_log_that_is_not_followed_is_a_stream_until_it_is_sent(spawn):
    node = spawn(options={"api.max_streams_per_caller": 1})
    cvm = written_before(node)
    for _ in range(20):
        assert "BOOTSECTOR-READY" in cvm.log()
    with locked(serial(node, cvm)), reading(node, cvm, "tail=1") as first:
        until("it is being read", lambda: streams(node) == 1)
        assert node.get(f"/cvms/{cvm.uuid}/logs").status == 429
        assert not first.ended
