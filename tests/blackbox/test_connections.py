# SPDX-License-Identifier: Apache-2.0
"""Hostile connections: many, silent, never read, cut off, and with bytes after the end of a request."""

import http.client
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from node import until
from test_loop_lag import metric
from test_tls import over_unix, pki, tls_options  # noqa: F401 (pki is a fixture)


def connect(node, timeout=10, source=None):
    where = urlsplit(node.url)
    return socket.create_connection((where.hostname, where.port), timeout=timeout, source_address=source and (source, 0))


def head(node, method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", f"X-API-Key: {node.key}", *lines, "", ""]).encode()


def open_files(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def rss_kib(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.mark.parametrize("soft, hard, places", [(1024, 16384, 1000), (1024, 1024, 384)])
def test_silent_connections_leave_descriptors_for_the_work(spawn, soft, hard, places):
    """Connections without a key must not use up the descriptors that starts of CVMs need."""
    node = spawn(start=False)
    plain = node.command
    node.command = lambda: ["prlimit", f"--nofile={soft}:{hard}", *plain()]
    node.start()
    first = node.connection()
    first.request("GET", "/api/v1/node", headers={"X-API-Key": node.key})    # a connection without a key is closed first
    assert first.getresponse().read()
    held = []
    try:
        for _ in range(1010):
            held.append(connect(node))
        until("the connections are accepted", lambda: open_files(node) >= places - 60)
        assert open_files(node) < min(hard, 1200)
        first.request("POST", "/api/v1/cvms", json.dumps(node.create_body()), {"X-API-Key": node.key})
        made = json.loads(first.getresponse().read())
        first.request("GET", f"/api/v1/operations/{made['operation_id']}?wait=30", headers={"X-API-Key": node.key})
        assert json.loads(first.getresponse().read())["state"] == "succeeded"
    finally:
        for s in held:
            s.close()
        first.close()
    # A new connection is refused while all places are those of connections that are too new to be closed.
    until("it serves again", lambda: served(node))


def test_unread_answers_use_no_memory(node):
    before = rss_kib(node)
    with connect(node, timeout=1) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(TimeoutError):
            for _ in range(20000):
                s.sendall(head(node, "GET", "/api/v1/node") * 50)
        assert node.get("/node").seconds < 2
        assert rss_kib(node) - before < 8192


def test_requests_without_a_key_cost_less_memory(node):
    """A connection without a key holds at most 16 KiB of unread answers and 16 KiB of later requests."""
    before, held = rss_kib(node), [connect(node) for _ in range(64)]
    text = b"GET /api/v1/node HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000
    for s in held:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.setblocking(False)
    for _ in range(25):
        time.sleep(0.1)
        if not sum(some_sent(s, text) for s in held):
            break
    assert node.get("/node").seconds < 2
    assert rss_kib(node) - before < 64 * 64
    for s in held:
        s.close()


def some_sent(s, text):
    try:
        return s.send(text) > 0
    except BlockingIOError:
        return False


def test_cut_off_clients_leave_nothing(node):
    files = open_files(node)
    for n in range(500):
        with connect(node) as s:
            s.sendall(head(node, "POST", "/api/v1/preflight", "Content-Length: 1000000") + b"x" * (n * 97 % 40000))
            if n % 2:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until("all are closed", lambda: open_files(node) <= files + 2)


def test_an_unexpected_body_is_not_parsed_as_a_request(node):
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for path in ("/api/v1/nowhere", "/api/v1/cvms/x/start"):
        got = node.raw(head(node, "POST", path, f"Content-Length: {len(hidden)}") + hidden + last)
        assert b'"status":"ok"' not in got and got.count(b"X-Request-Id:") == 2 and b'"status":"ready"' in got, got
    got = node.raw(head(node, "GET", "/healthz", f"Content-Length: {len(hidden)}") + hidden + last)
    assert got.startswith(b"HTTP/1.1 413") and got.count(b"X-Request-Id:") == 1, got


@pytest.mark.parametrize("size, status", [(1024 * 1024 - 1, 200), (1024 * 1024, 200), (1024 * 1024 + 1, 413)])
def test_a_body_may_have_exactly_its_limit(node, size, status):
    text = json.dumps(node.create_body()).encode()
    assert node.post("/preflight", data=text[:-1] + b" " * (size - len(text)) + b"}").status == status


def test_no_100_continue_is_sent_when_the_head_is_refused(node):
    for extra, first in ((("Content-Length: 2",), b"100"), (("Content-Length: 9999999",), b"413")):
        with connect(node) as s:
            s.sendall(head(node, "POST", "/api/v1/preflight", "Expect: 100-continue", *extra))
            assert s.recv(4096)[9:12] == first
    with connect(node) as s:
        s.sendall(b"POST /api/v1/preflight HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert s.recv(4096)[9:12] == b"401"


@pytest.mark.parametrize("started", [False, True])
def test_a_followed_log_ends_with_its_cvm(node, started):
    cvm = node.create(stopped=not started)
    with connect(node) as s:
        s.sendall(head(node, "GET", f"/api/v1/cvms/{cvm.uuid}/logs?follow=1", "Connection: close"))
        cvm.delete()
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"0\r\n\r\n")


# ------------------------------------------------------------------ places

def served(node, **more):
    """True if a new connection is accepted and a request with the key is answered on it."""
    try:
        return node.get("/node", **more).status == 200
    except (OSError, http.client.HTTPException):
        return False


def filled(node, n, path, *lines):
    """Open @n connections, which is the limit; on each a request was answered or is being answered."""
    return filled_by(node, n, head(node, "GET", path, *lines), b"HTTP/1.1 200")


def filled_by(node, n, text, answer):
    held = []

    def one_more():
        try:
            s = connect(node)
            s.sendall(text)
            if s.recv(65536).startswith(answer):
                held.append(s)
        except OSError:
            pass    # refused while a connection from the start is still being closed
        return len(held) == n
    until("all places are taken", one_more, 10)
    return held


def unix_node(spawn, **options):
    node = spawn(start=False, options=options)
    node.listen = ("127.0.0.1:0", f"unix:{node.dir / 's'}")
    node.options["api.unix_admin_uids"] = os.getuid()
    return node.start()


def closed(s):
    s.settimeout(0.2)
    try:
        return s.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("text", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                  b"GET /api/v1/node HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20], ids=["health", "many"])
def test_busy_connections_without_a_key_do_not_block_other_clients(spawn, text):
    """A connection without a key can be closed at once to make room, even if a request was just answered on it."""
    node = spawn(options={"api.max_connections_per_address": 40})
    held, over = filled_by(node, 40, text, b"HTTP/1.1 "), threading.Event()

    def send_all():
        for i, s in enumerate(held):
            try:
                s.setblocking(False)
                s.sendall(text)
                s.recv(65536)
            except BlockingIOError:
                pass
            except OSError:
                s.close()
                held[i] = connect(node)

    def send_repeatedly():
        while not over.wait(0.1):
            send_all()
    sender = threading.Thread(target=send_repeatedly)
    sender.start()
    try:
        answers = [served(node) for _ in range(20) if time.sleep(0.1) is None]
        assert all(answers), answers
        assert metric(node, "teepod_http_connections_evicted_total") >= 1
    finally:
        over.set()
        sender.join()
        for s in held:
            s.close()


@pytest.mark.parametrize("addresses", [1, 6])
def test_idle_connections_without_a_key_do_not_block_other_clients(spawn, addresses):
    """Up to the limit of one address, and from many addresses up to the limit of all."""
    node = unix_node(spawn, **{"api.max_connections": 240, "api.max_connections_per_address": 40})
    kept = node.connection()
    kept.request("GET", "/api/v1/node", headers={"X-API-Key": node.key})
    assert kept.getresponse().read()
    held = [connect(node, source=f"127.0.0.{1 + n // 40}") for n in range(40 * addresses)]
    try:
        until("a client with a key is served", lambda: served(node), 5)    # before their heads are overdue
        assert over_unix(node.dir / "s", "/api/v1/node")[0] == 200
        for s in held:    # and again, after each of them has sent an incomplete request
            try:
                s.sendall(b"GET /healthz HTTP/1.1\r\n")
            except OSError:
                pass
        until("a client with a key is served", lambda: served(node), 5)    # before their heads are overdue
        kept.request("GET", "/api/v1/node", headers={"X-API-Key": node.key})
        assert kept.getresponse().status == 200, "who has shown a key is not closed for those who have not"
        assert sum(map(closed, held)) < len(held) / 2, "more were closed than places were needed"
        assert metric(node, "teepod_http_connections_evicted_total") >= 1
    finally:
        for s in held:
            s.close()


def test_idle_connections_with_a_key_make_room_too(spawn):
    node = spawn(options={"api.max_connections": 20})
    held = filled(node, 20, "/api/v1/node")
    until("a further client is served", lambda: served(node))
    assert closed(held[0]), "the longest idle one goes first"
    assert not closed(held[-1])


@pytest.mark.parametrize("with_key", [False, True])
def test_a_closed_connection_is_free_at_once(spawn, with_key):
    """Connections end and a new one begins in the same turn of the loop: the ends are no new waiting."""
    node = spawn(options={"api.max_connections": 20})
    held = filled(node, 20, "/api/v1/node") if with_key else [connect(node) for _ in range(20)]
    time.sleep(0.6)     # after that, connections can be closed for others
    node.process.send_signal(signal.SIGSTOP)
    try:
        for s in held:
            s.close()
        new = connect(node)
        new.sendall(head(node, "GET", "/api/v1/node"))
    finally:
        node.process.send_signal(signal.SIGCONT)
    with new:
        assert new.recv(4096).startswith(b"HTTP/1.1 200")


def test_root_has_connections_reserved(spawn):
    """Every connection has a request in flight, so none may be closed; only the reserve is left."""
    node = unix_node(spawn, **{"api.max_connections": 8})
    held = filled(node, 8, "/api/v1/events", "Accept: text/event-stream")
    for _ in range(5):
        assert over_unix(node.dir / "s", "/api/v1/node")[0] == 200
    assert not served(node)
    assert not any(map(closed, held))
    held[0].close()
    until("a place is free again", lambda: served(node))


# ------------------------------------------------------------------ deadlines in total

def drip(s, piece, pause, seconds):
    """Send @piece every @pause seconds until the other side closes. Return what it sent, or None if it did not close."""
    end = time.monotonic() + seconds
    got = b""
    s.settimeout(pause)
    while time.monotonic() < end:
        try:
            s.sendall(piece)
            got += (more := s.recv(65536))
            if not more:
                return got
        except TimeoutError:
            continue
        except OSError:
            return got
    return None


def test_what_trickles_has_a_deadline_in_total(spawn, pki):  # noqa: F811
    """A slow client is closed: after 10 s for a TLS handshake or a request head, after 30 s for a small body."""
    plain, tls = spawn(), spawn(start=False, options=tls_options(pki))
    tls._tls = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    tls.start()
    body = head(plain, "POST", "/api/v1/preflight", "Content-Length: 1000") + b"{"
    cases = {"head": (plain, b"GET /healthz HTTP/1.1\r\nX: ", 20), "body": (plain, body, 45),
             "head over TLS": (tls, None, 20), "handshake": (tls, b"\x16\x03\x01\x02\x00", 20)}
    found = {}

    def run(name):
        node, first, seconds = cases[name]
        s = connect(node)
        if first is None:
            s, first = tls._tls.wrap_socket(s, server_hostname="127.0.0.1"), b"GET /healthz HTTP/1.1\r\nX: "
        with s:
            s.sendall(first)
            found[name] = drip(s, b"x", 2, seconds)
    threads = [threading.Thread(target=run, args=(name,)) for name in cases]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found.keys() == cases.keys(), found
    assert None not in found.values(), found
    assert found["handshake"] == b"", "closed by the deadline, not refused with an alert"
    assert all(found[name].startswith(b"HTTP/1.1 408") for name in ("head", "body", "head over TLS")), found


# ------------------------------------------------------------------ descriptors

def cpu_seconds(pid):
    field = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(field[11]) + int(field[12])) / os.sysconf("SC_CLK_TCK")


def limit_files(node, n):
    subprocess.run(["prlimit", "--pid", str(node.process.pid), f"--nofile={n}:"], check=True)


def test_without_a_free_descriptor_the_loop_goes_on(spawn):
    """accept() fails while a client waits. New clients are served when a descriptor is free again."""
    node = spawn()
    kept = node.connection(timeout=10)

    def get_node():
        kept.request("GET", "/api/v1/node", headers={"X-API-Key": node.key})
        answer = kept.getresponse()
        return answer.read() and answer.status
    assert get_node() == 200
    limit_files(node, open_files(node) - 3)
    waiting = [connect(node) for _ in range(5)]
    until("it says so", lambda: "RLIMIT_NOFILE" in node.log_tail())
    before, began = cpu_seconds(node.process.pid), time.monotonic()
    while time.monotonic() - began < 3:
        assert get_node() == 200
        time.sleep(0.1)
    assert cpu_seconds(node.process.pid) - before < 1.5
    limit_files(node, 4096)
    until("a new client is served", lambda: served(node))
    for s in waiting:
        s.close()


def test_too_few_descriptors_are_reported_at_start(spawn):
    node = spawn(start=False)
    plain = node.command
    node.command = lambda: ["prlimit", "--nofile=1024:1024", *plain()]
    node.start()
    assert "at most 384 connections are served instead of 4096 (api.max_connections)" in node.log_tail(1000)
