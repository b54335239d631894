# SPDX-License-Identifier: Apache-2.0
"""The description of the API has the same routes and fields as the tables of the program, and answers conform to it."""

import fcntl
import json
import os
import subprocess
import time

import jsonschema
import pytest

import openapi
from node import DEMO, PROGRAM, ROOT, until


@pytest.fixture(scope="session")
def tables():
    """The route and field tables of the program."""
    folder = os.path.dirname(PROGRAM)
    program = os.path.join(folder, "unit", "api_tables_test")
    with open(os.path.join(folder, ".tables.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder == str(ROOT / "build" / "test"):
            subprocess.run(["make", "-s", "--no-print-directory", "-C", str(ROOT), "O=build/test", "FAILPOINTS=1", "OPT=-O1",
                            "build/test/unit/api_tables_test"], check=True)
    if not os.access(program, os.X_OK):
        pytest.skip(f"{program} is not built")
    return json.loads(subprocess.run([program, "--dump"], check=True, capture_output=True).stdout)


def routes(tables):
    return {(r["method"], r["pattern"]): r for r in tables["routes"]}


def test_every_route_is_described_and_every_description_is_a_route(tables):
    assert sorted(openapi.operations()) == sorted(routes(tables))


def test_roles_keys_and_limits_are_those_of_the_routes(tables):
    for key, route in routes(tables).items():
        op = openapi.operations()[key]
        assert op["x-role"] == route["role"], key
        assert (op.get("security") == []) == (route["role"] == "none" and "/logs" not in key[1]), key
        names = [openapi.resolve(p)["name"] for p in op.get("parameters", [])]
        assert ("Idempotency-Key" in names) == route["mutation"], key


def test_path_parameters_are_described(tables):
    for method, pattern in routes(tables):
        op = openapi.operations()[method, pattern]
        named = {p["name"] for p in map(openapi.resolve, op.get("parameters", [])) if p["in"] == "path"}
        assert named == {part[1:-1] for part in pattern.split("/") if part.startswith("{")}, pattern


def test_request_bodies_are_the_field_tables(tables):
    for key, route in routes(tables).items():
        body = openapi.operations()[key].get("requestBody")
        if "body" not in route:
            assert body is None or all(kind.startswith("text/") for kind in body["content"]), key
            assert body is None or body["x-max-bytes"] == route["body_max"], key
            continue
        assert body["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{route['body']}"}, key
        assert body.get("required", False) == (not route["empty_ok"]), key
        assert body["x-max-bytes"] == route["body_max"], key


def test_fields_are_those_of_the_tables_with_their_bounds(tables):
    for name, table in tables["tables"].items():
        schema = openapi.document()["components"]["schemas"][name]
        found = openapi.without_text(schema["properties"])
        if "compose_file" in found:
            assert found.pop("compose_file")["anyOf"][0] == {"$ref": "#/components/schemas/ComposeFile"}
        wanted = {f["name"]: openapi.schema_of(f) for f in table["fields"] if f["name"] != "compose_file"}
        assert found == wanted, name
        assert sorted(schema.get("required", [])) == sorted(f["name"] for f in table["fields"] if f["required"]), name
        assert (schema.get("additionalProperties") is False) == table["strict"], name


def test_no_request_schema_is_left_over(tables):
    named = {n for n in openapi.document()["components"]["schemas"] if n.endswith("Request")}
    assert named == {n for n in tables["tables"] if n.endswith("Request")}


def test_every_schema_is_valid_and_every_reference_resolves():
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                openapi.resolve(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(openapi.document())
    for schema in openapi.document()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


# ------------------------------------------------------------------ answers


def request_and_check(node, method, path, status=200, **more):
    answer = node.api(method, path, prefix="", **more)
    assert answer.status == status, answer
    openapi.check(method, path, status, answer.headers.get("content-type"), answer.body)
    return answer


@pytest.mark.parametrize("version", [25, 26])
def test_answers_about_a_stopped_cvm_keep_to_the_description(node, version):
    cvm = node.create(stopped=True, ports=[{"host_port": 0, "vm_port": 80}])
    at = f"/api/v1/cvms/{cvm.uuid}"
    app = f"/api/v1/apps/{cvm.app_id}"
    for path in (at, at + "/state", at + "/boots", app, app + "/cvms", "/api/v1/apps", "/api/v1/cvms/paginated",
                 "/api/v1/operations", "/api/v1/events", "/api/v1/node", "/api/v1/images", f"/api/v1/images/{DEMO}",
                 "/api/v1/auth/me", "/api/v1/workspaces", "/api/v1/workspaces/local", "/api/v1/workspaces/local/nodes",
                 "/api/v1/teepods/available", "/api/v1/os-images", "/api/v1/instance-types", "/api/v1/instance-types/cpu",
                 "/api/v1/kms", "/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz"):
        request_and_check(node, "GET", path, version=version)
    request_and_check(node, "POST", "/api/v1/status/batch", json={"vm_uuids": [cvm.uuid]}, version=version)
    request_and_check(node, "GET", "/metrics")


def test_answers_to_changes_keep_to_the_description(node):
    request_and_check(node, "POST", "/api/v1/cvms/provision", json=node.create_body())
    made = request_and_check(node, "POST", "/api/v1/cvms", json=node.create_body(stopped=True)).json
    at = f"/api/v1/cvms/{made['vm_uuid']}"
    started = request_and_check(node, "POST", at + "/start").json
    request_and_check(node, "GET", f"/api/v1/operations/{started['operation_id']}?wait=30")
    request_and_check(node, "GET", at)
    request_and_check(node, "PATCH", at + "/policy", json={"restart_policy": "always", "start_order": 2})
    request_and_check(node, "POST", at + "/stop")
    node.settled(made["vm_uuid"])
    gone = request_and_check(node, "DELETE", at, 204)
    operation = gone.headers["x-operation-id"]
    assert request_and_check(node, "GET", f"/api/v1/operations/{operation}?wait=30").json["state"] == "succeeded"
    until("it is gone", lambda: node.get(f"/cvms/{made['vm_uuid']}").status == 404)


def test_answers_about_maintenance_keep_to_the_description(node):
    cvm = node.create()
    at = "/api/v1/node/maintenance"
    request_and_check(node, "GET", at)
    request_and_check(node, "PUT", at, json={"enabled": True, "reason": "a test"})
    try:
        request_and_check(node, "GET", "/api/v1/node")
        request_and_check(node, "GET", "/api/v1/teepods/available")
        request_and_check(node, "POST", "/api/v1/cvms", 403, json=node.create_body())
        drained = request_and_check(node, "POST", "/api/v1/node/drain", 202, json={"timeout_s": 10, "force": True}).json
        assert len(drained["operations"]) == 1
        request_and_check(node, "GET", f"/api/v1/cvms/{cvm.uuid}")
        request_and_check(node, "POST", f"/api/v1/cvms/{cvm.uuid}/stop")
        node.settled()
    finally:
        request_and_check(node, "DELETE", at)


def test_refusals_keep_to_the_description(node):
    request_and_check(node, "GET", "/api/v1/cvms/nobody", 404)
    there = node.create(stopped=True)
    request_and_check(node, "POST", f"/api/v1/cvms/{there.uuid}/start", 412, headers={"If-Match": '"0"'})
    request_and_check(node, "POST", "/api/v1/cvms", 400, json=node.create_body(vcpu=65000))
    request_and_check(node, "POST", "/api/v1/cvms", 400, json={"name": "abcde"})
    request_and_check(node, "GET", "/api/v1/operations/none", 404)
    request_and_check(node, "GET", "/api/v1/apps?page=0", 400)
    request_and_check(node, "GET", "/api/v1/node", 401, key="wrong")


def test_preflight_answers_what_would_happen_and_reserves_nothing(node):
    before = node.get("/node").ok().json["capacity"]
    assert request_and_check(node, "POST", "/api/v1/preflight", json=node.create_body()).json["fits"] is True
    small = request_and_check(node, "POST", "/api/v1/preflight", json=node.create_body(vcpu=65000)).json
    assert small["fits"] is False and small["error"]["error_code"] == "ERR-02-003"
    assert node.get("/node").ok().json["capacity"] == before


def test_a_wait_ends_with_its_time_or_its_operation(node):
    cvm = node.create(stopped=True)
    began = time.monotonic()
    operation = cvm.request("start").ok().json["operation_id"]
    over = node.get(f"/operations/{operation}?wait=60", timeout=70).ok().json
    assert over["state"] == "succeeded" and time.monotonic() - began < 50
    assert all(step["state"] == "done" for step in over["steps"])
