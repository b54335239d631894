# SPDX-License-Identifier: Apache-2.0
"""Every route that takes a value refuses it with the same code and names the same field.

RULES has a row for each rule: what is wrong with the request, what it is refused with, and by which routes it can come.
A route takes what is wrong as members of its own body, and those of the compose file where it has that.
"""

import json

import pytest

from node import COMPOSE, refused

BAD_YAML = "services: [unclosed"
MANIFEST = {"manifest_version": 2, "name": "whole", "runner": "docker-compose", **COMPOSE}


class Source:
    """A CVM to change and to replicate, and a provision to commit."""

    def __init__(self, node):
        self.node = node
        self.cvm = node.create(name="source", stopped=True, compose_file={**COMPOSE, "allowed_envs": ["KNOWN"]})

    def body(self, wrong, software):
        whole = "runner" in software
        compose = {**(MANIFEST if whole else COMPOSE), "allowed_envs": ["KNOWN"], **software}
        return {**self.node.create_body(), "compose_file": compose, **wrong}

    def create(self, wrong, software):
        return self.node.post("/cvms", json=self.body(wrong, software))

    def provision(self, wrong, software):
        return self.node.post("/cvms/provision", json=self.body(wrong, software))

    def commit(self, wrong, software):
        made = self.node.post("/cvms/provision", json=self.body({}, {})).ok()
        return self.node.post("/cvms", json={"app_id": made["app_id"], "compose_hash": made["compose_hash"], "stopped": True, **wrong})

    def preflight(self, wrong, software):
        answer = self.node.post("/preflight", json=self.body(wrong, software))
        if answer.status == 200:
            assert answer["fits"] is False, answer
            answer.status, answer.body = 400, json.dumps(answer["error"]).encode()
        return answer

    def at(self, method, path, body, under=None):
        return self.node.api(method, f"{under or '/cvms/' + self.cvm.uuid}{path}", json=body)

    def update(self, wrong, software):
        return self.at("PATCH", "", {**wrong, **software})

    def compose(self, wrong, software):
        return self.at("PUT", "/compose", {"compose_manifest": {**COMPOSE, "allowed_envs": ["KNOWN"], **software}, **wrong})

    def envs(self, wrong, software):
        return self.at("PATCH", "/envs", {"encrypted_env": "00", **wrong})

    def text(self, wrong, software):
        return self.node.api("PATCH", f"/cvms/{self.cvm.uuid}/docker-compose", data=software["docker_compose_file"])

    def resources(self, wrong, software):
        return self.at("PATCH", "/resources", wrong)

    def os_image(self, wrong, software):
        return self.at("PATCH", "/os-image", {"os_image_name": wrong["image"]})

    def compose_provision(self, wrong, software):
        return self.at("POST", "/compose_file/provision", {**wrong, **software})

    def compose_commit(self, wrong, software):
        made = self.at("POST", "/compose_file/provision", {"public_logs": False}).ok()
        return self.at("PATCH", "/compose_file", {"compose_hash": made["compose_hash"], **wrong})

    def replicas(self, wrong, software):
        return self.at("POST", "/replicas", wrong)

    def app_replicas(self, wrong, software):
        return self.at("POST", f"/cvms/{self.cvm.uuid}/replicas", wrong, under=f"/apps/{self.cvm.app_id}")

    def instances(self, wrong, software):
        return self.at("POST", "/instances", {**wrong, **software}, under=f"/apps/{self.cvm.app_id}")


NEW = ("create", "provision", "preflight")
LIKE = ("replicas", "app_replicas", "instances")
WITH_SOFTWARE = (*NEW, "update", "compose", "compose_provision", "instances")
WITH_ENV = (*NEW, "commit", "update", "compose", "compose_commit", *LIKE)

#       what it is           members of the body                   of the compose file     refused with, naming           by
RULES = [
    ("a variable not allowed", {"env_keys": ["KNOWN", "OTHER"]}, {}, "ERR-02-008", "env_keys", (*WITH_ENV, "compose_provision")),
    ("too many variables", {"env_keys": ["KNOWN"] * 1001}, {}, "ERR-02-008", "env_keys", (*WITH_ENV, "envs", "compose_provision")),
    ("an odd environment", {"encrypted_env": "abc"}, {}, "ERR-02-008", "encrypted_env", (*WITH_ENV, "envs")),
    ("no hex digits", {"encrypted_env": "0xab"}, {}, "ERR-02-008", "encrypted_env", (*WITH_ENV, "envs")),
    ("not hex, and not taken", {"encrypted_env": "zz", "update_env_vars": False}, {}, "ERR-02-008", "encrypted_env", ("compose_commit",)),
    ("another node", {"node_id": 77}, {}, "ERR-01-001", "node_id", (*NEW, "commit", *LIKE)),
    ("another node, old name", {"teepod_id": 77}, {}, "ERR-01-001", "node_id", (*NEW, "commit", *LIKE)),
    ("two nodes", {"node_id": 1, "teepod_id": 2}, {}, "ERR-02-009", "node_id", (*NEW, "commit", *LIKE)),
    ("another region", {"region": "moon"}, {}, "ERR-02-008", "region", (*NEW, "commit")),
    ("no app id", {"app_id": "xyz"}, {}, "ERR-02-008", "app_id", (*NEW, "commit")),
    ("more than an app id", {"app_id": "ab" * 21}, {}, "ERR-02-008", "app_id", (*NEW, "commit")),
    ("a KMS on a chain", {"kms": "ethereum"}, {}, "ERR-02-009", "kms", (*NEW, "commit")),
    ("a KMS of one's own", {"kms_id": "mine"}, {}, "ERR-02-009", "kms_id", (*NEW, "commit")),
    ("a contract", {"kms_contract": "0xabc"}, {}, "ERR-02-009", "kms_contract", (*NEW, "commit")),
    ("no hash", {"compose_hash": "xyz"}, {}, "ERR-02-008", "compose_hash", ("commit", "compose_commit", *LIKE)),
    ("more than a hash", {"compose_hash": "ab" * 33}, {}, "ERR-02-008", "compose_hash", ("commit", "compose_commit", *LIKE)),
    ("a hash of something else", {"compose_hash": "ab" * 32}, dict(COMPOSE), "ERR-02-009", "compose_hash", ("create", "instances")),
    ("broken YAML", {}, {"docker_compose_file": BAD_YAML}, "ERR-01-003", "docker_compose_file", (*WITH_SOFTWARE, "text")),
    ("no services", {}, {"docker_compose_file": "version: '3'\n"}, "ERR-01-003", "docker_compose_file", (*WITH_SOFTWARE, "text")),
    ("an empty text", {}, {"docker_compose_file": ""}, "ERR-02-008", "docker_compose_file", (*NEW, "update", "compose", "instances")),
    ("a script that is a number", {}, {"pre_launch_script": 7}, "ERR-02-008", "pre_launch_script", WITH_SOFTWARE),
    ("too many allowed variables", {}, {"allowed_envs": ["V"] * 1025}, "ERR-02-008", "allowed_envs",
     (*NEW, "update", "compose", "compose_provision")),
    ("an unknown runner", {}, {**MANIFEST, "runner": "podman"}, "ERR-01-003", "runner", (*NEW, "compose_provision")),
    ("an unknown key provider", {}, {**MANIFEST, "key_provider": "me"}, "ERR-01-003", "key_provider", (*NEW, "compose_provision")),
    ("a volume where there are none", {}, {**MANIFEST, "verity_volumes": [{"source": "x", "verity_root": "0" * 64, "target": "/v"}]},
     "ERR-02-009", "verity_volumes", (*NEW, "compose_provision")),
    ("a key provider id that is no hex", {}, {**MANIFEST, "key_provider": "kms", "key_provider_id": "zz"}, "ERR-01-003",
     "key_provider_id", (*NEW, "compose_provision")),
    ("an unknown image", {"image": "nothing-9.9.9"}, {}, "ERR-02-010", "image", (*NEW, "update", "os_image")),
    ("no image name", {"image": "../etc"}, {}, "ERR-02-008", "image", (*NEW, "update", "os_image")),
    ("an unknown type", {"instance_type": "huge"}, {}, "ERR-02-001", "instance_type", (*NEW, "update", "resources")),
    ("more vCPUs than there are", {"vcpu": 65}, {}, "ERR-02-003", "vcpu", (*NEW, "update", "resources")),
    ("more disk than there is", {"disk_size": 2001}, {}, None, "disk_size", (*NEW, "update", "resources")),
    ("no vCPU", {"vcpu": 0}, {}, "ERR-02-008", "vcpu", (*NEW, "update", "resources")),
    ("half a gigabyte", {"disk_size": 0.5}, {}, "ERR-02-008", "disk_size", (*NEW, "update", "resources")),
    ("too much memory", {"memory": 2**31}, {}, "ERR-02-008", "memory", (*NEW, "update", "resources")),
    ("a long user_config", {"user_config": "x" * (64 * 1024 + 1)}, {}, "ERR-02-008", "user_config", (*NEW, "update")),
    ("a port of no guest", {"ports": [{"vm_port": 0}]}, {}, "ERR-02-008", "ports[0].vm_port", (*NEW, "update")),
    ("an address not offered", {"ports": [{"vm_port": 80, "host_address": "192.0.2.1"}]}, {}, "ERR-02-008", "ports[0].host_address",
     (*NEW, "update")),
    ("a port not offered", {"ports": [{"vm_port": 80, "host_port": 7}]}, {}, "ERR-02-008", "ports[0].host_port", (*NEW, "update")),
    ("too many ports", {"ports": [{"vm_port": 80}] * 65}, {}, "ERR-02-008", "ports", (*NEW, "update")),
    ("GPUs where there are none", {"gpus": {"gpus": [{"product_id": "10de:2335"}]}}, {}, "ERR-02-006", "gpus", (*NEW, "update")),
]


@pytest.fixture
def source(node):
    return Source(node)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule[0].replace(" ", "-"))
def test_every_route_refuses_it_alike(source, rule):
    what, wrong, software, code, field, routes = rule
    for route in routes:
        answer = getattr(source, route)(dict(wrong), dict(software))
        try:
            error = refused(answer, (400, 404, 409), code)
            named = error["details"][0]["field"]
            # The member is at the top of some bodies and in the compose file of others.
            assert named == field or named.rsplit(".", 1)[-1] == field, answer
        except AssertionError as e:
            raise AssertionError(f"{what} by {route}: {e}") from None
    assert source.node.uuids() == {source.cvm.uuid}, "what is refused makes nothing"
    assert len(source.cvm.operations()) == 1, "and changes nothing"


@pytest.mark.parametrize("route", [route for route in WITH_ENV if route != "preflight"])
def test_what_keeps_to_the_rule_is_taken_by_every_route(source, route):
    getattr(source, route)({"env_keys": ["KNOWN"], "encrypted_env": "00ff"}, {}).ok()
    source.node.settled()


def test_a_commit_reads_hash_and_app_in_every_form_they_are_written(source):
    node = source.node
    for form in (str.upper, lambda s: "0x" + s, lambda s: "0X" + s.upper()):
        made = node.post("/cvms/provision", json=source.body({}, {})).ok()
        node.post("/cvms", json={"app_id": form(made["app_id"]), "compose_hash": form(made["compose_hash"]), "stopped": True}).ok()


def test_a_create_may_name_the_hash_of_its_compose_file(source):
    shown = source.provision({}, {}).ok()
    made = source.create({"compose_hash": shown["compose_hash"], "name": "with-hash", "stopped": True}, {"name": "x"})
    refused(made, 400, "ERR-02-009", "compose_hash")
    body = source.body({"name": "with-hash", "stopped": True}, {"name": "same"})
    shown = source.node.post("/cvms/provision", json={k: v for k, v in body.items() if k != "stopped"}).ok()
    source.node.post("/cvms", json={**body, "compose_hash": shown["compose_hash"]}).ok()
