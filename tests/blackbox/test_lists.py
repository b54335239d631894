# SPDX-License-Identifier: Apache-2.0
"""Long pages of lists: streamed in pieces, with the same rows as short pages.

The clients of a unix socket: the kernel keeps about 200 KiB for one that does not read, and on TCP as much as it likes. So
a page of CVMS rows, which has four times as much, is certainly still open while its client reads nothing.
"""

import concurrent.futures
import http.client
import io
import json
import os
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from node import Node, refused, until
from test_bad_rows import spoil

APPS, LATE, REPLICAS = 800, 150, 3
CVMS = APPS + REPLICAS
LISTS = {"/cvms/paginated": ("items", CVMS), "/apps": ("dstack_apps", APPS)}
PAGE = "/cvms/paginated?page_size=1000"
SLOW = 3    # api.max_streams_per_caller: as many long pages may be open
PIECE, BACKLOG = 180 << 10, 64 << 10    # what waits for one client in the daemon; a piece has at most that


def replicate(node):
    """One app with several CVMs: the IDs of apps and CVMs that are created later differ."""
    first = node.get("/cvms/paginated?page_size=1").ok().json["items"][0]["vm_uuid"]
    for number in range(REPLICAS):
        node.post(f"/cvms/{first}/replicas", json={"stopped": True, "name": f"replica-{number}"}).ok()


def crowded():
    node = Node(options={"capacity.vcpus": 2000, "capacity.memory_mib": 400000, "capacity.slots": 2000, "capacity.cid_count": 2000,
                         "api.max_streams_per_caller": SLOW, "api.unix_admin_uids": os.getuid()})
    node.listen = ("127.0.0.1:0", f"unix:{node.dir / 's'}")
    try:
        node.start()
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            for made in clients.map(lambda number: node.try_create(stopped=True, name=f"crowd-{number}"), range(APPS - LATE)):
                made.ok()
            replicate(node)
            for made in clients.map(lambda number: node.try_create(stopped=True, name=f"crowd-{number}"), range(APPS - LATE, APPS)):
                made.ok()
        node.settled()
        yield node
        node.assert_no_full_scans()
    finally:
        node.close()


@pytest.fixture(scope="module")
def crowd():
    yield from crowded()


@pytest.fixture
def own_crowd():
    yield from crowded()


class Reader:
    """A client that has requested a long page on the unix socket, and reads when it is told to."""

    def __init__(self, node, path=PAGE, key=None):
        self.node, self.got = node, b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(node.dir / "s"))
        lines = [f"GET /api/v1{path} HTTP/1.1", "Host: localhost", "Connection: close"] + [f"X-API-Key: {key}"] * bool(key)
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.got += self.socket.recv(15)
        assert self.got == b"HTTP/1.1 200 OK"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def all(self):
        self.got += b"".join(iter(lambda: self.socket.recv(65536), b""))
        return body_of(self.got)

    def cut_off(self):
        """What arrives ends without a last chunk."""
        try:
            self.all()
        except (http.client.IncompleteRead, ConnectionResetError):
            return True
        return False


def no_more_pages(node):
    """As many pages as may be open are open: a further one of the same caller is refused."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(node.dir / "s"))
        s.sendall(f"GET /api/v1{PAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return s.recv(15) == b"HTTP/1.1 429 To"


class Received:
    """For http.client: a socket whose other end has sent @data and closed."""

    def __init__(self, data):
        self.data = data

    def makefile(self, _mode):
        return io.BytesIO(self.data)


def body_of(got):
    answer = http.client.HTTPResponse(Received(got))
    answer.begin()
    return json.loads(answer.read())


@pytest.mark.parametrize("version", (25, 26))
@pytest.mark.parametrize("path", LISTS)
def test_a_long_page_has_the_rows_of_short_ones(crowd, path, version):
    key, total = LISTS[path]

    def rows(page, size):
        body = crowd.get(f"{path}?page={page}&page_size={size}", version=version).ok().json
        assert (body["page"], body["page_size"], body["total"], body["pages"]) == (page, size, total, -(-total // size))
        return [re.sub(r"token=[^\"]*", "", json.dumps(row)) for row in body[key]]
    short = [row for page in range(1, -(-total // 100) + 1) for row in rows(page, 100)]
    assert rows(1, 1000) == short and len(set(short)) == total
    assert rows(2, 110) == short[110:220]
    assert rows(1, 200) == short[:200]
    assert rows(5, 190) == short[760:]
    assert rows(6, 190) == []
    refused(crowd.get(f"{path}?page_size=1001"), 400, field="page_size")
    refused(crowd.get(f"{path}?page_size=101&status=stopped"), 400, field="page_size")


@pytest.mark.parametrize("path", LISTS)
def test_a_long_page_keeps_to_its_filters(crowd, path):
    found = crowd.get(f"{path}?page_size=1000&search=crowd-1").ok().json
    names = [row["name"] for row in found[LISTS[path][0]]]
    assert len(names) == found["total"] == sum(f"crowd-{n}".startswith("crowd-1") for n in range(APPS))
    assert all(name.startswith("crowd-1") for name in names)
    assert crowd.get(f"{path}?page_size=1000&node=elsewhere").ok().json[LISTS[path][0]] == []


def test_cvms_deleted_and_made_during_a_long_page_shift_no_other(crowd):
    """More rows than one piece has are deleted before those that are still to be read."""
    others = [name for name, in crowd.rows("select name from cvms order by id desc")]
    between = [crowd.create(stopped=True, name=f"between-{number}") for number in range(150)]
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(crowd)) for _ in range(SLOW)]
        assert no_more_pages(crowd)
        for number in range(10):
            crowd.create(stopped=True, name=f"later-{number}")
        for cvm in between:
            assert crowd.api("DELETE", f"/cvms/{cvm.uuid}").status == 204
        crowd.settled()
        assert no_more_pages(crowd)
        for reader in readers:
            names = [row["name"] for row in reader.all()["items"]]
            assert [name for name in names if not name.startswith("between-")] == others
    for row in crowd.get("/cvms/paginated?page_size=100&search=later-").ok().json["items"]:
        crowd.cvm(row["vm_uuid"]).delete()


def test_slow_clients_get_all_of_a_long_page_and_hold_up_nobody(crowd):
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(crowd)) for _ in range(SLOW)]
        assert no_more_pages(crowd)
        assert crowd.get("/healthz", prefix="", key=None).ok()
        assert len(crowd.get(PAGE).ok().json["items"]) == CVMS, "another caller"
        assert no_more_pages(crowd)
        for reader in readers:
            assert len(reader.all()["items"]) == CVMS
    assert len(Reader(crowd).all()["items"]) == CVMS


def test_a_client_that_sends_no_more_gets_all_of_a_long_page(crowd):
    with Reader(crowd) as reader:
        reader.socket.shutdown(socket.SHUT_WR)
        assert len(reader.all()["items"]) == CVMS


def rss(node):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{node.process.pid}/status").read_text())[1]) << 10


@pytest.mark.skipif("TEEPOD_GRACEFUL" in os.environ, reason="with sanitizers freed memory stays resident")
def test_slow_clients_hold_little_memory(own_crowd):
    node, slow = own_crowd, 60
    node.stop()
    node.options["api.max_streams_per_caller"] = slow
    node.start()
    for _ in range(5):
        assert len(Reader(node).all()["items"]) == CVMS
    before = rss(node)
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(node)) for _ in range(slow)]
        assert no_more_pages(node)
        time.sleep(0.3)    # until a piece waits for each of them
        assert rss(node) - before < slow * (BACKLOG + PIECE), "the kernel's buffers do not count"
        assert len(readers[-1].all()["items"]) == CVMS


def test_clients_that_leave_during_a_long_page_leave_nothing_behind(crowd):
    for _ in range(5 * SLOW):
        with Reader(crowd, "/apps?page_size=1000"):
            pass
        until("the page is closed", lambda: not no_more_pages(crowd))
    assert len(crowd.get("/apps?page_size=1000").ok().json["dstack_apps"]) == APPS
    assert crowd.api("HEAD", "/apps?page_size=1000").ok().body == b""


# ---------------------------------------------------------------------- pages that cannot be completed

def test_a_page_with_a_bad_row_is_cut_off_and_the_log_names_it(crowd):
    """The client has its first rows when the bad one is read."""
    late = crowd.get("/cvms/paginated?page_size=100&page=5").ok().json["items"][0]
    spoil(crowd, ("update cvms set observed = 'flying' where uuid = ?", late["vm_uuid"]))
    try:
        assert Reader(crowd).cut_off()
        line = crowd.log_tail(1)
        assert "GET /api/v1/cvms/paginated" in line and f'cvms.observed is "flying" (row {late["id"][4:]})' in line, line
        answer = crowd.get("/cvms/paginated?page_size=100&page=5")
        assert answer.status == 500 and "flying" in answer.text, answer
    finally:
        spoil(crowd, ("update cvms set observed = 'absent' where uuid = ?", late["vm_uuid"]))
    assert len(Reader(crowd).all()["items"]) == CVMS


def test_a_page_is_cut_off_when_its_key_is_revoked(crowd):
    token = crowd.post("/tokens", json={"name": "reader", "role": "reader"}).ok().json
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(crowd, key=token["token"])) for _ in range(SLOW)]
        assert crowd.api("DELETE", f"/tokens/{token['id']}").status == 204
        for reader in readers:
            assert reader.cut_off()


def test_a_page_that_has_begun_is_completed_when_the_daemon_stops(own_crowd):
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(own_crowd)) for _ in range(SLOW)]
        assert no_more_pages(own_crowd)
        own_crowd.process.terminate()
        until("it is stopping", lambda: "shutting down" in own_crowd.log_tail(400))
        for reader in readers:
            assert len(reader.all()["items"]) == CVMS
        assert own_crowd.process.wait(30) == 0
