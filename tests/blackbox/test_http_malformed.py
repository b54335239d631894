# SPDX-License-Identifier: Apache-2.0
"""Malformed requests: each is refused with its status in the error envelope, the connection is closed, and a clean request that
follows on the same connection is never answered (nothing can be smuggled behind a request that was refused)."""

import json
import random
import re
import socket
import struct
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="module")
def daemon(shared_node):
    """One daemon for all tests. Nothing here gets past the HTTP layer, so the books need no check."""
    if shared_node.process.poll() is not None:
        shared_node.start()
    return SimpleNamespace(port=urlsplit(shared_node.url).port, url=shared_node.url, key=shared_node.key)


CLEAN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: clean-request\r\n\r\n"


def get(*lines, target=b"/healthz", version=b"HTTP/1.1"):
    return b"GET " + target + b" " + version + b"\r\n" + b"".join(l + b"\r\n" for l in lines) + b"\r\n"


def post(*lines, body=b""):
    return b"POST /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"".join(l + b"\r\n" for l in lines) + b"\r\n" + body


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

BAD = {
    # bytes that end a line for one reader and not for another
    "bare CR in a value": (400, get(b"Host: localhost", b"X: a\rb")),
    "bare CR at the end of a value": (400, get(b"Host: localhost", b"X: a\r")),
    "bare CR hides Transfer-Encoding (CVE-2023-30589)": (400, post(b"X: \rTransfer-Encoding: chunked", body=CHUNKS)),
    "bare CR hides Content-Length": (400, post(b"X: a\rContent-Length: 70")),
    "head ends in CR LF CR X (CVE-2025-23167)": (400, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\rX\r\n\r\n"),
    "bare LF after the request line": (400, b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n"),
    "bare LF after a field": (400, b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
    "bare LF everywhere": (400, b"GET /healthz HTTP/1.1\nHost: localhost\n\n"),
    "bare LF ends the head": (400, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\n"),
    "CR in the request line": (400, b"GET /heal\rthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    # control characters
    "NUL in a value": (400, get(b"Host: localhost", b"X: a\0b")),
    "NUL in a name": (400, get(b"Host: localhost", b"X\0: a")),
    "NUL in the target": (400, get(b"Host: localhost", target=b"/healthz\0")),
    "control character in a value": (400, get(b"Host: localhost", b"X: a\x01b")),
    "DEL in a value": (400, get(b"Host: localhost", b"X: a\x7fb")),
    "control character in the method": (400, b"G\x02T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "control character in the target": (400, get(b"Host: localhost", target=b"/heal\x1bthz")),
    "tab in the request line": (400, b"GET\t/healthz\tHTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "bytes above ASCII in the target": (400, get(b"Host: localhost", target=b"/\xc3\xa4")),
    "absolute garbage": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))),
    # field grammar
    "obs-fold": (400, get(b"Host: localhost", b"X: a", b" b")),
    "obs-fold with a tab": (400, get(b"Host: localhost", b"X: a", b"\tb")),
    "folded first field": (400, get(b" Host: localhost")),
    "obs-fold extends Content-Length": (400, post(b"Content-Length: 1", b" 0", body=b"x" * 10)),
    "space before the colon": (400, get(b"Host : h")),
    "Transfer-Encoding with a space before the colon": (400, post(b"Transfer-Encoding : chunked", body=CHUNKS)),
    "Content-Length with a space before the colon": (400, post(b"Content-Length : 5", body=b"hello")),
    "empty header name": (400, get(b"Host: localhost", b": x")),
    "line without a colon": (400, get(b"Host: localhost", b"nonsense")),
    "space inside a header name": (400, get(b"Host: localhost", b"X Y: z")),
    "bracket in a header name": (400, get(b"Host: localhost", b"X(Y): z")),
    "bytes above ASCII in a header name": (400, get(b"Host: localhost", b"X\xe4: z")),
    # the request line
    "two spaces before the target": (400, b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "two spaces before the version": (400, b"GET /healthz  HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "space at the end of the request line": (400, b"GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n"),
    "space in the target": (400, b"GET /heal thz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "space before the method": (400, b" GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "no version (HTTP/0.9 request line)": (400, b"GET /healthz\r\n\r\n"),
    "HTTP/0.9": (505, get(b"Host: localhost", version=b"HTTP/0.9")),
    "HTTP/2.0": (505, get(b"Host: localhost", version=b"HTTP/2.0")),
    "HTTP/1.2": (505, get(b"Host: localhost", version=b"HTTP/1.2")),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.10": (400, get(b"Host: localhost", version=b"HTTP/1.10")),
    "lower-case version": (400, get(b"Host: localhost", version=b"http/1.1")),
    "another protocol": (400, get(b"Host: localhost", version=b"ICY/1.1")),
    "no method": (400, b"/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "lower-case method": (501, b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "unknown method": (501, b"BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "CONNECT": (501, b"CONNECT h:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "method with a bracket": (400, b"G(T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "absolute-form target": (400, get(b"Host: localhost", target=b"http://other/healthz")),
    "target without a slash": (400, get(b"Host: localhost", target=b"healthz")),
    "fragment in the target": (400, get(b"Host: localhost", target=b"/healthz#x")),
    "cut percent-escape": (400, get(b"Host: localhost", target=b"/healthz%4")),
    "percent-escape that is none": (400, get(b"Host: localhost", target=b"/healthz%zz")),
    "%00": (400, get(b"Host: localhost", target=b"/healthz%00")),
    "escaped bytes that are not UTF-8": (400, get(b"Host: localhost", target=b"/%ff%fe")),
    "bad escape in the query": (400, get(b"Host: localhost", target=b"/healthz?a=%g1")),
    "dot segments": (400, get(b"Host: localhost", target=b"/a/../healthz")),
    "escaped dot segments": (400, get(b"Host: localhost", target=b"/a/%2e%2E/healthz")),
    "over-long target": (414, get(b"Host: localhost", target=b"/" + b"a" * 20000)),
    # Host
    "no Host": (400, get(b"X: y")),
    "two Hosts": (400, get(b"Host: a", b"Host: b")),
    "two equal Hosts": (400, get(b"Host: a", b"Host: a")),
    "empty Host": (400, get(b"Host:")),
    "Host that is none": (400, get(b"Host: a/b")),
    # where the body ends
    "differing Content-Lengths": (400, post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!")),
    "equal Content-Lengths": (400, post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    "Content-Length +5": (400, post(b"Content-Length: +5", body=b"hello")),
    "Content-Length list": (400, post(b"Content-Length: 5, 5", body=b"hello")),
    "Content-Length -1": (400, post(b"Content-Length: -1")),
    "Content-Length 0x5": (400, post(b"Content-Length: 0x5", body=b"hello")),
    "Content-Length with a blank inside": (400, post(b"Content-Length: 1 0", body=b"x" * 10)),
    "Content-Length of nothing": (400, post(b"Content-Length:")),
    "Content-Length that overflows": (413, post(b"Content-Length: 18446744073709551621", body=b"hello")),
    "Content-Length with 30 digits": (413, post(b"Content-Length: " + b"9" * 30, body=b"hello")),
    "Transfer-Encoding chunked": (411, post(b"Transfer-Encoding: chunked", body=CHUNKS)),
    "Transfer-Encoding and Content-Length": (411, post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=CHUNKS)),
    "Content-Length and Transfer-Encoding": (411, post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=CHUNKS)),
    "Transfer-Encoding identity": (411, post(b"Transfer-Encoding: identity")),
    "Transfer-Encoding chunked, chunked": (411, post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS)),
    "Transfer-Encoding identity, chunked": (411, post(b"Transfer-Encoding: identity, chunked", body=CHUNKS)),
    "Transfer-Encoding xchunked": (411, post(b"Transfer-Encoding: xchunked", body=CHUNKS)),
    "two Transfer-Encodings": (411, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=CHUNKS)),
    "Transfer-Encoding in HTTP/1.0": (
        411,
        b"POST /healthz HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    ),
    "empty Transfer-Encoding": (411, post(b"Transfer-Encoding:")),
    "Expect that is not 100-continue": (417, post(b"Expect: 200-ok", b"Content-Length: 2", body=b"{}")),
    # sizes
    "too many fields": (431, get(b"Host: localhost", *[b"X-%d: y" % i for i in range(150)])),
    "too big a head": (431, get(b"Host: localhost", *[b"X-%d: " % i + b"y" * 500 for i in range(60)])),
    "one endless field": (431, get(b"Host: localhost", b"X: " + b"y" * 40000)),
}


def read_all(s):
    """Everything up to end-of-file; a reset counts as the end."""
    data = b""
    while True:
        try:
            part = s.recv(65536)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def answers_in(data):
    return len(re.findall(rb"HTTP/1\.1 \d{3} ", data))


def talk(port, raw):
    with socket.create_connection(("127.0.0.1", port), timeout=8) as s:
        try:
            s.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(s)


def test_there_are_at_least_the_47_known_forms():
    assert len(BAD) >= 47


@pytest.mark.parametrize("name", BAD)
def test_malformed_request_is_refused_and_nothing_behind_it_is_answered(daemon, name):
    status, raw = BAD[name]
    answer = talk(daemon.port, raw + CLEAN)
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    fields = {k.lower(): v.strip() for k, _, v in (l.partition(b":") for l in lines[1:])}

    assert lines[0].split(b" ")[:2] == [b"HTTP/1.1", b"%d" % status], answer[:300]
    assert answers_in(answer) == 1, "the request behind was answered"
    assert b"clean-request" not in answer
    assert fields[b"connection"] == b"close"
    assert fields[b"content-type"] == b"application/json"
    assert fields[b"x-request-id"]
    assert len(body) == int(fields[b"content-length"])
    error = json.loads(body)
    assert error["detail"]
    assert error["request_id"].encode() == fields[b"x-request-id"]


@pytest.mark.parametrize("name", ["bare CR in a value", "no Host", "Transfer-Encoding chunked"])
def test_refusal_arrives_byte_by_byte_too(daemon, name):
    status, raw = BAD[name]
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=8) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(raw)):
            try:
                s.sendall(raw[i : i + 1])
            except (BrokenPipeError, ConnectionResetError):
                break
        assert read_all(s).startswith(b"HTTP/1.1 %d " % status)


def test_wellformed_requests_are_answered_in_order_on_one_connection(daemon):
    last = b"GET /healthz HTTP/1.1\r\nhOST:localhost\r\nX-Request-Id:  third \r\nConnection: close\r\n\r\n"
    first = b"GET /healthz?a=%C3%A4&b HTTP/1.1\r\nHost: [::1]:80\r\nX-Empty:\r\nX-Latin: \xe4\r\nX-Request-Id: first\r\n\r\n"
    answer = talk(daemon.port, b"\r\n" + first + CLEAN + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    at = [answer.index(i) for i in (b"first", b"clean-request", b"third")]
    assert at == sorted(at)


def test_http_1_0_needs_no_host_and_is_closed(daemon):
    answer = talk(daemon.port, b"GET /healthz HTTP/1.0\r\n\r\n" + CLEAN)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answers_in(answer) == 1


def test_options_is_405_with_the_methods_of_the_path(daemon):
    answer = talk(daemon.port, b"OPTIONS /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


def test_head_has_the_length_of_get_and_no_body(daemon):
    close = b" /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: same\r\nConnection: close\r\n\r\n"
    got, head = talk(daemon.port, b"GET" + close), talk(daemon.port, b"HEAD" + close)
    assert head == got.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_half_closed_client_still_gets_its_answer(daemon):
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=8) as s:
        s.sendall(CLEAN)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s).startswith(b"HTTP/1.1 200 OK")


def test_server_serves_on_after_all_of_them(daemon):
    for _, raw in BAD.values():
        talk(daemon.port, raw)
    assert talk(daemon.port, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def rude_exchange(port, rng):
    """Pipelined requests, some cut or with bytes flipped, sent in odd pieces by a client that leaves in odd ways."""
    raw = bytearray(b"".join(rng.choice([CLEAN, rng.choice(list(BAD.values()))[1]]) for _ in range(rng.randint(1, 12))))
    for _ in range(rng.choice([0, 0, 1, 3])):
        raw[rng.randrange(min(len(raw), 400))] = rng.randrange(256)
    del raw[rng.choice([len(raw), rng.randrange(len(raw))]) :]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        try:
            while raw:
                n = rng.choice([1, 7, 100, 5000, 100000])
                s.sendall(raw[:n])
                del raw[:n]
            if rng.random() < 0.3:
                s.settimeout(0.02)
                s.recv(rng.choice([10, 100000]))
        except OSError:
            pass  # refused in the middle, or no answer to half a request
        if rng.random() < 0.4:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_rude_clients_do_no_harm(daemon):
    rng = random.Random(47)
    for _ in range(1500):
        rude_exchange(daemon.port, rng)
    assert talk(daemon.port, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
