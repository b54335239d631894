# SPDX-License-Identifier: Apache-2.0
"""Event streams: no number is missing, a stream can be resumed, and a client is told when it cannot."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import threading
import tempfile
import time
from urllib.parse import urlsplit

import pytest

from node import PREFIX, until


class Stream:
    """A stream of server-sent events, read by a thread."""

    def __init__(self, node, path, headers=None):
        self.events, self.comments, self.ended = [], 0, False
        self.connection = node.connection(timeout=60)
        sent = {"Accept": "text/event-stream", "X-API-Key": node.key, **(headers or {})}
        self.connection.request("GET", PREFIX + path, headers=sent)
        self.answer = self.connection.getresponse()
        self.socket = self.connection.sock
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        event = {}
        try:
            for line in self.answer:
                line = line.decode().rstrip("\r\n")
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(":")
                    event[name] = value.removeprefix(" ")
                elif event:
                    event["at"] = time.monotonic()
                    self.events.append(event)
                    event = {}
        except (OSError, ValueError, AttributeError):
            pass
        self.ended = True

    def ids(self):
        return [int(e["id"]) for e in self.events if "id" in e]

    def close(self):
        try:
            (self.socket or self.connection.sock).shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass
        self.connection.close()
        self.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def newest(node):
    return node.rows("select coalesce(max(seq), 0) from events")[0][0]


# Commits are slow: what is sent before the commit is not in the database yet.
SLOW_COMMITS = {"TEEPOD_HOLD": "commit turn=150"}


def test_an_event_is_sent_when_it_is_committed_and_not_before(spawn):
    node = spawn(environment=SLOW_COMMITS, options={"restart.enabled": "no"})
    cvm, early, got = node.create(), [], b""
    cvm.request("shutdown", timeout=60).ok()
    until("the guest is asked to shut down", lambda: any(op["step"] == "wait" for op in cvm.operations()))
    with socket.socket() as client:
        where = urlsplit(node.url)
        client.connect((where.hostname, where.port))
        client.settimeout(60)
        client.sendall(f"GET {PREFIX}/events?after={newest(node)} HTTP/1.0\r\nX-API-Key: {node.key}\r\n"
                       "Accept: text/event-stream\r\n\r\n".encode())
        # The commit of the stop ends the shutdown in a transaction of its own.
        cvm.request("stop").ok()
        while got.count(b"event: operation.finished") < 2:
            piece = client.recv(65536)
            assert piece, got
            committed, got = newest(node), got + piece
            sent = [int(number) for number in re.findall(rb"^id: (\d+)$", got, re.M)]
            if sent and sent[-1] > committed:
                early.append((sent[-1], committed))
    assert not early, f"(event sent, newest event committed): {early}"


def test_a_read_in_the_turn_of_a_write_answers_when_that_is_committed(spawn):
    """Both requests have arrived when the daemon reads requests again."""
    node = spawn(environment=SLOW_COMMITS)
    where, body = urlsplit(node.url), json.dumps(node.create_body(stopped=True))

    def head(method, path):
        return f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\n"
    with socket.create_connection((where.hostname, where.port), 30) as writes, \
            socket.create_connection((where.hostname, where.port), 30) as reads:
        for each in (writes, reads):    # accepted by now
            each.sendall(f"{head('GET', '/healthz')}\r\n".encode())
            assert each.recv(65536)
        os.kill(node.process.pid, signal.SIGSTOP)
        try:
            writes.sendall(f"{head('POST', '/cvms')}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            reads.sendall(f"{head('GET', '/apps')}\r\n".encode())
        finally:
            os.kill(node.process.pid, signal.SIGCONT)
        reply = reads.recv(65536).decode()
        committed = len(node.uuids())
        assert reply.startswith("HTTP/1.1 200"), reply
        assert reply.count('"vm_uuid"') <= committed, f"{committed} CVMs are committed, the answer is {reply}"
        assert writes.recv(65536).startswith(b"HTTP/1.1 200")
    assert len(node.uuids()) == 1


def test_a_refusal_whose_reason_is_a_write_of_the_same_turn_waits_for_its_commit(spawn):
    node = spawn(environment=SLOW_COMMITS)
    where, body = urlsplit(node.url), json.dumps(node.create_body(name="one-name", stopped=True))
    request = (f"POST {PREFIX}/cvms HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(socket.create_connection((where.hostname, where.port), 30)) for _ in range(2)]
        for each in both:       # accepted by now
            each.sendall(f"GET {PREFIX}/healthz HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\n\r\n".encode())
            assert each.recv(65536)
        os.kill(node.process.pid, signal.SIGSTOP)
        try:
            for each in both:
                each.sendall(request)
        finally:
            os.kill(node.process.pid, signal.SIGCONT)
        first = select.select(both, [], [], 30)[0][0]
        reply, committed = first.recv(65536), len(node.uuids())
        assert committed == 1, f"nothing is committed, and it was answered {reply}"
        other = both[1 - both.index(first)].recv(65536)
    assert sorted(answer.split(b" ", 2)[1] for answer in (reply, other)) == [b"200", b"409"]


def test_every_event_of_a_life_comes_once_and_in_order(node):
    began = newest(node)
    with Stream(node, "/events", {"Last-Event-ID": str(began)}) as stream:
        assert stream.answer.status == 200
        assert stream.answer.getheader("content-type").startswith("text/event-stream")
        cvm = node.create()
        cvm.do("stop")
        cvm.delete()
        end = newest(node)
        until("all events came", lambda: stream.ids() and stream.ids()[-1] >= end)
        assert stream.ids() == list(range(began + 1, stream.ids()[-1] + 1)), "no gap, none twice"
        kinds = [e.get("event") for e in stream.events]
        assert "cvm.created" in kinds and "cvm.deleted" in kinds, kinds
        for e in stream.events:
            json.loads(e["data"])
        assert any(cvm.uuid in e["data"] for e in stream.events)


def test_a_stream_resumes_where_it_was_cut(node):
    began = newest(node)
    node.create(stopped=True)
    with Stream(node, "/events", {"Last-Event-ID": str(began)}) as stream:
        until("something came", lambda: stream.ids())
        last = stream.ids()[-1]
    node.create(stopped=True)
    with Stream(node, "/events", {"Last-Event-ID": str(last)}) as stream:
        until("the rest came", lambda: stream.ids() and stream.ids()[-1] == newest(node))
        assert stream.ids()[0] == last + 1


def test_a_stream_resumes_over_kill_9(spawn):
    node = spawn()
    node.create(stopped=True)
    with Stream(node, "/events", {"Last-Event-ID": "0"}) as stream:
        until("something came", lambda: stream.ids())
        last = stream.ids()[-1]
        assert stream.ids() == list(range(1, last + 1))
    node.create(stopped=True)
    node.kill()
    node.start()
    with Stream(node, "/events", {"Last-Event-ID": str(last)}) as stream:
        until("the rest came", lambda: stream.ids() and stream.ids()[-1] >= newest(node))
        assert stream.ids() == list(range(last + 1, stream.ids()[-1] + 1))


def test_a_number_never_given_is_answered_by_reset(node):
    with Stream(node, "/events", {"Last-Event-ID": str(newest(node) + 1000000)}) as stream:
        until("reset", lambda: [e for e in stream.events if e.get("event") == "reset"])


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "99999999999999999999999"])
def test_a_last_event_id_that_is_no_number_is_refused(node, bad):
    answer = node.get("/events", headers={"Last-Event-ID": bad, "Accept": "text/event-stream"})
    assert answer.status == 400, answer


def test_watching_a_state_ends_with_complete(node):
    cvm = node.create(stopped=True)
    with Stream(node, f"/cvms/{cvm.uuid}/state?target=running&interval=5&timeout=60") as stream:
        until("the present state", lambda: stream.events)
        assert stream.events[0]["event"] == "state"
        assert json.loads(stream.events[0]["data"])["status"] == "stopped"
        cvm.do("start")
        until("the end", lambda: stream.ended or stream.events[-1]["event"] == "complete", 20)
        assert json.loads(stream.events[-1]["data"])["status"] == "running"
        words = [json.loads(e["data"])["status"] for e in stream.events if e["event"] == "state"]
        assert words[0] == "stopped" and "starting" in words


def test_watching_ends_at_its_time_out(node):
    cvm = node.create(stopped=True)
    with Stream(node, f"/cvms/{cvm.uuid}/state?target=running&interval=5&timeout=10") as stream:
        until("timeout", lambda: [e for e in stream.events if e["event"] == "timeout"], 20)


def test_state_without_a_stream_is_plain_json(node):
    cvm = node.create(stopped=True)
    body = node.get(f"/cvms/{cvm.uuid}/state").ok().json
    assert body["name"] == cvm.name and body["status"] == "stopped"
    assert None not in body.values(), "clients reject null here"


def test_a_followed_log_grows(node):
    cvm = node.create(stopped=True)
    cvm.do("start")
    connection = node.connection()
    try:
        connection.request("GET", f"{PREFIX}/cvms/{cvm.uuid}/logs?ch=serial&follow", headers={"X-API-Key": node.key})
        answer = connection.getresponse()
        assert answer.status == 200
        got = b""
        end = time.monotonic() + 15
        while b"BOOTSECTOR-READY" not in got and time.monotonic() < end:
            got += answer.read1(4096)
        assert b"BOOTSECTOR-READY" in got
    finally:
        connection.close()


def test_tail_gives_the_last_lines(node):
    cvm = node.create()
    until("boot", lambda: "BOOTSECTOR-READY" in cvm.log())
    everything = cvm.log().splitlines()
    assert cvm.log(tail=1).splitlines() == everything[-1:]
    assert node.get(f"/cvms/{cvm.uuid}/logs?ch=serial&tail=-1").status in (400, 422)
    assert node.get(f"/cvms/{cvm.uuid}/logs?ch=nonsense").status in (400, 422)


def test_an_event_carries_an_error_with_a_name_that_is_not_utf8(spawn, tmp_path_factory):
    """File names are bytes, JSON is UTF-8. Such an event once had {} as its data."""
    folder = os.fsdecode(tempfile.mkdtemp(prefix=b"tp\xff", dir=b"/tmp"))
    node = spawn(folder=folder, options={"images.dir": tmp_path_factory.mktemp("images")})
    cvm = node.create(stopped=True)
    (node.dir / "cvms").rmdir()
    (node.dir / "cvms").write_text("no folder")
    cvm.do("start")
    op = cvm.operations()[0]
    assert op["state"] == "failed"
    undoing, = [e["data"] for e in node.get("/events?limit=1000").ok().json["events"] if e["type"] == "operation.undoing"]
    assert undoing.get("kind") == "start" and undoing["step"] == "files", undoing
    assert "tp?" in undoing["error"] and "cvms" in undoing["error"], undoing
    (node.dir / "cvms").unlink()
