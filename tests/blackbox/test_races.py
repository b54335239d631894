# SPDX-License-Identifier: Apache-2.0
"""A thousand creates at once: exactly as many succeed as fit, and the refusals carry correct numbers."""

import collections
import json
import threading

from node import COMPOSE, assert_consistent, refused

CREATES, ROOM, CLIENTS = 1000, 100, 100
CLAIMS = 200


def at_once(node, bodies, clients):
    """POST every body to /cvms by @clients connections, which are open before the first request. Returns all answers."""
    answers, lock, gate = [None] * len(bodies), threading.Lock(), threading.Barrier(clients)
    left = iter(range(len(bodies)))

    def live():
        connection = node.connection(timeout=60)
        connection.connect()
        gate.wait()
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return connection.close()
            connection.request("POST", "/api/v1/cvms", body=json.dumps(bodies[number]),
                               headers={"X-API-Key": node.key, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answers[number] = answer.status, json.loads(answer.read())
    threads = [threading.Thread(target=live) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def details(body):
    return {row["field"]: row["value"] for row in body["details"]}


def body(name, **more):
    return {"name": name, "image": "teepod-boot-1.0.0", "vcpu": 1, "memory": 32, "disk_size": 1, "stopped": True,
            "compose_file": dict(COMPOSE), **more}


def test_of_a_thousand_creates_exactly_those_that_fit_succeed(spawn):
    """100 CVMs fit by each of the four resources."""
    for short, code, field in (("vcpus", "ERR-02-003", "vcpu"), ("memory_mib", "ERR-02-004", "memory"),
                               ("slots", "ERR-02-005", "slots"), ("disk_gib", "ERR-02-002", "disk_size")):
        plenty = {"vcpus": 20000, "memory_mib": 320000, "slots": 10000, "disk_gib": 20000}
        each = {"vcpus": 1, "memory_mib": 32, "slots": 1, "disk_gib": 1}[short]
        node = spawn(options={**{f"capacity.{k}": v for k, v in plenty.items()}, f"capacity.{short}": ROOM * each,
                              "capacity.cid_count": 20000})
        answers = at_once(node, [body(f"race-{n:04d}") for n in range(CREATES)], CLIENTS)
        made = {answer["vm_uuid"] for status, answer in answers if status == 200}
        assert len(made) == ROOM == len([a for a in answers if a[0] == 200]), collections.Counter(a[0] for a in answers)
        for status, answer in answers:
            if status != 200:
                assert (status, answer["error_code"]) == (400, code), answer
                named = details(answer)
                assert (named["asked"], named["free"], named["total"]) == (each, 0, ROOM * each), answer
                assert field in named, answer
        assert node.uuids() == made
        assert node.capacity()[short]["promised"] == ROOM * each
        assert len(node.rows("select distinct cid from cvms")) == ROOM
        assert_consistent(node)
        node.stop()


def test_one_of_two_hundred_requests_for_a_host_port_gets_it(spawn):
    node = spawn(options={"capacity.slots": 10000, "capacity.vcpus": 10000})
    port = node.port_first + 7
    bodies = [body(f"claim-{n:03d}", ports=[{"protocol": "tcp", "host_port": port, "vm_port": 80}]) for n in range(CLAIMS)]
    answers = at_once(node, bodies, CLAIMS)
    (winner,), losers = [a[1] for a in answers if a[0] == 200], [a for a in answers if a[0] != 200]
    assert len(losers) == CLAIMS - 1
    for status, answer in losers:
        assert status in (400, 409) and str(port) in json.dumps(answer) and winner["name"] in json.dumps(answer), answer
    assert node.uuids() == {winner["vm_uuid"]}
    assert node.rows("select host_port from ports") == [(port,)]
    assert_consistent(node)
    # Afterwards the capacity is free again.
    refused(node.post("/cvms", json=body("late-one", ports=bodies[0]["ports"])), (400, 409), value=port)
    node.cvm(winner["vm_uuid"]).delete()
    node.post("/cvms", json=body("late-one", ports=bodies[0]["ports"])).ok()
    assert_consistent(node)


def test_one_of_two_hundred_requests_for_a_name_gets_it(spawn):
    node = spawn(options={"capacity.slots": 10000, "capacity.vcpus": 10000})
    answers = at_once(node, [body("the-name") for _ in range(CLAIMS)], CLAIMS)
    assert len([a for a in answers if a[0] == 200]) == 1
    assert {(status, answer["error_code"]) for status, answer in answers if status != 200} == {(409, "ERR-01-004")}
    assert_consistent(node)
