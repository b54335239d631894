# SPDX-License-Identifier: Apache-2.0
"""No route shows a tenant the machine, its totals or other tenants: these are for operators."""

import re

import openapi
import pytest

from node import PREFIX, refused, until
from test_growth import tenant_of
from test_policies import reboot

# Numbers that are unlikely to occur elsewhere.
TOTALS = {"capacity.vcpus": 6101, "capacity.memory_mib": 600139, "capacity.disk_gib": 19073, "capacity.slots": 5309}


@pytest.fixture
def shared(spawn):
    """A node, a tenant's keys and its CVM, another tenant's CVM, and the identifiers of both."""
    node = spawn(options=TOTALS)
    keys, cvms = {}, {}
    for slug in ("own-team", "rivals"):
        node.post("/workspaces", json={"slug": slug, "quotas": {"vcpus": 40} if slug == "own-team" else None}).ok()
        keys[slug] = {role: node.post("/tokens", json={"name": f"{slug}-{role}", "role": role, "workspace": slug}).ok().json["token"]
                      for role in ("reader", "tenant", "operator")}
        cvms[slug] = node.post("/cvms", json=node.create_body(name=f"in-{slug}", stopped=True, vcpu=3, ports=[{"vm_port": 80}]),
                               key=keys[slug]["tenant"]).ok().json
    node.settled()
    return node, keys, cvms


def paths(role, cvm):
    """Every GET route of the API's description that @role may use, with this CVM's identifiers."""
    roles = ("reader", "tenant")[:1 + (role == "tenant")]
    fill = {"id": cvm["vm_uuid"], "slug": "own-team", "family": "cpu", "name": "teepod-boot-1.0.0", "number": "1", "vm_uuid": cvm["vm_uuid"]}
    for path, methods in openapi.document()["paths"].items():
        if "get" not in methods or methods["get"].get("x-role") not in roles:
            continue
        values = dict(fill)
        if path.startswith(f"{PREFIX}/apps/"):
            values["id"] = cvm["app_id"]
        elif path.startswith(f"{PREFIX}/operations/"):
            values["id"] = cvm["operation_id"]
        elif path.startswith(f"{PREFIX}/tokens/"):
            continue
        yield re.sub(r"{(\w+)}", lambda m: values[m[1]], path)


def secrets(node, cvm):
    """Patterns of what an answer must not contain."""
    rival = [cvm["vm_uuid"], cvm["app_id"], cvm["name"], "rivals", cvm["operation_id"]]
    host = [str(node.dir), "qemu:///", str(node.process.pid)]
    return {text: re.compile(rf"(?<![0-9A-Za-z]){re.escape(text)}(?![0-9A-Za-z])") for text in
            rival + host + [str(n) for n in TOTALS.values()]}


@pytest.mark.parametrize("role", ["reader", "tenant"])
def test_no_route_shows_a_tenant_the_machine_or_other_workspaces(shared, role):
    node, keys, cvms = shared
    node.api("PUT", "/node/maintenance", json={"enabled": True, "reason": "new disks"}, key=keys["rivals"]["operator"]).ok()
    key, answered = keys["own-team"][role], 0
    for path in paths(role, cvms["own-team"]):
        answer = node.api("GET", path, prefix="", key=key)
        assert answer.status in (200, 501), (path, answer)
        answered += answer.status == 200
        for text, pattern in secrets(node, cvms["rivals"]).items():
            found = pattern.search(answer.text)
            assert not found, f"{path} tells {text}: ...{answer.text[max(0, found.start() - 80):found.end() + 20]}"
    assert answered >= 30
    assert node.get("/node/maintenance", key=key).ok().json.keys() == {"enabled", "reason", "since"}


def test_a_tenant_sees_the_capacity_it_may_use(shared):
    node, keys, cvms = shared
    for who, vcpus in (("own-team", (3, 37)), ("rivals", (3, TOTALS["capacity.vcpus"] - 6))):
        key = keys[who]["reader"]
        answer = node.get("/node", key=key).ok()
        openapi.check("GET", f"{PREFIX}/node", 200, answer.headers["content-type"], answer.body)
        rows = {row["resource"]: row for row in answer["capacity"]}
        assert (rows["vcpus"]["promised"], rows["vcpus"]["free"]) == vcpus
        assert rows["vcpus"]["total"] == sum(vcpus)
        assert rows["slots"]["promised"] == 1 and rows["slots"]["free"] == TOTALS["capacity.slots"] - 2
        ports = rows["host_ports"]
        assert ports["promised"] == 1 and ports["total"] == 1 + ports["free"], ports
        assert not {"pid", "cvms", "checks"} & answer.json.keys() and answer["hypervisor"]["uri"] is None
        offered = node.get("/teepods/available", key=key).ok()
        assert offered["nodes"][0]["remaining_vcpu"] == vcpus[1] and offered["capacity"]["max_vcpu"] == sum(vcpus)
        quota = node.get(f"/workspaces/{who}/quotas", key=key).ok()["quotas"]["vcpu"]
        assert (quota["used"], quota["remaining"]) == vcpus
        assert quota["limit"] == (40 if who == "own-team" else sum(vcpus))


def test_a_refusal_shows_a_tenant_what_is_free_and_no_total(shared):
    node, keys, _ = shared
    body, total = node.create_body(vcpu=60000), str(TOTALS["capacity.vcpus"])
    for key, told in ((keys["rivals"]["tenant"], False), (keys["rivals"]["operator"], True)):
        for answer in (node.post("/cvms", json=body, key=key), node.post("/preflight", json=body, key=key)):
            assert "ERR-02-003" in answer.text and str(TOTALS["capacity.vcpus"] - 6) in answer.text, answer
            assert (total in answer.text) == told, answer


def test_the_event_of_a_refused_start_shows_no_total(spawn):
    node = spawn(options={"capacity.vcpus": 7, "capacity.release_on_stop": "yes"})
    tenant = tenant_of(node)
    cvm = node.cvm(node.post("/cvms", json=node.create_body(vcpu=3), key=tenant).ok()["vm_uuid"])
    cvm.becomes("running")
    node.settled()
    reboot(node)
    with node.writing() as db:      # as after a start that failed
        db.execute("update cvms set holds_cpu = 0")
    node.options["capacity.vcpus"] = 2
    node.start()
    error, = until("the start is refused", lambda: [e["data"]["error"] for e in node.get("/events?limit=1000", key=tenant).ok()["events"]
                                                   if e["type"] == "cvm.start.refused"], 10)
    assert error == "not enough vcpus: asked 3, free 2"


def test_operators_see_all_of_it(shared):
    node, keys, cvms = shared
    key = keys["own-team"]["operator"]
    answer = node.get("/node", key=key).ok()
    rows = {row["resource"]: row for row in answer["capacity"]}
    assert (rows["vcpus"]["total"], rows["vcpus"]["promised"]) == (TOTALS["capacity.vcpus"], 6)
    assert answer["pid"] == node.process.pid and answer["cvms"]["total"] == 2 and answer["hypervisor"]["uri"]
    assert node.get("/node/maintenance", key=key).ok()["drain"]
    assert "teepod_cvms{" in node.get("/metrics", key=key).ok().text


@pytest.mark.parametrize("role", ["reader", "tenant"])
def test_metrics_are_for_operators(shared, role):
    node, keys, _ = shared
    for prefix in ("", PREFIX):
        refused(node.api("GET", "/metrics", prefix=prefix, key=keys["own-team"][role]), 403)
