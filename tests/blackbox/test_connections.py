# SPDX-License-Identifier: Apache-2.0
"""Connections as attackers use them: many, silent, unread, cut off, and with bytes behind the end of a request."""

import json
import os
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from node import until


def connect(node, timeout=10):
    where = urlsplit(node.url)
    return socket.create_connection((where.hostname, where.port), timeout=timeout)


def head(node, method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"X-API-Key: {node.key}", *lines, "", ""]).encode()


def open_files(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def rss_kib(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.mark.parametrize("soft, hard, served", [(1024, 16384, 1000), (1024, 1024, 384)])
def test_silent_connections_leave_descriptors_for_the_work(spawn, soft, hard, served):
    """Anyone may open a connection: without a key that must not be able to stop CVMs from starting."""
    node = spawn(start=False)
    plain = node.command
    node.command = lambda: ["prlimit", f"--nofile={soft}:{hard}", *plain()]
    node.start()
    first = node.connection()
    first.connect()
    held = []
    try:
        for _ in range(1010):
            held.append(connect(node))
        time.sleep(0.3)
        assert served - 60 <= open_files(node) < min(hard, 1200)
        first.request("POST", "/api/v1/cvms", json.dumps(node.ask()), {"X-API-Key": node.key})
        made = json.loads(first.getresponse().read())
        first.request("GET", f"/api/v1/operations/{made['operation_id']}?wait=30", headers={"X-API-Key": node.key})
        assert json.loads(first.getresponse().read())["state"] == "succeeded"
    finally:
        for s in held:
            s.close()
        first.close()
    until("it serves again", lambda: node.get("/node").status == 200)


def test_requests_whose_answers_nobody_reads_cost_no_memory(node):
    before = rss_kib(node)
    with connect(node, timeout=1) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(TimeoutError):
            for _ in range(20000):
                s.sendall(head(node, "GET", "/api/v1/node") * 50)
        assert node.get("/node").seconds < 2
        assert rss_kib(node) - before < 8192


def test_cut_off_clients_leave_nothing(node):
    files = open_files(node)
    for n in range(500):
        with connect(node) as s:
            s.sendall(head(node, "POST", "/api/v1/preflight", "Content-Length: 1000000") + b"x" * (n * 97 % 40000))
            if n % 2:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until("all are closed", lambda: open_files(node) <= files + 2)


def test_a_body_nobody_asked_for_is_never_taken_for_a_request(node):
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for path in ("/api/v1/nowhere", "/api/v1/cvms/x/start"):
        got = node.raw(head(node, "POST", path, f"Content-Length: {len(hidden)}") + hidden + last)
        assert b'"status":"ok"' not in got and got.count(b"X-Request-Id:") == 2 and b'"status":"ready"' in got, got
    got = node.raw(head(node, "GET", "/healthz", f"Content-Length: {len(hidden)}") + hidden + last)
    assert got.startswith(b"HTTP/1.1 413") and got.count(b"X-Request-Id:") == 1, got


@pytest.mark.parametrize("size, status", [(1024 * 1024 - 1, 200), (1024 * 1024, 200), (1024 * 1024 + 1, 413)])
def test_a_body_may_have_exactly_its_limit(node, size, status):
    text = json.dumps(node.ask()).encode()
    assert node.post("/preflight", data=text[:-1] + b" " * (size - len(text)) + b"}").status == status


def test_no_body_is_asked_for_when_the_head_says_enough(node):
    for extra, first in ((("Content-Length: 2",), b"100"), (("Content-Length: 9999999",), b"413")):
        with connect(node) as s:
            s.sendall(head(node, "POST", "/api/v1/preflight", "Expect: 100-continue", *extra))
            assert s.recv(4096)[9:12] == first
    with connect(node) as s:
        s.sendall(b"POST /api/v1/preflight HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
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
