# SPDX-License-Identifier: Apache-2.0
"""API keys: rate limits for wrong keys, and the limits of a token."""

import concurrent.futures
import json
import socket
import time
from urllib.parse import urlsplit

import openapi
from node import PREFIX, refused, until


def guess(node, times=12, path="/node", **headers):
    """Statuses of requests with a wrong key."""
    return [node.get(path, key="teepod_" + "0" * 48, headers=headers).status for _ in range(times)]


# ------------------------------------------------------------------ wrong keys


def test_eleven_wrong_keys_in_a_minute_are_429(spawn):
    node = spawn()
    assert guess(node, 10) == [401] * 10
    late = node.get("/node", key="wrong")
    refused(late, 429)
    assert 1 <= int(late.headers["retry-after"]) <= 60


def test_wrong_keys_from_an_address_do_not_block_right_ones(spawn):
    node = spawn()
    assert guess(node)[-1] == 429
    node.get("/node").ok()
    node.get("/node", key=None, headers={"Authorization": f"Bearer {node.key}"}).ok()
    refused(node.get("/node", key=None), 401)


def test_requests_without_a_key_count_for_nothing(spawn):
    """A web page can make a browser send these: <img src=http://127.0.0.1:8090/api/v1/node>."""
    node = spawn()
    for headers in ({}, {"X-API-Key": ""}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}):
        for _ in range(12):
            refused(node.get("/node", key=None, headers=headers), 401)
    node.get("/node").ok()
    assert guess(node, 1) == [401], "the first wrong key is the first"


def test_a_log_link_is_good_beside_wrong_keys(spawn):
    node = spawn()
    cvm = node.try_create(name="linked", stopped=True).ok()
    link = node.get(f"/cvms/{cvm['vm_uuid']}", version=25).ok()["syslog_endpoint"]
    path = link[link.index(PREFIX) + len(PREFIX):]
    assert guess(node)[-1] == 429
    for key in (None, "wrong"):
        node.get(path, key=key).ok()
    assert guess(node, 1, path.partition("?")[0]) == [429], "a wrong key alone is slowed down here, too"


def test_behind_a_proxy_wrong_keys_are_counted_by_client(spawn):
    node = spawn(options={"api.trusted_proxies": "127.0.0.1, 10.0.0.0/8"})
    for header, line in (("X-Forwarded-For", "{}"), ("X-Forwarded-For", "203.0.113.9, {}, 10.0.0.1"), ("Forwarded", "for={};proto=https")):
        mine, other = (f"192.0.2.{len(header) + len(line) + n}" for n in (0, 100))
        assert guess(node, **{header: line.format(mine)})[-1] == 429
        assert guess(node, 1, **{header: line.format(other)}) == [401]
        node.get("/node", headers={header: line.format(mine)}).ok()
    assert "10 wrong API keys from 192.0.2." in node.log_tail()
    assert guess(node, 1) == [401], "the proxy itself has none"
    assert guess(node, 1, **{"X-Forwarded-For": "unknown"}) == [401]


def test_a_client_that_is_no_proxy_cannot_choose_its_address(spawn):
    node = spawn()
    answers = [node.get("/node", key="wrong", headers={name: f"{value}192.0.2.{i}"}).status for i in range(6)
               for name, value in (("X-Forwarded-For", ""), ("Forwarded", "for="))]
    assert answers[10:] == [429, 429]
    refused(node.get("/node", key="wrong"), 429)


# ------------------------------------------------------------------ tokens that make tokens


def make(node, key="own", role="tenant", **more):
    """The answer to a request for a new token."""
    return node.post("/tokens", json={"name": f"a {role}", "role": role, **more}, key=key).ok().json


def limited(per_minute):
    return {"requests_per_minute": per_minute}


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + seconds))


def test_what_is_left_out_of_a_token_is_what_its_maker_has(spawn):
    node = spawn()
    end = stamp(3600)
    parent = make(node, role="admin", expires_at=end, limits=limited(600))
    for more in ({}, {"expires_at": None, "limits": None}, {"limits": {}}, {"limits": {"requests_per_minute": None}}):
        child = make(node, parent["token"], **more)
        assert (child["expires_at"], child["limits"]) == (end, limited(600)), more
        assert child["parent"] == parent["id"]
        assert node.get(f"/tokens/{child['id']}", key=child["token"]).ok()["parent"] == parent["id"]
    less = make(node, child["token"], expires_at=stamp(60), limits=limited(10))
    assert less["limits"] == limited(10) and less["expires_at"] < end
    listed = node.get("/tokens").ok()
    openapi.check("GET", PREFIX + "/tokens", 200, listed.headers["content-type"], listed.body)
    listed = {t["id"]: t["parent"] for t in listed["items"]}
    assert listed[less["id"]] == child["id"] and listed[parent["id"]] == "tok_1" and listed["tok_1"] is None
    assert node.check_db()[0] == 0, node.check_db()


def test_a_token_that_would_outlive_or_outrun_its_maker_is_refused(spawn):
    node = spawn()
    parent = make(node, role="admin", expires_at=stamp(3600), limits=limited(60))
    for field, value, more in (("expires_at", "2100-01-01T00:00:00.000Z", {"expires_at": "2100-01-01T00:00:00.000Z"}),
                               ("limits.requests_per_minute", "61", {"limits": limited(61)})):
        for workspace in ({}, {"workspace": "local"}):
            no = node.post("/tokens", json={"name": "more", "role": "reader", **more, **workspace}, key=parent["token"])
            refused(no, 403, field=field, value=value)
    refused(node.post("/tokens", json={"name": "more", "role": "king"}, key=parent["token"]), 400)
    assert len(node.get("/tokens").ok()["items"]) == 2


def test_a_revoked_token_takes_along_all_it_made(spawn):
    node = spawn()
    line = [make(node, role="admin")]
    for role in ("operator", "tenant", "reader"):
        line.append(make(node, line[-1]["token"], role=role))
    beside = make(node, line[0]["token"])
    for each in line[1:]:
        node.get("/auth/me", key=each["token"]).ok()
    assert node.api("DELETE", f"/tokens/{line[1]['id']}").status == 204
    for each in line[1:]:
        refused(node.get("/auth/me", key=each["token"]), 401)
        refused(node.get(f"/tokens/{each['id']}"), 404)
    for key in (line[0]["token"], beside["token"]):
        node.get("/auth/me", key=key).ok()
    assert node.api("DELETE", f"/tokens/{line[0]['id']}", key=line[0]["token"]).status == 204, "a token may revoke itself"
    refused(node.get("/auth/me", key=beside["token"]), 401)
    node.restart()
    refused(node.get("/auth/me", key=beside["token"]), 401)


def test_a_deleted_workspace_takes_along_what_its_tokens_made_elsewhere(spawn):
    node = spawn()
    node.post("/workspaces", json={"slug": "team"}).ok()
    admin = make(node, role="admin", workspace="team")
    child = make(node, admin["token"], workspace="local")
    node.api("DELETE", "/workspaces/team").ok()
    refused(node.get("/auth/me", key=child["token"]), 401)


def test_a_line_of_tokens_has_an_end(spawn):
    node = spawn()
    key = node.key
    for _ in range(7):
        key = make(node, key, role="admin")["token"]
    refused(node.post("/tokens", json={"name": "ninth", "role": "reader"}, key=key), 403, field="parent")


def test_what_a_limited_token_made_shares_its_requests(spawn):
    node = spawn()
    parent = make(node, limits=limited(30))
    keys = [make(node, parent["token"])["token"] for _ in range(2)]
    keys.append(make(node, keys[0], limits=limited(5))["token"])
    answers = [node.get("/auth/me", key=keys[i % 3]) for i in range(60)]
    good = sum(a.status == 200 for a in answers)
    assert 20 <= good <= 30, "as many as the one token may make, not as many for each"
    for no in [a for a in answers if a.status != 200]:
        refused(no, 429)
        assert int(no.headers["retry-after"]) >= 1
    refused(node.get("/auth/me", key=parent["token"]), 429)
    node.get("/auth/me").ok()
    assert guess(node, 1) == [401], "a key over its limit is no wrong key"


class Slow:
    """A request whose head is sent and accepted before its body."""

    def __init__(self, node, path, body, key):
        where = urlsplit(node.url)
        self.body = json.dumps(body).encode()
        self.socket = socket.create_connection((where.hostname, where.port), timeout=15)
        self.socket.sendall((f"POST {PREFIX}{path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nConnection: close\r\n"
                             f"Expect: 100-continue\r\nContent-Length: {len(self.body)}\r\n\r\n").encode())
        assert self.socket.recv(1000).startswith(b"HTTP/1.1 100"), "let in"

    def finish(self):
        """Its status."""
        self.socket.sendall(self.body)
        got = b""
        while piece := self.socket.recv(65536):
            got += piece
        self.socket.close()
        return int(got.split()[1])


def test_a_token_is_not_made_by_one_that_is_revoked_meanwhile(spawn):
    node = spawn()
    parent = make(node)
    slow = Slow(node, "/tokens", {"name": "late", "role": "reader"}, parent["token"])
    assert node.api("DELETE", f"/tokens/{parent['id']}").status == 204
    assert slow.finish() == 401
    assert [t["id"] for t in node.get("/tokens").ok()["items"]] == ["tok_1"]


def test_of_tokens_made_while_their_maker_is_revoked_none_is_left(spawn):
    node = spawn(options={"tokens.made_per_minute": 0, "api.auth_failures_per_minute": 1000})
    parent = make(node)

    def child(_):
        return node.post("/tokens", json={"name": "child", "role": "tenant"}, key=parent["token"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = [pool.submit(child, i) for i in range(40)]
        assert node.api("DELETE", f"/tokens/{parent['id']}").status == 204
        made = [m.result() for m in made]
    assert {a.status for a in made} <= {201, 401}
    for answer in made:
        if answer.status == 201:
            refused(node.get("/auth/me", key=answer["token"]), 401)
    assert [t["id"] for t in node.get("/tokens").ok()["items"]] == ["tok_1"]


# ------------------------------------------------------------------ what goes on after a token has ended


def stream(node, path, key):
    """An open event stream. Nothing is sent on it for 15 s: read() times out earlier if the stream does not end."""
    connection = node.connection(timeout=10)
    connection.request("GET", PREFIX + path, headers={"X-API-Key": key, "Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    return answer


def test_streams_of_what_a_token_made_end_with_it(spawn):
    node = spawn()
    cvm = node.create(stopped=True)
    parent = make(node)
    child = make(node, make(node, parent["token"])["token"], role="reader")
    streams = [stream(node, path, child["token"]) for path in ("/events", f"/cvms/{cvm.uuid}/state?timeout=600&interval=30")]
    assert node.api("DELETE", f"/tokens/{parent['id']}").status == 204
    for each in streams:
        each.read()


def test_what_a_token_made_expires_with_it(spawn, tmp_path):
    clock = tmp_path / "clock"
    node = spawn(environment={"TEEPOD_CLOCK_FILE": str(clock)})
    child = make(node, make(node, expires_at=stamp(3600))["token"], role="reader")
    events = stream(node, "/events", child["token"])
    clock.write_text("3700")
    events.read()
    assert "expired" in node.get("/auth/me", key=child["token"]).text


def test_a_wait_of_a_revoked_token_ends_without_data(spawn):
    node = spawn()
    cvm = node.create()
    op = cvm.request("shutdown", timeout=60).ok().headers["x-operation-id"]
    reader = make(node, role="reader")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.get, f"/operations/{op}?wait=50", key=reader["token"], timeout=60)
        until("the request has come in", lambda: node.get(f"/tokens/{reader['id']}").ok()["last_used_at"])
        assert node.api("DELETE", f"/tokens/{reader['id']}").status == 204
        refused(waiting.result(), 401)


def test_a_body_that_comes_after_its_token_was_revoked_does_nothing(spawn):
    node = spawn()
    cvm = node.create(stopped=True)
    token = make(node)
    late = [Slow(node, path, body, token["token"]) for path, body in
            (("/cvms", node.create_body(name="too-late", stopped=True)), ("/status/batch", {"vm_uuids": [cvm.uuid]}))]
    assert node.api("DELETE", f"/tokens/{token['id']}").status == 204
    assert [each.finish() for each in late] == [401, 401]
    assert node.uuids() == {cvm.uuid}
