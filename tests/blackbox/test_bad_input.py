# SPDX-License-Identifier: Apache-2.0
"""Bad input of every kind: the refusal names field, value and rule, nothing changes, and the daemon goes on."""

import json
import socket
import time
from pathlib import Path

import pytest

from node import BOOT, PREFIX, Node, assert_consistent, refused


def rss_kib(node):
    for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def create_text(node, **instead):
    """The body of a valid create as JSON text, with some values replaced by raw text."""
    fields = node.create_body(stopped=True)
    parts = [f"{json.dumps(k)}: {instead.pop(k) if k in instead else json.dumps(v)}" for k, v in fields.items()]
    parts += [f"{json.dumps(k)}: {v}" for k, v in instead.items()]
    return "{" + ", ".join(parts) + "}"


# ------------------------------------------------------------------ bodies that are no JSON

BODIES = {
    "empty": b"",
    "not json": b"hello",
    "cut": b'{"name": "x"',
    "trailing": b'{"name": "x"} {}',
    "trailing comma": b'{"name": "x",}',
    "single quotes": b"{'name': 'x'}",
    "comment": b'{"name": "x" /* y */}',
    "array": b"[]",
    "string": b'"name"',
    "null": b"null",
    "number": b"42",
    "bom": b'\xef\xbb\xbf{"name": "x"}',
    "bad utf-8": b'{"name": "\xff\xfe"}',
    "overlong utf-8": b'{"name": "\xc0\xaf"}',
    "surrogate": b'{"name": "\xed\xa0\x80"}',
    "lone surrogate escape": b'{"name": "\\ud800"}',
    "control character": b'{"name": "a\x01b"}',
    "nul escape": b'{"name": "a\\u0000b"}',
    "nul byte": b'{"name": "a\x00b"}',
    "utf-16": '{"name": "x"}'.encode("utf-16"),
    "nan": b'{"name": "x", "vcpu": NaN}',
    "infinity": b'{"name": "x", "vcpu": Infinity}',
    "leading zero": b'{"name": "x", "vcpu": 01}',
    "plus": b'{"name": "x", "vcpu": +1}',
    "hexadecimal": b'{"name": "x", "vcpu": 0x10}',
    "number of 400 digits": b'{"name": "x", "vcpu": ' + b"1" * 400 + b"}",
    "exponent bomb": b'{"name": "x", "vcpu": 1e999999999}',
    "deep arrays": b"[" * 100000,
    "deep objects": b'{"a":' * 50000,
    "deep inside": b'{"compose_file": ' + b'{"a":' * 20000 + b"1" + b"}" * 20000 + b"}",
    "duplicate key": b'{"name": "one-name", "name": "two-name"}',
    "duplicate by escape": b'{"name": "one-name", "n\\u0061me": "two-name"}',
    "duplicate inside": b'{"name": "dup-inside", "compose_file": {"docker_compose_file": "a", "docker_compose_file": "b"}}',
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("path", ["/cvms", "/cvms/provision", "/preflight"])
def test_a_body_that_is_no_json_object_is_refused(node, path, what):
    answer = node.post(path, data=BODIES[what])
    body = refused(answer, (400, 413, 422))
    assert body.get("error_code") or body["detail"]
    assert node.uuids() == set()


def test_a_duplicate_key_is_named(node):
    answer = node.post("/cvms", data='{"name": "one-name", "name": "two-name"}')
    refused(answer, (400, 422))
    assert "name" in answer.text and "twice" in answer.text.lower() or "duplicate" in answer.text.lower(), answer


# ------------------------------------------------------------------ fields

FIELDS = [
    ("vcpu", "0"), ("vcpu", "-1"), ("vcpu", "1.5"), ("vcpu", '"2"'), ("vcpu", "true"), ("vcpu", "[]"), ("vcpu", "{}"),
    ("vcpu", "9223372036854775807"), ("vcpu", "9223372036854775808"), ("vcpu", "1e30"), ("vcpu", "1" + "0" * 24),
    ("memory", "0"), ("memory", "-2048"), ("memory", "2048.5"), ("memory", '"2G"'), ("memory", "9007199254740993000000"),
    ("disk_size", "0"), ("disk_size", "-1"), ("disk_size", "false"), ("disk_size", "18446744073709551616"),
    ("name", '""'), ("name", '"a"'), ("name", '"1abcdef"'), ("name", '"has space"'), ("name", '"double--dash"'),
    ("name", '"ends-with-"'), ("name", '"../../etc"'), ("name", '"a/b/c/d"'), ("name", '"x%00yyyy"'), ("name", "5"),
    ("name", '"' + "x" * 64 + '"'), ("name", '"' + "x" * 5000 + '"'), ("name", '"umlaut-\\u00e4"'), ("name", "null"),
    ("name", '"new\\nline"'), ("name", '"<script>alert"'), ("name", '"semi;drop table"'),
    ("image", '"no-such-image"'), ("image", '"../teepod-boot-1.0.0"'), ("image", "1"), ("image", '"' + "i" * 300 + '"'),
    ("instance_type", '"tdx.nonsense"'), ("instance_type", "7"),
    ("compose_file", '"services: {}"'), ("compose_file", "[]"), ("compose_file", "7"),
    ("compose_file", '{"docker_compose_file": 5}'), ("compose_file", '{"docker_compose_file": "a: [unclosed"}'),
    ("compose_file", '{"docker_compose_file": "services: {}", "allowed_envs": "A"}'),
    ("compose_file", '{"docker_compose_file": "services: {}", "public_logs": "yes"}'),
    ("compose_file", '{"docker_compose_file": "services: {}", "storage_fs": "ntfs"}'),
    ("ports", '"80"'), ("ports", "{}"), ("ports", "[" + ",".join(["[]"] * 100) + "]"),
    ("encrypted_env", '"xyz"'), ("encrypted_env", '"abc"'), ("encrypted_env", "5"), ("user_config", "5"),
    ("stopped", '"yes"'), ("stopped", "1"), ("listed", '"no"'),
    ("node_id", '"one"'), ("node_id", "-1"), ("region", "5"),
    ("nonsense_field", "1"), ("Name", '"case-matters"'),
]


@pytest.mark.parametrize("field, value", FIELDS, ids=[f"{f}={v[:24]}" for f, v in FIELDS])
def test_a_bad_value_is_refused_naming_field_and_value(node, field, value):
    answer = node.post("/cvms", data=create_text(node, **{field: value}))
    body = refused(answer, (400, 404, 413, 422))
    if "error_code" in body:
        fields = [row["field"] for row in body["details"]]
        assert any(field in f for f in fields) or field == "image", answer
        assert all(row.get("message") for row in body["details"] if row["field"] == field), answer
    assert node.uuids() == set()


def test_refusals_do_not_echo_without_limit(node):
    answer = node.post("/cvms", data=create_text(node, name='"' + "x" * 200000 + '"'))
    assert answer.status in (400, 413, 422) and len(answer.body) < 4096


def test_a_good_name_of_every_allowed_length(node):
    for name in ("abcde", "x" * 63, "A-b-1-z"):
        node.create(name=name, stopped=True)


@pytest.mark.parametrize("timeout", [9, 1201, 0, -1, "60", 1e10, True])
def test_a_shutdown_time_out_is_ten_to_twelve_hundred_seconds(node, timeout):
    cvm = node.create(stopped=True)
    refused(cvm.request("shutdown", timeout=timeout), (400, 422), "ERR-02-008")


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page_size=0", "page_size=100000", "page=1&page=2x",
                                   "page=99999999999999999999", "page_size=1.5"])
def test_a_bad_query_is_refused_naming_the_parameter(node, query):
    for path in ("/apps", "/operations"):
        answer = node.get(f"{path}?{query}")
        if query == "page=1&page=2x" and answer.status == 200:
            continue
        assert answer.status in (400, 422) and "page" in answer.text, answer


# ------------------------------------------------------------------ identifiers

@pytest.mark.parametrize("identifier", [
    "00000000-0000-4000-8000-000000000000", "0" * 32, "app_" + "0" * 40, "0" * 40, "no-such-name", "cvm_999999", "999999",
    "instance_" + "0" * 40, "%20", "a%2fb", "%C3%A4", "..%2f..", "'or'1'='1", "x" * 1000, "-1", "cvm_-1", "0x" + "0" * 40,
    "99999999999999999999999",
])
@pytest.mark.parametrize("verb", ["GET", "start", "DELETE"])
def test_an_unknown_identifier_is_not_found(node, identifier, verb):
    if verb == "start":
        answer = node.post(f"/cvms/{identifier}/start")
    else:
        answer = node.api(verb, f"/cvms/{identifier}")
    refused(answer, 404, "ERR-03-001")


def test_an_app_id_of_two_cvms_is_ambiguous(node):
    first = node.create(name="twin-one", stopped=True)
    fields = node.create_body(name="twin-two", stopped=True, app_id=first.app_id)
    second = node.post("/cvms", json=fields)
    if second.status // 100 != 2:
        # A request with an app id may need a nonce.
        second = node.post("/cvms", json={**fields, "nonce": 1})
    assert second.status // 100 == 2, second
    body = refused(node.get(f"/cvms/app_{first.app_id}"), 400, "ERR-03-010")
    assert "twin" in str(body) or first.uuid in str(body)
    refused(node.post(f"/cvms/{first.app_id}/start"), 400, "ERR-03-010")
    assert len(node.get(f"/apps/{first.app_id}/cvms").ok().json) == 2


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/nothing", 404), ("GET", "/cvms/x/y/z", 404), ("POST", "/nothing", 404), ("GET", "/operations/nothing", 404),
    ("GET", "/operations/00000000-0000-4000-8000-000000000000", 404), ("DELETE", "/images/none-1.0.0", (400, 404)),
    ("PUT", "/cvms", 405), ("DELETE", "/node", 405), ("POST", "/node", 405), ("GET", "/instance-types/none", 404),
    ("GET", "/workspaces/none/nodes", (403, 404)), ("GET", "/apps/zz", 404), ("GET", "/apps/" + "0" * 40, 404),
])
def test_what_is_not_there_is_not_there(node, method, path, status):
    answer = node.api(method, path)
    statuses = status if isinstance(status, tuple) else (status,)
    assert answer.status in statuses, answer
    assert answer.json
    if answer.status == 405:
        assert answer.headers["allow"]


# ------------------------------------------------------------------ busy

def test_a_second_operation_on_a_busy_cvm_is_a_bare_409(node):
    cvm = node.create()
    cvm.request("shutdown", timeout=60).ok()
    for verb in ("start", "restart", "shutdown"):
        answer = cvm.request(verb)
        assert answer.status == 409, answer
        assert "error_code" not in answer.json, "with a code clients would not try again"
        assert answer.json["detail"] and int(answer.headers["retry-after"]) >= 1
    cvm.request("stop").ok()


# ------------------------------------------------------------------ who may

def test_no_key_a_wrong_key_and_a_bad_key_are_401(spawn):
    node = spawn(options={"api.auth_failures_per_minute": 1000})
    for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}, {"X-API-Key": node.key + "x"}, {"X-API-Key": node.key[:-1]},
                    {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}, {"X-API-Key": "x" * 5000}):
        answer = node.get("/node", key=None, headers=headers)
        assert answer.status == 401 and answer.json["detail"], (headers, answer)
    node.get("/node", key=None, headers={"Authorization": f"Bearer {node.key}"}).ok()
    for path in ("/healthz", "/readyz"):
        assert node.api("GET", path, prefix="", key=None).status == 200


def test_a_role_may_do_what_is_its_and_no_more(spawn):
    import subprocess

    from node import PROGRAM

    node = spawn()
    keys = {}
    for role in ("reader", "tenant", "operator"):
        keys[role] = subprocess.run([PROGRAM, "--dev", str(node.dir), "--add-key", f"some-{role}:{role}"], text=True,
                                    capture_output=True, timeout=30, check=True).stdout.split()[-1]
    cvm = node.create(stopped=True)
    node.get("/apps", key=keys["reader"]).ok()
    refused(node.post("/cvms", json=node.create_body(stopped=True), key=keys["reader"]), 403)
    refused(node.post(f"/cvms/{cvm.uuid}/start", key=keys["reader"]), 403)
    refused(node.api("DELETE", f"/cvms/{cvm.uuid}", key=keys["reader"]), 403)
    for role in ("reader", "tenant", "operator"):
        refused(node.post("/images", json={"source": "/tmp"}, key=keys[role]), 403)
    node.post("/cvms", json=node.create_body(stopped=True), key=keys["operator"]).ok()
    assert node.get(f"/cvms/{cvm.uuid}").ok()["status"] == "stopped"
    assert node.key not in node.log_tail(10000) and keys["tenant"] not in node.log_tail(10000), "keys stay out of logs"


# ------------------------------------------------------------------ sizes and times

def status_of(raw):
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.") else None


def test_a_body_over_the_limit_is_413(node):
    answer = node.raw(f"POST {PREFIX}/cvms HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\n"
                      "Content-Length: 1000000000\r\n\r\n".encode())
    assert status_of(answer) == 413
    assert status_of(node.raw(f"GET {PREFIX}/node HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\n"
                              f"Content-Length: 10\r\nConnection: close\r\n\r\n0123456789".encode())) in (400, 413)


def test_a_compose_file_over_its_limit_is_refused(node):
    big = "services: {}\n#" + "x" * (201 * 1024)
    refused(node.try_create(stopped=True, compose_file={"docker_compose_file": big}), (400, 413))
    fits = "services: {web: {image: x}}\n#" + "x" * (190 * 1024)
    node.create(stopped=True, compose_file={"docker_compose_file": fits})


def test_a_target_too_long_is_414_and_headers_too_many_431(node):
    assert status_of(node.raw(b"GET /" + b"x" * 12000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 414
    assert status_of(node.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20000 + b"\r\n\r\n")) == 431
    many = b"".join(b"X-%d: y\r\n" % n for n in range(300))
    assert status_of(node.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n")) == 431


def test_chunked_bodies_are_411(node):
    answer = node.raw(f"POST {PREFIX}/cvms HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".encode())
    assert status_of(answer) == 411


def test_a_head_that_never_ends_is_408(node):
    where = node.url.split("://")[1].split(":")
    began = time.monotonic()
    with socket.create_connection((where[0], int(where[1])), timeout=20) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\n")
        got, next_byte = b"", time.monotonic()
        s.settimeout(0.5)
        while time.monotonic() - began < 18:
            try:
                piece = s.recv(4096)
                if not piece:
                    break
                got += piece
            except socket.timeout:
                pass
            if not got and time.monotonic() > next_byte:
                next_byte += 1
                s.sendall(b"X")
    assert status_of(got) == 408
    assert 8 < time.monotonic() - began < 15, "the whole head has ten seconds, not each byte"


def test_a_post_without_a_body_but_with_a_content_type_is_fine(node):
    cvm = node.create(stopped=True)
    answer = node.post(f"/cvms/{cvm.uuid}/stop", headers={"Content-Type": "application/json"})
    assert answer.status // 100 == 2, answer


def test_many_idle_and_broken_connections_do_no_harm(node):
    where = node.url.split("://")[1].split(":")
    held = []
    try:
        for n in range(300):
            s = socket.create_connection((where[0], int(where[1])), timeout=5)
            s.sendall(b"GET /healthz HT" if n % 2 else b"")
            held.append(s)
        assert node.get("/node").seconds < 2
    finally:
        for s in held:
            s.close()
    assert node.get("/node").status == 200


# ------------------------------------------------------------------ all of it again

def test_ten_thousand_refusals_cost_no_memory(node):
    def round_of_refusals(times):
        connection = node.connection()
        headers = {"X-API-Key": node.key, "Content-Type": "application/json"}
        for n in range(times):
            for data in (b'{"name": "x", "name": "y"}', b'{"a":' * 400, create_text(node, vcpu="-1").encode(),
                         create_text(node, compose_file="[]").encode()):
                connection.request("POST", PREFIX + "/cvms", body=data, headers=headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in (400, 413, 422), answer.status
                if answer.getheader("connection", "").lower() == "close":
                    connection.close()
        connection.close()
    round_of_refusals(250)
    before = rss_kib(node)
    round_of_refusals(2250)
    if "asan" not in str(node.command()[0]):
        assert rss_kib(node) - before < 8 * 1024, "KiB more after nine thousand refusals"
    assert node.uuids() == set()
    assert_consistent(node)


# ---------------------------------------------------------------------- how long a guest has to power off

TIMEOUTS = ("timeout", "timeout_s", "shutdown_timeout")
SHUTS_DOWN = {
    "shutdown": ("POST", "/cvms/{}/shutdown", {}),
    "restart": ("POST", "/cvms/{}/restart", {}),
    "drain": ("POST", "/node/drain", {}),
    "rollback": ("POST", "/apps/{}/revisions/1/rollback", {}),
    "change": ("PATCH", "/cvms/{}", {"listed": True}),
    "resources": ("PATCH", "/cvms/{}/resources", {"memory": 96, "allow_restart": True}),
    "compose": ("PUT", "/cvms/{}/compose", {"compose_manifest": {"docker_compose_file": "services:\n  a:\n    image: b\n"}}),
    "envs": ("PATCH", "/cvms/{}/envs", {"encrypted_env": "00" * 60, "env_keys": []}),
    "os-image": ("PATCH", "/cvms/{}/os-image", {"os_image_name": BOOT}),
    "visibility": ("PATCH", "/cvms/{}/visibility", {"listed": True}),
    "compose_file": ("PATCH", "/cvms/{}/compose_file", {"compose_hash": "0" * 64}),
}


@pytest.mark.parametrize("route", SHUTS_DOWN)
def test_a_timeout_is_checked_on_every_route_under_every_name(node, route):
    cvm = node.create(stopped=True)
    method, path, body = SHUTS_DOWN[route]
    path = path.format(cvm.app_id if route == "rollback" else cvm.uuid)
    for name in TIMEOUTS:
        for bad in (9, 1201, 30000, -1, 0, 10.5, "30", True, [], {}):
            answer = node.api(method, path, json=body | {name: bad})
            assert name in refused(answer, 400, field=name)["message"], (name, bad, answer)
            assert "from 10 to 1200" in answer.text, answer
    refused(node.api(method, path, json=body | {"timeout": 10, "timeout_s": 20}), 400, "ERR-02-009", "timeout_s")
    refused(node.api(method, path, json=body | {"timeout_s": 10, "shutdown_timeout": 20}), 400, "ERR-02-009", "shutdown_timeout")
    for name in TIMEOUTS:
        refused(node.api(method, f"{path}?{name}=30", json=body), 400, field=name)
    assert node.get("/node/maintenance").ok().json["enabled"] is False
    assert [op["kind"] for op in cvm.operations()] == ["create"]


@pytest.fixture(scope="module")
def timed():
    """(verb, name of the timeout field) -> CVM on which the verb ran with a timeout of ten seconds. All of them ran at once."""
    node = Node()
    try:
        node.start()
        asked = {(verb, name): node.create() for verb in ("shutdown", "restart") for name in TIMEOUTS}
        for (verb, name), cvm in asked.items():
            cvm.request(verb, **{name: 10}).ok()
        node.settled(seconds=60)
        yield asked
        assert_consistent(node)
        node.assert_no_full_scans()
    finally:
        node.close()


@pytest.mark.parametrize("verb", ["shutdown", "restart"])
@pytest.mark.parametrize("name", TIMEOUTS)
def test_a_timeout_has_its_effect_under_every_name(timed, verb, name):
    """The guest ignores its power button, so the operation takes the whole timeout."""
    cvm = timed[verb, name]
    (timeout, took_ms), = cvm.node.rows("select json_extract(params, '$.timeout_s'), finished_ms - started_ms from operations"
                                        " where kind = ?1 and cvm_uuid = ?2", verb, cvm.uuid)
    assert timeout == 10
    assert 9000 < took_ms < 20000


@pytest.mark.parametrize("verb", ["stop", "start", "resume", "delete"])
def test_a_verb_that_waits_for_no_guest_refuses_a_timeout(node, verb):
    cvm = node.create(stopped=True)
    for name in TIMEOUTS:
        answer = node.api("DELETE", f"/cvms/{cvm.uuid}", json={name: 30}) if verb == "delete" else cvm.request(verb, **{name: 30})
        assert f"{name} is not allowed: {verb} does not wait" in refused(answer, 400, field=name)["message"]
    assert [op["kind"] for op in cvm.operations()] == ["create"]


def test_the_wait_for_an_operation_has_the_name_of_the_other_waits_too(node):
    cvm = node.create()
    at = f"/operations/{cvm.body['operation_id']}"
    assert node.get(f"{at}?timeout=5").ok().json["state"] == "succeeded"
    assert node.get(f"{at}?timeout=5&wait=5").ok()
    refused(node.get(f"{at}?timeout=5&wait=6"), 400, "ERR-02-009", "timeout")
    for bad in ("61", "-1", "1.5", "x", "5s", ""):
        refused(node.get(f"{at}?timeout={bad}"), 400, field="timeout")

