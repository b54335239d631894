# SPDX-License-Identifier: Apache-2.0
"""Workspaces: quotas, tokens and balances."""

import concurrent.futures
import http.client
import json
import time
from urllib.parse import urlsplit

import pytest

import openapi
from node import PREFIX, assert_consistent, refused, until

FAR = {"capacity.vcpus": 1000, "capacity.memory_mib": 1 << 20, "capacity.disk_gib": 10000, "capacity.slots": 500}
RATES = {"billing.enabled": "yes", "billing.vcpu_hour": 3600000, "billing.disk_gib_hour": 3600}


def request_and_check(node, method, path, status=200, **more):
    """Send a request and check the answer against the description of the API."""
    answer = node.api(method, path, **more)
    assert answer.status == status, answer
    openapi.check(method, PREFIX + path, status, answer.headers.get("content-type"), answer.body)
    return answer


def team(node, slug="team", **quotas):
    return request_and_check(node, "POST", "/workspaces", 201, json={"slug": slug, "quotas": quotas}).json


def token(node, role="tenant", workspace="team", key="own", **more):
    return request_and_check(node, "POST", "/tokens", 201, key=key, json={"name": f"a {role}", "role": role, "workspace": workspace, **more}).json


def details(answer):
    return {row["field"]: row["value"] for row in answer.json["details"]}


def create(node, name, key, **more):
    return node.post("/cvms", json=node.create_body(name=name, stopped=True, vcpu=1, memory=64, disk_size=1, **more), key=key)


def quotas(node, slug="team", key="own"):
    return request_and_check(node, "GET", f"/workspaces/{slug}/quotas", key=key).json


@pytest.fixture
def shared(spawn):
    """A node with a workspace, and the key of a tenant of it."""
    node = spawn(options=FAR)
    team(node, vcpus=4, memory_mib=1024, disk_gib=10, cvms=10, gpus=0)
    return node, token(node)["token"]


# ------------------------------------------------------------------ workspaces


def test_an_admin_makes_changes_and_deletes_workspaces(node):
    made = team(node, "beta", vcpus=4, gpus=None)
    assert made["quotas"] == {"vcpus": 4, "memory_mib": None, "disk_gib": None, "cvms": None, "gpus": None, "host_ports": None}
    refused(node.post("/workspaces", json={"slug": "beta"}), 409)
    changed = request_and_check(node, "PATCH", "/workspaces/beta", json={"name": "Beta", "quotas": {"vcpus": None, "cvms": 3}}).json
    assert changed["name"] == "Beta" and changed["quotas"]["vcpus"] is None and changed["quotas"]["cvms"] == 3
    for body in ({"slug": "Beta"}, {"slug": "4us"}, {"slug": "a_b"}, {"slug": ""}, {"slug": "x" * 64}, {},
                 {"slug": "ok", "quotas": {"vcpus": -1}}, {"slug": "ok", "quotas": {"vcpu": 1}}, {"slug": "ok", "quotas": {"vcpus": "1"}}):
        refused(node.post("/workspaces", json=body), 400, "ERR-02-008")
    assert [w["slug"] for w in request_and_check(node, "GET", "/workspaces").json["data"]] == ["beta", "local"]
    page = request_and_check(node, "GET", "/workspaces?limit=1").json
    assert page["pagination"] == {"has_more": True, "next_cursor": "1", "total": 2}
    assert request_and_check(node, "GET", "/workspaces?limit=1&cursor=1").json["data"][0]["slug"] == "local"
    key = token(node, workspace="beta")["token"]
    held = create(node, "held-by", key).ok().json
    refused(node.api("DELETE", "/workspaces/beta"), 409)
    refused(node.api("DELETE", "/workspaces/local"), 409)
    node.api("DELETE", f"/cvms/{held['vm_uuid']}").ok()
    node.settled()
    assert node.get("/auth/me", key=key).status == 200
    request_and_check(node, "DELETE", "/workspaces/beta", 204)
    refused(node.get("/auth/me", key=key), 401)
    refused(node.get("/workspaces/beta"), 404)
    again = team(node, "beta")
    assert again["id"] != made["id"], "old events must not become those of a new workspace"
    request_and_check(node, "DELETE", "/workspaces/beta", 204)


def test_only_an_admin_changes_workspaces(shared):
    node, tenant = shared
    for key in (tenant, token(node, "operator")["token"]):
        refused(node.post("/workspaces", json={"slug": "mine"}, key=key), 403)
        refused(node.api("PATCH", "/workspaces/team", json={"quotas": {"vcpus": 99}}, key=key), 403)
        refused(node.api("DELETE", "/workspaces/team", key=key), 403)
        refused(node.post("/workspaces/team/credits", json={"amount": 1}, key=key), 403)


# ------------------------------------------------------------------ isolation


def test_a_cvm_of_another_workspace_is_answered_as_one_that_is_missing(shared):
    node, tenant = shared
    theirs = node.try_create(name="in-local", stopped=True).ok().json
    reader = token(node, "reader")["token"]
    routes = [(m, p, op["x-role"]) for m, p in sorted(openapi.operations()) for op in [openapi.operations()[m, p]] if "/cvms/{id}" in p]
    assert len(routes) >= 8
    bodies = {"/preflight": {"vcpu": 1}, "/policy": {"auto_start": True}}

    def is_unread(pattern):
        """Refused for its body, before anything was looked up."""
        return "requestBody" in openapi.operations()[method, pattern] and not any(pattern.endswith(tail) for tail in bodies)

    def response(method, pattern, name, key, query=""):
        body = next((b for tail, b in bodies.items() if pattern.endswith(tail)), None)
        answer = node.api(method, pattern.replace("{id}", name) + query, prefix="", key=key, json=body, headers={"X-Request-Id": "same"})
        return answer.status, answer.text.replace(name, "NAME"), {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
    for method, pattern, role in routes:
        for key in (tenant, reader) if role == "reader" else (tenant,):
            for name, missing in (("in-local", "in-limbo"), (theirs["vm_uuid"], "8b5b3c58-7c2e-4f0e-9d3a-0123456789ab"),
                                  (theirs["app_id"], "0" * 40), (f"cvm_{theirs['id']}", "cvm_999")):
                for query in ("", "?workspace=local", "?workspace=nowhere", "?workspace=team"):
                    found = response(method, pattern, name, key, query)
                    assert found == response(method, pattern, missing, key, query), (method, pattern)
                    # The source of a replica has its own error code.
                    code = "ERR-03-008" if pattern.endswith("/replicas") else "ERR-03-001"
                    assert found[0] == 404 and f'"{code}"' in found[1] or found[0] == 400 and is_unread(pattern), (method, pattern, found)
    for path in (f"/apps/{theirs['app_id']}", f"/apps/{theirs['app_id']}/cvms", f"/operations/{theirs['operation_id']}", "/workspaces/local",
                 "/workspaces/local/quotas", "/workspaces/local/balance", "/workspaces/local/ledger", "/workspaces/local/nodes"):
        refused(node.get(path, key=tenant), 404)


def test_callers_of_all_workspaces_see_that_it_is_in_another_one(shared):
    node, tenant = shared
    mine = create(node, "in-team", tenant).ok().json
    for key in (node.key, token(node, "operator", "local")["token"]):
        assert node.get("/cvms/in-team", key=key).ok()["name"] == "in-team"
        assert node.get("/cvms/in-team?workspace=team", key=key).ok()["name"] == "in-team"
        refused(node.get("/cvms/in-team?workspace=local", key=key), 404, "ERR-03-003", "cvm_id")
        refused(node.get(f"/cvms/{mine['vm_uuid']}?workspace=local", key=key), 404, "ERR-03-003")
        refused(node.post("/cvms/in-team/start?workspace=local", key=key), (403, 404))
        refused(node.get("/cvms/nobody?workspace=local", key=key), 404, "ERR-03-001")
        refused(node.get("/cvms/in-team?workspace=nowhere", key=key), 404)


# ------------------------------------------------------------------ shares


def test_each_refusal_has_its_code_and_true_numbers(shared):
    node, tenant = shared
    create(node, "first", tenant).ok()
    big = node.create_body(name="second", stopped=True, vcpu=4, memory=64, disk_size=1)
    no = node.post("/cvms", json=big, key=tenant)
    refused(no, 403, "ERR-02-015")
    assert details(no) == {"resource": "vcpus", "requested": 4, "remaining": 3, "limit": 4}
    no = node.post("/cvms", json={**big, "vcpu": 5}, key=tenant)
    refused(no, 403, "ERR-04-003")
    assert details(no) == {"resource": "vcpus", "requested": 5, "limit": 4}
    refused(node.post("/cvms", json={**big, "vcpu": 1, "memory": 1000}, key=tenant), 403, "ERR-02-015", "resource", "memory_mib")
    refused(node.post("/cvms", json={**big, "vcpu": 1, "disk_size": 10}, key=tenant), 403, "ERR-02-015", "resource", "disk_gib")
    refused(node.post("/cvms/provision", json={k: v for k, v in big.items() if k != "stopped"}, key=tenant), 403, "ERR-02-015")
    tried = request_and_check(node, "POST", "/preflight", key=tenant, json={k: v for k, v in big.items() if k != "stopped"}).json
    assert tried["fits"] is False and tried["error"]["error_code"] == "ERR-02-015"
    grown = node.post("/cvms/first/preflight", json={"vcpu": 5}, key=tenant).ok().json
    assert grown["fits"] is False and grown["error"]["error_code"] == "ERR-04-003"
    assert node.post("/cvms/first/preflight", json={"vcpu": 4}, key=tenant).ok()["fits"] is True
    request_and_check(node, "PATCH", "/workspaces/team", json={"quotas": {"cvms": 1}})
    no = node.post("/cvms", json={**big, "vcpu": 1}, key=tenant)
    refused(no, 403, "ERR-04-002")
    assert details(no) == {"limit": 1, "current": 1}
    node.try_create(name="in-local", stopped=True, vcpu=8).ok()     # the limits of another workspace are separate
    assert_consistent(node)


def test_quotas_are_shown_in_the_clouds_format_with_real_numbers(shared):
    node, tenant = shared
    create(node, "first", tenant).ok()
    shown = quotas(node, key=tenant)
    assert shown["team_slug"] == "team"
    assert shown["quotas"]["vcpu"] == {"limit": 4, "remaining": 3, "used": 1, "unlimited": False}
    assert shown["quotas"]["memory_mb"]["remaining"] == 1024 - 64 and shown["quotas"]["disk_gb"]["remaining"] == 9
    assert shown["quotas"]["vm_slots"] == {"limit": 10, "remaining": 9, "used": 1, "unlimited": False}
    assert shown["reserved_gpu"]["gpus"]["limit"] == 0 and shown["reserved_gpu"]["in_use"] == 0
    free = quotas(node, "local")["quotas"]
    assert free["vcpu"] == {"limit": 1000, "remaining": 999, "used": 0, "unlimited": True}, "without a limit: what the node has"
    request_and_check(node, "PATCH", "/workspaces/team", json={"quotas": {"vcpus": 0}})
    assert quotas(node)["quotas"]["vcpu"] == {"limit": 0, "remaining": 0, "used": 1, "unlimited": False}


def test_fifty_creates_at_once_against_a_share_of_ten_make_ten(shared):
    node, tenant = shared
    request_and_check(node, "PATCH", "/workspaces/team", json={"quotas": {"vcpus": None}})
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda i: create(node, f"racer-{i}", tenant), range(50)))
    assert sum(a.status == 200 for a in answers) == 10
    for no in (a for a in answers if a.status != 200):
        refused(no, 403, "ERR-04-002")
        assert details(no) == {"limit": 10, "current": 10}
    assert quotas(node)["quotas"]["vm_slots"]["used"] == 10
    node.kill()
    node.start()
    assert quotas(node)["quotas"]["vm_slots"]["used"] == 10
    assert_consistent(node)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        gone = list(pool.map(lambda a: node.api("DELETE", f"/cvms/{a['vm_uuid']}", key=tenant).status, [a for a in answers if a.status == 200]))
    assert gone == [204] * 10
    node.settled()
    assert quotas(node)["quotas"]["disk_gb"]["used"] == 0
    assert_consistent(node)


def test_a_start_that_takes_its_vcpus_again_is_held_against_the_share(spawn):
    node = spawn(options={**FAR, "capacity.release_on_stop": "yes"})
    team(node, vcpus=2)
    tenant = token(node)["token"]
    first = create(node, "first", tenant).ok().json
    second = node.post("/cvms", json=node.create_body(name="second", vcpu=2, memory=64, disk_size=1), key=tenant).ok().json
    node.settled()
    refused(node.post(f"/cvms/{first['vm_uuid']}/start", key=tenant), 403, "ERR-02-015", "resource", "vcpus")
    node.post(f"/cvms/{second['vm_uuid']}/stop", key=tenant).ok()
    node.settled()
    assert quotas(node)["quotas"]["vcpu"]["used"] == 0
    node.post(f"/cvms/{first['vm_uuid']}/start", key=tenant).ok()
    node.settled()
    assert quotas(node)["quotas"]["vcpu"]["used"] == 1
    assert_consistent(node)


# ------------------------------------------------------------------ tokens


def test_a_token_is_shown_once_and_kept_nowhere(shared):
    node, tenant = shared
    body = {"name": "laptop", "role": "reader", "limits": {"requests_per_minute": 600}, "expires_at": "2100-01-01T00:00:00Z"}
    made = request_and_check(node, "POST", "/tokens", 201, key=tenant, json=body, headers={"Idempotency-Key": "k"}).json
    text = made.pop("token")
    again = request_and_check(node, "POST", "/tokens", 201, key=tenant, json=body, headers={"Idempotency-Key": "k"})
    assert again.headers["idempotent-replayed"] == "true" and again.json == made
    assert text.startswith(made["prefix"]) and made["workspace"] == "team" and made["last_used_at"] is None
    assert made["expires_at"] == "2100-01-01T00:00:00.000Z" and made["limits"] == {"requests_per_minute": 600}
    assert node.get("/auth/me", key=text).ok()["workspace"]["slug"] == "team"
    shown = request_and_check(node, "GET", f"/tokens/{made['id']}", key=tenant).json
    assert shown.pop("last_used_at") and shown == {k: v for k, v in made.items() if k != "last_used_at"}
    listed = request_and_check(node, "GET", "/tokens", key=tenant)
    assert made["id"] in [t["id"] for t in listed.json["items"]]
    secret = text[len(made["prefix"]):]
    for where in [listed.text, node.log_tail(10000)] + [f.read_bytes().decode("latin1") for f in node.dir.glob("teepod.db*")]:
        assert secret not in where


def test_a_tenant_makes_tokens_of_its_own_workspace_up_to_its_own_role(shared):
    node, tenant = shared
    team(node, "other")
    operator, reader = token(node, "operator")["token"], token(node, "reader")["token"]
    above = token(node, "admin")
    for role in ("operator", "admin"):
        refused(node.post("/tokens", json={"name": "x", "role": role}, key=tenant), 403, value=role)
    refused(node.post("/tokens", json={"name": "x", "role": "admin"}, key=operator), 403)
    refused(node.post("/tokens", json={"name": "x", "role": "reader", "workspace": "other"}, key=tenant), 404)
    refused(node.post("/tokens", json={"name": "x", "role": "reader", "workspace": "other"}, key=operator), 403)
    refused(node.post("/tokens", json={"name": "x", "role": "reader"}, key=reader), 403)
    refused(node.get("/tokens", key=reader), 403)
    stranger = token(node, "tenant", "other")
    for id in (above["id"], stranger["id"], "tok_999", "tok_x", "tok_", "999999999999999999999"):
        refused(node.get(f"/tokens/{id}", key=tenant), 404)
        refused(node.api("DELETE", f"/tokens/{id}", key=tenant), 404)
    seen = request_and_check(node, "GET", "/tokens", key=tenant).json
    assert {t["role"] for t in seen["items"]} == {"reader", "tenant"} and {t["workspace"] for t in seen["items"]} == {"team"}
    refused(node.get("/tokens?workspace=other", key=tenant), 404)
    assert [t["id"] for t in request_and_check(node, "GET", "/tokens?workspace=other").json["items"]] == [stranger["id"]]
    for body in ({"name": "x"}, {"role": "reader"}, {"name": "", "role": "reader"}, {"name": "x", "role": "king"},
                 {"name": "x", "role": "reader", "expires_at": "tomorrow"}, {"name": "x", "role": "reader", "expires_at": "2001-01-01T00:00:00Z"},
                 {"name": "x", "role": "reader", "limits": {"requests_per_minute": 0}}, {"name": "x", "role": "reader", "expires": "never"}):
        refused(node.post("/tokens", json=body, key=tenant), 400, "ERR-02-008")


def test_an_expired_token_opens_nothing(shared):
    node, tenant = shared
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3)) + "Z"
    key = token(node, key=tenant, expires_at=soon)["token"]
    assert node.get("/auth/me", key=key).status == 200
    stream = Stream(node, "/events", key)
    until("it has expired", lambda: node.get("/auth/me", key=key).status == 401, every=0.2)
    assert "expired" in node.get("/auth/me", key=key).text
    stream.ends()


class Stream:
    """An event stream."""

    def __init__(self, node, path, key):
        where = urlsplit(node.url)
        self.connection = http.client.HTTPConnection(where.hostname, where.port, timeout=15)
        self.connection.request("GET", PREFIX + path, headers={"X-API-Key": key, "Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()

    def ends(self):
        """Read until the server ends the stream; a timeout is an error."""
        text = self.answer.read()
        self.connection.close()
        return text


def test_a_revoked_token_opens_nothing_and_its_streams_end_at_once(shared):
    node, tenant = shared
    mine = create(node, "watched", tenant).ok().json
    made, other = token(node, key=tenant), token(node, key=tenant)
    streams = [Stream(node, path, made["token"]) for path in
               ("/events", f"/cvms/{mine['vm_uuid']}/state?timeout=600")]
    kept = Stream(node, "/events", other["token"])
    began = time.monotonic()
    request_and_check(node, "DELETE", f"/tokens/{made['id']}", 204, key=tenant)
    refused(node.get("/auth/me", key=made["token"]), 401)
    for stream in streams:
        stream.ends()
    assert time.monotonic() - began < 2
    refused(node.get(f"/tokens/{made['id']}", key=tenant), 404)
    refused(node.api("DELETE", f"/tokens/{made['id']}", key=tenant), 404)
    create(node, "afterwards", tenant).ok()
    until("the other stream goes on", lambda: b"cvm.created" in kept.answer.read1(65536))
    kept.connection.close()
    node.kill()
    node.start()
    refused(node.get("/auth/me", key=made["token"]), 401)


def test_a_token_over_its_limit_waits_and_others_do_not(shared):
    node, tenant = shared
    key = token(node, key=tenant, limits={"requests_per_minute": 30})["token"]
    answers = [node.get("/auth/me", key=key) for _ in range(40)]
    no = [a for a in answers if a.status == 429]
    assert [a.status for a in answers[:30]] == [200] * 30 and 5 <= len(no) <= 10
    for a in no:
        assert 1 <= int(a.headers["retry-after"]) <= 2, a
        refused(a, 429)
    assert node.get("/auth/me", key=tenant).status == 200
    until("time brings requests back", lambda: node.get("/auth/me", key=key).status == 200, seconds=6, every=0.5)


def test_tokens_are_limited_in_number_and_in_haste(spawn):
    node = spawn(options={"tokens.max_per_workspace": 3, "tokens.made_per_minute": 5})
    team(node)
    made = [token(node) for _ in range(3)]
    no = node.post("/tokens", json={"name": "x", "role": "reader", "workspace": "team"})
    refused(no, 403, "ERR-05-001")
    assert details(no) == {"limit": 3, "current": 3}
    for each in made[:2]:
        request_and_check(node, "DELETE", f"/tokens/{each['id']}", 204)
        token(node)
    request_and_check(node, "DELETE", f"/tokens/{made[2]['id']}", 204)
    no = node.post("/tokens", json={"name": "x", "role": "reader", "workspace": "team"})
    refused(no, 429, "ERR-05-002")
    assert details(no)["limit"] == 5 and details(no)["retry_after"] == int(no.headers["retry-after"]) > 0
    token(node, workspace="local")      # each workspace has its own


# ------------------------------------------------------------------ money


def balance(node, slug="team", key="own"):
    return request_and_check(node, "GET", f"/workspaces/{slug}/balance", key=key).json


def credit(node, amount, slug="team", **headers):
    return request_and_check(node, "POST", f"/workspaces/{slug}/credits", 201, json={"amount": amount, "note": "for a test"}, headers=headers)


def ledger(node, slug="team"):
    return request_and_check(node, "GET", f"/workspaces/{slug}/ledger?page_size=1000").json["items"]


def test_without_billing_nothing_costs_anything(shared):
    node, tenant = shared
    shown = balance(node, key=tenant)
    assert (shown["enabled"], shown["balance"], shown["hourly_rate"], shown["hours_left"]) == (False, 0, 0, None)
    assert ledger(node) == []


def test_credit_is_needed_added_once_and_spent_by_what_runs(spawn):
    node = spawn(options={**FAR, **RATES})
    team(node)
    tenant = token(node)["token"]
    no = create(node, "first", tenant)
    refused(no, 400, "ERR-04-001")
    assert details(no) == {"balance": 0, "required": 3600}
    tried = node.post("/preflight", json=node.create_body(name="first", vcpu=1, memory=64, disk_size=1), key=tenant).ok().json
    assert tried["error"]["error_code"] == "ERR-04-001"
    first = credit(node, 3700, **{"Idempotency-Key": "invoice-1"})
    again = credit(node, 3700, **{"Idempotency-Key": "invoice-1"})
    assert again.json == first.json and again.headers["idempotent-replayed"] == "true"
    assert balance(node)["booked"] == 3700
    mine = create(node, "first", tenant).ok().json
    no = node.post(f"/cvms/{mine['vm_uuid']}/start", key=tenant)
    refused(no, 400, "ERR-04-001")
    assert details(no)["required"] == 3600000 + 3600
    refused(node.post(f"/cvms/{mine['vm_uuid']}/restart", key=tenant), 400, "ERR-04-001")
    credit(node, 10_000_000)
    node.post(f"/cvms/{mine['vm_uuid']}/start", key=tenant).ok()
    node.settled()
    began = balance(node, key=tenant)
    assert began["hourly_rate"] == 3603600 and began["hours_left"] in (1, 2)
    assert node.get("/auth/me", key=tenant).ok()["credits"]["balance"].startswith(("9.", "10."))
    time.sleep(2)
    assert 2000 <= began["balance"] - balance(node)["balance"] <= 6000
    node.kill()                 # guests run on and are charged
    time.sleep(1)
    node.start()
    node.post(f"/cvms/{mine['vm_uuid']}/stop", key=tenant).ok()
    node.settled()
    rows = [r for r in ledger(node) if r["kind"] == "charge"]
    ran = [r for r in rows if r["hourly_rate"] == 3603600]
    assert len(ran) == 1 and ran[0]["elapsed_ms"] > 3000, rows
    assert ran[0]["amount"] in (-(ran[0]["elapsed_ms"] * 3603600 // 3600000), -(ran[0]["elapsed_ms"] * 3603600 // 3600000) - 1)
    node.api("DELETE", f"/cvms/{mine['vm_uuid']}", key=tenant).ok()
    node.settled()
    over = balance(node)
    assert over["hourly_rate"] == 0 and over["balance"] == over["booked"] == sum(r["amount"] for r in ledger(node))
    rows = sorted((r for r in ledger(node) if r["kind"] == "charge"), key=lambda r: r["from"])
    assert all(a["to"] == b["from"] for a, b in zip(rows, rows[1:])), "no gap and no overlap"
    assert_consistent(node)


def test_kill_9_between_any_two_changes_neither_loses_nor_doubles_a_charge(spawn):
    node = spawn(options={**FAR, **RATES})
    team(node)
    tenant = token(node)["token"]
    credit(node, 10**9)
    mine = create(node, "first", tenant).ok().json
    for verb in ("start", "stop", "start", "stop"):
        node.post(f"/cvms/{mine['vm_uuid']}/{verb}", key=tenant).ok()
        node.kill()
        node.start()
        node.settled()
    node.api("DELETE", f"/cvms/{mine['vm_uuid']}", key=tenant).ok()
    node.kill()
    node.start()
    node.settled()
    rows = sorted((r for r in ledger(node) if r["kind"] == "charge"), key=lambda r: r["from"])
    assert all(a["to"] == b["from"] for a, b in zip(rows, rows[1:])), json.dumps(rows, indent=1)
    elapsed = sum(r["elapsed_ms"] * r["hourly_rate"] for r in rows)
    assert -sum(r["amount"] for r in rows) == elapsed // 3600000
    assert balance(node)["balance"] == 10**9 - elapsed // 3600000
    assert_consistent(node)


def test_credit_bodies_that_are_no_credit(node):
    for body in ({}, {"amount": 0}, {"amount": 1.5}, {"amount": "1"}, {"amount": 10**16}, {"amount": 1, "currency": "EUR"}, {"amount": 1, "note": "x" * 201}):
        refused(node.post("/workspaces/local/credits", json=body), 400, "ERR-02-008")
    refused(node.post("/workspaces/nowhere/credits", json={"amount": 1}), 404)
