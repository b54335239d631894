# SPDX-License-Identifier: Apache-2.0
"""A log link grants the access of the caller that created it: the same logs, for as long as that caller has access."""

import json
import socket
import sqlite3
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from node import PREFIX, refused
from test_keys import stamp
from test_logs import written_before


def token(node, **more):
    return node.post("/tokens", json={"name": "maker", "role": "reader", **more}).ok().json


def link_of(node, cvm, key):
    link = node.get(f"/cvms/{cvm.uuid}", version=25, key=key).ok()["syslog_endpoint"]
    return link[link.index(PREFIX):]


def opened(node, link, **more):
    return node.api("GET", link, prefix="", key=None, **more)


@contextmanager
def stream(node, path, key=None):
    """A streamed answer. read() returns everything up to its end."""
    where = urlsplit(node.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as s:
        credential = f"X-API-Key: {key}\r\n" if key else ""
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{credential}Accept: text/event-stream\r\nConnection: close\r\n\r\n".encode())
        got = [s.recv(65536)]

        def read():
            while piece := s.recv(65536):
                got.append(piece)
            return b"".join(got).decode(errors="replace")
        yield read, got[0].decode(errors="replace")


def revoke(node, made):
    assert node.api("DELETE", f"/tokens/{made['id']}").status == 204


def lower(node, made, change):
    """Reduce the rights of a key in its row. The daemon reads the row again."""
    with sqlite3.connect(node.database()) as db:
        db.execute(f"update api_keys set {change} where id = ?", (int(made["id"][4:]),))


@pytest.fixture
def written(spawn):
    node = spawn()
    return node, written_before(node)


def test_a_link_ends_with_the_key_that_made_it(written):
    node, cvm = written
    made, other = token(node), token(node, role="tenant")
    link, others = link_of(node, cvm, made["token"]), link_of(node, cvm, other["token"])
    own = link_of(node, cvm, node.key)
    assert len({link, others, own}) == 3, "each maker has a link of its own"
    for one in (link, others, own):
        assert opened(node, one).status == 200
    revoke(node, made)
    refused(opened(node, link), 401)
    for one in (others, own):
        assert opened(node, one).status == 200, "other makers' links go on"
    assert node.api("GET", link, prefix="", key=other["token"]).status == 200, "a key of one's own opens what it opens"


def test_a_link_ends_when_its_key_expires(spawn, tmp_path):
    clock = tmp_path / "clock"
    node = spawn(environment={"TEEPOD_CLOCK_FILE": str(clock)})
    cvm = written_before(node)
    made = token(node, expires_at=stamp(3600))
    link = link_of(node, cvm, made["token"])
    for seconds, status in ((3500, 200), (3700, 401)):
        clock.write_text(str(seconds))
        assert opened(node, link).status == status


def test_the_use_of_a_link_counts_against_the_limit_of_its_key(written):
    node, cvm = written
    made = token(node, limits={"requests_per_minute": 4})
    link = link_of(node, cvm, made["token"])
    answers = [opened(node, link) for _ in range(4)]
    assert [a.status for a in answers] == [200] * 3 + [429], answers
    assert "Retry-After".lower() in answers[-1].headers
    assert node.get("/auth/me", key=made["token"]).status == 429, "and what the link used is used"


def test_a_link_opens_what_its_maker_may_see_by_now(written):
    node, cvm = written
    node.post("/workspaces", json={"slug": "elsewhere"}).ok()
    moved, lowered = token(node), token(node, role="operator", workspace="elsewhere")
    links = [link_of(node, cvm, made["token"]) for made in (moved, lowered)]
    assert [opened(node, link).status for link in links] == [200, 200]
    lower(node, moved, "workspace = (select id from workspaces where slug = 'elsewhere')")
    lower(node, lowered, "role = 2")
    for link in links:
        refused(opened(node, link), 401)


def test_a_link_of_a_deleted_workspace_is_over(written):
    node, cvm = written
    node.post("/workspaces", json={"slug": "elsewhere"}).ok()
    made = token(node, role="operator", workspace="elsewhere")
    link = link_of(node, cvm, made["token"])
    assert opened(node, link).status == 200
    assert node.api("DELETE", "/workspaces/elsewhere").status == 204
    refused(opened(node, link), 401)


def test_what_follows_ends_with_the_key_by_whatever_it_was_opened(written):
    node, cvm = written
    made = token(node)
    link = link_of(node, cvm, made["token"]) + "&follow"
    with stream(node, link) as (log, begun), stream(node, f"{PREFIX}/cvms/{cvm.uuid}/state?timeout=600", made["token"]) as (state, _), \
            stream(node, f"{PREFIX}/events", made["token"]) as (events, _):
        assert begun.startswith("HTTP/1.1 200"), begun
        revoke(node, made)
        assert "was revoked" in log()
        state()
        events()


def test_a_wait_for_an_operation_ends_without_data_when_its_key_is_revoked(spawn):
    node = spawn()
    # Guests of the boot image ignore their power button, so the shutdown takes its whole timeout.
    cvm = node.create()
    made = token(node)
    op = cvm.request("shutdown", timeout_s=20).ok()["operation_id"]
    where = urlsplit(node.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as s:
        s.sendall(f"GET {PREFIX}/operations/{op}?wait=60 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {made['token']}\r\nConnection: close\r\n\r\n"
                  .encode())
        node.get("/auth/me", key=made["token"]).ok()    # was sent later and is answered: the other request waits
        revoke(node, made)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 401"), answer
    assert cvm.uuid not in body and "revoked" in json.loads(body)["detail"]
    node.post(f"/cvms/{cvm.uuid}/stop").ok()
    node.settled()
