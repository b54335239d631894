# SPDX-License-Identifier: Apache-2.0
"""A plain HTTP listener accepts only its own host names, so that a web page whose name resolves to 127.0.0.1 gets nothing."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from node import PREFIX


@pytest.fixture(scope="module")
def daemon(shared_node):
    if shared_node.process.poll() is not None:
        shared_node.start()
    return shared_node


def request(node, *lines, method="GET", path=f"{PREFIX}/node", version="1.1", key=True):
    """Status and body of the answer to a request with these header lines and the key."""
    key_line = (f"X-API-Key: {node.key}",) if key else ()
    head = "\r\n".join([f"{method} {path} HTTP/{version}", *lines, *key_line, "Connection: close", "Content-Length: 0", "", ""])
    got = node.raw(head.encode())
    return int(got[9:12]), got.partition(b"\r\n\r\n")[2].decode()


OWN = ["localhost", "localhost:1", "LocalHost:65535", "localhost.", "localhost.:8090", "127.0.0.1", "127.0.0.1:22", "127.9.8.7", "[::1]",
       "[::1]:8080", "[::ffff:127.0.0.1]:80", "alpha", "ALPHA:8090"]
FOREIGN = ["evil.example", "evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "local", "10.0.0.1",
           "[2001:db8::1]:80", "0.0.0.0", "2130706433", "127.1", "0x7f.1", "alpha.evil.example", "localhost..", "[::1", "x"]


@pytest.mark.parametrize("host", OWN)
def test_names_of_the_node_are_served(daemon, host):
    assert request(daemon, f"Host: {host}")[0] == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", [f"{PREFIX}/node", "/healthz", "/metrics", f"{PREFIX}/nowhere"])
def test_other_names_are_refused_on_every_path(daemon, host, path):
    status, body = request(daemon, f"Host: {host}", path=path)
    assert status == 421 and f'\\"{host}\\"' in body and "api.hosts" in body, (status, body)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_other_names_are_refused_with_every_method(daemon, method):
    assert request(daemon, "Host: evil.example", method=method, path=f"{PREFIX}/cvms")[0] == 421


def test_http_1_0_needs_no_host_but_no_foreign_one_either(daemon):
    assert request(daemon, version="1.0")[0] == 200
    assert request(daemon, "Host: evil.example", version="1.0")[0] == 421


@pytest.mark.parametrize("origin, status", [("http://localhost:3000", 200), ("http://127.0.0.1:8090", 200), ("https://alpha", 200),
                                            ("http://evil.example", 403), ("http://localhost.evil.example", 403), ("null", 403),
                                            ("http://evil.example:8090", 403), ("http://127.0.0.1.evil.example", 403), ("", 403)])
def test_pages_of_other_hosts_are_refused(daemon, origin, status):
    for method, path in (("GET", f"{PREFIX}/node"), ("GET", "/healthz"), ("POST", f"{PREFIX}/cvms")):
        got, body = request(daemon, "Host: localhost", f"Origin: {origin}", method=method, path=path)
        assert got == (status if status == 403 or method == "GET" else 400), (got, body)


def test_a_page_can_not_lock_this_host_out(spawn):
    """Its failures do not count against the address, which everyone else on this host shares."""
    node = spawn(options={"api.auth_failures_per_minute": 2})
    for _ in range(5):
        assert request(node, "Host: localhost", "Origin: http://evil.example", key=False)[0] == 403
        assert request(node, "Host: evil.example", key=False)[0] == 421
    assert node.get("/node").status == 200


def test_a_reverse_proxy_passes_the_public_name(spawn):
    node = spawn(options={"node.public_url": "https://tee.example:8443", "api.hosts": "other.example, 10.1.2.3"})
    for host in ("tee.example", "tee.example:8443", "TEE.example", "other.example", "10.1.2.3:99", "localhost:1"):
        assert request(node, f"Host: {host}", f"Origin: https://{host}")[0] == 200, host
    for host in ("tee.example.evil", "sub.tee.example", "10.1.2.4"):
        assert request(node, f"Host: {host}")[0] == 421, host


def test_a_unix_socket_accepts_any_name(spawn):
    node = spawn(start=False)
    path = node.dir / "s"
    node.listen = ("127.0.0.1:0", f"unix:{path}")
    node.start()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: whatever.example\r\nOrigin: http://whatever.example\r\nConnection: close\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_ipv6_listener_checks_the_name_too(spawn):
    node = spawn(start=False)
    node.listen = ("[::1]:0",)
    node.start()
    assert request(node, f"Host: {urlsplit(node.url).netloc}")[0] == 200
    status, body = request(node, "Host: evil.example")
    assert status == 421 and json.loads(body)["detail"]


@pytest.mark.parametrize("value", ["a b", "http://x", "x:1", "-x", "[::1]:1"])
def test_a_name_that_is_none_is_refused_at_start(spawn, value):
    node = spawn(start=False, options={"api.hosts": value})
    node.spawn()
    assert node.process.wait(20) != 0
    assert "[api] hosts" in node.log_tail() and value in node.log_tail(), node.log_tail()
