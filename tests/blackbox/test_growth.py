# SPDX-License-Identifier: Apache-2.0
"""Host ports, rows and bytes are limited for each workspace, and a workspace at its limit does not affect others."""

import subprocess

from node import COMPOSE, DEMO, PROGRAM, assert_consistent, refused, until
from test_quotas import FAR, create, details, quotas

LONG = 100_000


def known(options):
    """The options that the daemon under test knows. An older daemon has no such limit, and the test shows it."""
    keys = subprocess.run([PROGRAM, "--help-config"], capture_output=True, text=True, check=True).stdout
    return {k: v for k, v in options.items() if f"#{k.split('.')[1]} = " in keys.partition(f"[{k.split('.')[0]}]")[2].partition("\n[")[0]}


def tenant_of(node, slug="team", role="tenant"):
    """Key of a tenant of a workspace, which is created if necessary."""
    node.post("/workspaces", json={"slug": slug})
    return node.post("/tokens", json={"name": slug, "role": role, "workspace": slug}).ok()["token"]


def compose(i, length=LONG):
    return {"docker_compose_file": f"services:\n  web:\n    image: nginx:1.{i}\n", "pre_launch_script": "#" + "x" * length}


def bytes_of(node, query, slug="team"):
    return node.rows(query, slug)[0][0] or 0


def over(answer, resource):
    """The answer says that the workspace has reached its limit of @resource."""
    refused(answer, 403, "ERR-02-015", "resource", resource)
    limits = details(answer)
    assert limits["remaining"] == 0 and limits["limit"] > 0, answer
    return limits


def until_refused(attempt, most):
    for i in range(most):
        answer = attempt(i)
        if answer.status // 100 != 2:
            return i, answer
    raise AssertionError(f"none of {most} was refused")


def ports(n, first=1):
    return [{"protocol": "tcp", "vm_port": first + i} for i in range(n)]


def held_ports(node):
    return quotas(node)["quotas"]["host_ports"]["used"]


def test_host_ports_have_a_share_that_replicas_changes_and_crashes_keep_to(spawn):
    node = spawn(options=FAR)
    tenant = tenant_of(node)
    node.api("PATCH", "/workspaces/team", json={"quotas": {"host_ports": 10}})
    mine = create(node, "ported", tenant, ports=ports(4)).ok().json
    no = node.post(f"/cvms/{mine['vm_uuid']}/replicas", key=tenant, json={"count": 2, "stopped": True})
    refused(no, 403, "ERR-02-015", "resource", "host_ports")
    assert details(no) == {"resource": "host_ports", "requested": 4, "remaining": 2, "limit": 10}
    some = node.post(f"/cvms/{mine['vm_uuid']}/replicas", key=tenant, json={"count": 2, "stopped": True, "partial": True}).ok().json
    assert some["created"] == 1 and some["error"]["error_code"] == "ERR-02-015" and held_ports(node) == 8
    refused(create(node, "too-large", tenant, ports=ports(11)), 403, "ERR-04-003", "resource", "host_ports")
    tried = node.post("/preflight", key=tenant, json=node.create_body(ports=ports(3))).ok().json
    assert not tried["fits"] and tried["error"]["error_code"] == "ERR-02-015"
    assert node.post("/preflight", key=tenant, json=node.create_body(ports=ports(2))).ok()["fits"]
    refused(node.api("PATCH", f"/cvms/{mine['vm_uuid']}", key=tenant, json={"ports": ports(7)}), 403, "ERR-02-015", "resource", "host_ports")
    node.api("PATCH", f"/cvms/{mine['vm_uuid']}", key=tenant, json={"ports": ports(6)}).ok()
    node.settled()
    assert held_ports(node) == 10
    assert quotas(node)["quotas"]["host_ports"] == {"limit": 10, "remaining": 0, "used": 10, "unlimited": False}
    node.kill()
    node.start()
    assert held_ports(node) == 10
    refused(create(node, "one-more", tenant, ports=ports(1)), 403, "ERR-02-015")
    node.create(stopped=True, ports=ports(8))       # of another workspace
    node.api("PATCH", f"/cvms/{mine['vm_uuid']}", key=tenant, json={"ports": ports(1)}).ok()
    node.settled()
    assert held_ports(node) == 5
    node.api("DELETE", f"/cvms/{some['items'][0]['vm_uuid']}", key=tenant).ok()
    node.settled()
    assert held_ports(node) == 1
    assert_consistent(node)


def busy_ms(node):
    """CPU time of the daemon's first thread, which runs the event loop. Other load on the machine does not count."""
    with open(f"/proc/{node.process.pid}/task/{node.process.pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e6


def test_a_free_port_is_found_in_one_walk_however_many_are_taken(spawn):
    node = spawn(options={"ports.range": "20000-29999"})
    node.create(stopped=True, name="has-them-all")
    node.kill()
    with node.writing() as db:
        db.execute("with recursive n (i) as (values (20000) union all select i + 1 from n where i < 29999)"
                   " insert into ports select 'tcp', '127.0.0.1', i, 80, 80, 1 from n")
    node.start()
    body = node.create_body(name="wants-one", ports=ports(1))
    assert not node.post("/preflight", json=body).ok()["fits"]
    before, n = busy_ms(node), 20
    for _ in range(n):
        assert not node.post("/preflight", json=body).ok()["fits"]
    assert (busy_ms(node) - before) / n < 15, "milliseconds of the loop for each"
    assert node.post("/preflight", json=node.create_body(ports=[{"protocol": "udp", "vm_port": 1}])).ok()["fits"]


# ------------------------------------------------------------------ rows and bytes


PROVISIONS = ("select sum(length(request) + length(manifest)) from provisions p join workspaces w on w.id = p.workspace where w.slug = ?")
REVISIONS = ("select sum(length(manifest)) from revisions r join apps a on a.id = r.app join workspaces w on w.id = a.workspace"
             " where w.slug = ?")


def test_provisions_are_bounded_and_those_that_were_used_make_room(spawn):
    node = spawn(options=known({"records.provisions": "1M"}))
    tenant, other = tenant_of(node), tenant_of(node, "other")

    def provision(i, key=tenant):
        return node.post("/cvms/provision", key=key, json=node.create_body(name=f"waits-{i}", compose_file=compose(i)))
    first = provision(0).ok().json
    n, no = until_refused(lambda i: provision(i + 1), 30)
    assert 5 <= n <= 11
    limits = over(no, "provisions_bytes")
    assert limits["limit"] == 1 << 20 and 13 * 86400 < int(no.headers["retry-after"]) <= 14 * 86400
    assert bytes_of(node, PROVISIONS) <= 1 << 20
    provision(1000, other).ok()
    made = node.post("/cvms", key=tenant, json={"app_id": first["app_id"], "compose_hash": first["compose_hash"], "stopped": True})
    assert made.status == 200, made
    provision(1001).ok()
    over(provision(1002), "provisions_bytes")
    assert bytes_of(node, PROVISIONS) <= 1 << 20
    refused(node.post("/cvms", key=tenant, json={"app_id": first["app_id"], "compose_hash": first["compose_hash"]}), 400)
    node.kill()
    node.start()
    over(provision(1003), "provisions_bytes")
    assert_consistent(node)


def test_an_update_uses_its_provision(node):
    cvm = node.create(stopped=True)
    whole = {**node.get(f"/cvms/{cvm.uuid}/compose_file").ok().json, "docker_compose_file": "services:\n  web:\n    image: nginx:1.29\n"}
    made = node.post(f"/cvms/{cvm.uuid}/compose_file/provision", json={**whole, "update_env_vars": None}).ok().json
    assert node.rows("select used from provisions") == [(0,)]
    node.api("PATCH", f"/cvms/{cvm.uuid}/compose_file", json={"compose_hash": made["compose_hash"]}).ok()
    node.settled()
    assert node.rows("select used from provisions") == [(1,)]


def test_revisions_are_bounded_by_dropping_those_that_nothing_needs(spawn):
    node = spawn(options={**FAR, **known({"records.revisions": "1M"})})
    tenant, other = tenant_of(node), tenant_of(node, "other")
    mine = create(node, "changed", tenant, compose_file=compose(0)).ok().json
    for i in range(1, 30):
        node.api("PATCH", f"/cvms/{mine['vm_uuid']}", key=tenant, json=compose(i)).ok()
        node.settled(mine["vm_uuid"])
    assert bytes_of(node, REVISIONS) <= 1 << 20
    newest, n, gap = node.rows("select max(number), count(*), max(number) - min(number) + 1 - count(*) from history")[0]
    assert newest == 30 and 2 <= n <= 11 and gap == 0
    assert node.get(f"/apps/{mine['app_id']}/revisions", key=tenant).ok()["total"] == n
    shown = node.get(f"/cvms/{mine['vm_uuid']}/compose_file", key=tenant).ok().text
    assert "nginx:1.29" in shown
    n, no = until_refused(lambda i: create(node, f"more-{i}", tenant, compose_file=compose(100 + i)), 30)
    assert 5 <= n <= 10
    over(no, "revisions_bytes")
    create(node, "another", other, compose_file=compose(0)).ok()
    over(node.api("PATCH", f"/cvms/{mine['vm_uuid']}", key=tenant, json=compose(30, 2 * LONG)), "revisions_bytes")
    for row in node.rows("select uuid from cvms where name like 'more-%'"):
        node.api("DELETE", f"/cvms/{row[0]}", key=tenant).ok()
    node.settled()
    node.api("PATCH", f"/cvms/{mine['vm_uuid']}", key=tenant, json=compose(31, 2 * LONG)).ok()
    node.settled()
    assert_consistent(node)


def test_kept_answers_are_bounded_and_those_that_are_kept_stay(spawn):
    node = spawn(options={**FAR, **known({"records.answers": "64K"})})
    tenant, other = tenant_of(node), tenant_of(node, "other")
    mine, theirs = (create(node, name, key).ok().json for name, key in (("first", tenant), ("second", other)))

    def set_order(i, key=tenant, cvm=mine, **headers):
        return node.api("PATCH", f"/cvms/{cvm['vm_uuid']}/policy", key=key, json={"start_order": i}, headers={"Idempotency-Key": f"k{i}", **headers})
    first = set_order(0).ok()
    n, no = until_refused(lambda i: set_order(i + 1), 200)
    limits = over(no, "answers_bytes")
    assert limits["limit"] == 65536 and 23 * 3600 < int(no.headers["retry-after"]) <= 24 * 3600
    again = set_order(0)
    assert again.headers["idempotent-replayed"] == "true" and again.body == first.body
    # A new token of the workspace has the same limit.
    over(set_order(1000, tenant_of(node)), "answers_bytes")
    node.post(f"/cvms/{mine['vm_uuid']}/stop", key=tenant, headers={"Idempotency-Key": "gives-back"}).ok()
    node.settled()
    node.api("PATCH", f"/cvms/{mine['vm_uuid']}/policy", key=tenant, json={"start_order": 7}).ok()
    set_order(0, other, theirs).ok()
    assert node.rows("select count(*) from idempotency where caller like 'key:%'")[0][0] <= 130
    node.kill()
    node.start()
    over(set_order(n + 1), "answers_bytes")
    assert set_order(0).headers["idempotent-replayed"] == "true"
    assert_consistent(node)


def test_events_are_bounded_and_what_gives_back_goes_on(spawn):
    node = spawn(options={**FAR, **known({"records.events": "64K"})})
    tenant, other = tenant_of(node), tenant_of(node, "other")
    mine = create(node, "noisy", tenant).ok().json
    running = node.post("/cvms", key=tenant, json=node.create_body(name="runs-on", vcpu=1, memory=64)).ok().json
    theirs = create(node, "quiet", other).ok().json
    node.settled()

    def policy(i, cvm=mine, key=tenant):
        return node.api("PATCH", f"/cvms/{cvm['vm_uuid']}/policy", key=key, json={"start_order": i})
    n, no = until_refused(policy, 1000)
    limits = over(no, "events_bytes")
    assert limits["limit"] == 65536 and 29 * 86400 < int(no.headers["retry-after"]) <= 30 * 86400
    over(create(node, "one-more", tenant), "events_bytes")
    over(node.post("/tokens", key=tenant, json={"name": "x", "role": "reader"}), "events_bytes")
    policy(1, theirs, other).ok()
    policy(2, theirs, "own").ok()
    policy(n + 1, mine, "own").ok()
    node.get(f"/cvms/{mine['vm_uuid']}", key=tenant).ok()
    node.post(f"/cvms/{running['vm_uuid']}/stop", key=tenant).ok()
    node.settled()
    for cvm in (running, mine):
        node.api("DELETE", f"/cvms/{cvm['vm_uuid']}", key=tenant).ok()
    node.settled()
    assert_consistent(node)


def test_what_a_guest_says_leaves_its_owner_half_of_the_events(spawn):
    node = spawn(options={**FAR, **known({"records.events": "64K"})})
    tenant = tenant_of(node)
    mine = create(node, "noisy", tenant).ok().json
    used = "select bytes from records r join workspaces w on w.id = r.workspace where kind = 'events' and slug = ?"

    def policy(i):
        return node.api("PATCH", f"/cvms/{mine['vm_uuid']}/policy", key=tenant, json={"start_order": i}).ok()
    i = 0
    while bytes_of(node, used) < 32768:
        policy(i := i + 1)
    guest = node.post("/cvms", key=tenant, json=node.create_body(name="says-much", image=DEMO, vcpu=1, memory=160)).ok().json
    node.settled(guest["vm_uuid"], 90)
    assert node.get(f"/cvms/{guest['vm_uuid']}").json["boot_progress"] == "done"
    assert node.rows("select count(*) from events where type = 'cvm.progress'") == [(0,)]
    policy(0)
    assert_consistent(node)


def test_operations_are_bounded_by_forgetting_the_oldest(spawn):
    node = spawn(options={**FAR, **known({"records.operations": "20"})})
    tenant = tenant_of(node)
    kept = node.create(stopped=True)
    mine = create(node, "restless", tenant).ok().json
    ids = []
    for _ in range(60):
        ids.append(node.post(f"/cvms/{mine['vm_uuid']}/stop", key=tenant).ok().headers["x-operation-id"])
        node.settled(mine["vm_uuid"])
    listed = node.get("/operations?page_size=100", key=tenant).ok().json
    assert listed["total"] <= 21
    # The first 13 characters of an id are its time in ms: ids of the same ms have no order.
    assert [op["id"][:13] for op in listed["items"]][:10] == [i[:13] for i in ids[:-11:-1]]
    assert {op["id"] for op in listed["items"]} <= set(ids[-22:])
    refused(node.get(f"/operations/{ids[0]}", key=tenant), 404)
    assert kept.operations(), "those of others stay"
    assert_consistent(node)


def test_tokens_that_open_nothing_are_forgotten(spawn):
    node = spawn(options=known({"tokens.made_per_minute": 0}))
    tenant = tenant_of(node)
    for _ in range(20):
        made = node.post("/tokens", key=tenant, json={"name": "x", "role": "reader"}).ok().json
        node.api("DELETE", f"/tokens/{made['id']}", key=tenant).ok()
    node.kill()
    with node.writing() as db:
        db.execute("update api_keys set revoked_ms = revoked_ms - 25 * 3600 * 1000 where revoked_ms > 0")
    node.start()
    # The newest row stays, so that its id is never given to another key.
    assert node.rows("select count(*) from api_keys where revoked_ms > 0") == [(1,)]
    assert node.get("/auth/me", key=tenant).status == 200


# ------------------------------------------------------------------ space


def test_the_file_shrinks_when_rows_go(spawn):
    node = spawn()
    tenant = tenant_of(node)
    mine = create(node, "large", tenant).ok().json
    for i in range(40):
        node.post("/cvms/provision", key=tenant, json=node.create_body(name=f"waits-{i}", compose_file=compose(i, 700_000))).ok()
    assert node.database().stat().st_size > 20 << 20
    node.kill()
    with node.writing() as db:
        db.execute("update provisions set expires_ms = 1")
    node.start()
    until(lambda: f"the file is small again, it has {node.database().stat().st_size} bytes",
          lambda: node.database().stat().st_size < 8 << 20, 30, every=0.2)
    assert (node.dir / "teepod.db-wal").stat().st_size <= 9 << 20
    assert node.get(f"/cvms/{mine['vm_uuid']}", key=tenant).status == 200
    assert_consistent(node)
