# SPDX-License-Identifier: Apache-2.0
"""What one tenant may make grow: host ports, rows and bytes have a share, and others are not hurt by whoever uses theirs up."""

from node import assert_books, refused
from test_quotas import FAR, create, details, quotas, team, token


def ports(n, first=1):
    return [{"protocol": "tcp", "vm_port": first + i} for i in range(n)]


def held_ports(node):
    return quotas(node)["quotas"]["host_ports"]["used"]


def test_host_ports_have_a_share_that_replicas_changes_and_crashes_keep_to(spawn):
    node = spawn(options=FAR)
    team(node)
    node.api("PATCH", "/workspaces/team", json={"quotas": {"host_ports": 10}})
    tenant = token(node)["token"]
    mine = create(node, "ported", tenant, ports=ports(4)).ok().json
    no = node.post(f"/cvms/{mine['vm_uuid']}/replicas", key=tenant, json={"count": 2, "stopped": True})
    refused(no, 403, "ERR-02-015", "resource", "host_ports")
    assert details(no) == {"resource": "host_ports", "requested": 4, "remaining": 2, "limit": 10}
    some = node.post(f"/cvms/{mine['vm_uuid']}/replicas", key=tenant, json={"count": 2, "stopped": True, "partial": True}).ok().json
    assert some["created"] == 1 and some["error"]["error_code"] == "ERR-02-015" and held_ports(node) == 8
    refused(create(node, "too-large", tenant, ports=ports(11)), 403, "ERR-04-003", "resource", "host_ports")
    tried = node.post("/preflight", key=tenant, json=node.ask(ports=ports(3))).ok().json
    assert not tried["fits"] and tried["error"]["error_code"] == "ERR-02-015"
    assert node.post("/preflight", key=tenant, json=node.ask(ports=ports(2))).ok()["fits"]
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
    assert_books(node)
