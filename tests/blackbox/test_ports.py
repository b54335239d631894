# SPDX-License-Identifier: Apache-2.0
"""Port forwards: each host port has one owner, only allowed addresses and ports are used, and forwards return after every start."""

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from node import PROGRAM, assert_consistent, port_block, refused, sockets_of, until


def tcp(host_port=0, vm_port=80, **more):
    return {"protocol": "tcp", "host_port": host_port, "vm_port": vm_port, **more}


def udp(host_port=0, vm_port=7, **more):
    return {"protocol": "udp", "host_port": host_port, "vm_port": vm_port, **more}


def test_port_zero_takes_a_free_one_of_the_range_and_qemu_listens_there(node):
    cvm = node.create(ports=[tcp(), udp(), tcp(vm_port=443)])
    rows = cvm.ports()
    assert len(rows) == 3 and len({(r[0], r[2]) for r in rows}) == 3
    for _, address, port, _ in rows:
        assert address == "127.0.0.1" and node.port_first <= port <= node.port_last
    bound = sockets_of(cvm.pids()[0])
    assert {("udp" if u else "tcp", a, p) for u, a, p, _ in rows} <= bound
    assert_consistent(node)


def test_the_answer_shows_the_chosen_ports(node):
    cvm = node.create(stopped=True, ports=[tcp(node.port_first + 3)])
    assert str(node.port_first + 3) in node.get(f"/cvms/{cvm.uuid}").ok().text


def test_a_port_has_one_owner_even_while_that_is_stopped(node):
    port = node.port_first + 5
    node.create(name="owner", stopped=True, ports=[tcp(port)])
    body = refused(node.try_create(stopped=True, ports=[tcp(port)]), (400, 409), value=port)
    assert "owner" in str(body)


def test_tcp_and_udp_are_different_ports(node):
    port = node.port_first + 5
    node.create(stopped=True, ports=[tcp(port)])
    node.create(stopped=True, ports=[udp(port)])


def test_the_same_port_twice_in_one_request_is_refused(node):
    port = node.port_first + 5
    refused(node.try_create(stopped=True, ports=[tcp(port), tcp(port, 81)]), (400, 409), value=port)


def test_all_addresses_and_one_of_them_exclude_each_other(spawn):
    node = spawn(options={"ports.addresses": "127.0.0.1, 127.0.0.2, 0.0.0.0"})
    port = node.port_first
    node.create(stopped=True, ports=[tcp(port, host_address="127.0.0.1")])
    node.create(stopped=True, ports=[tcp(port, host_address="127.0.0.2")])
    refused(node.try_create(stopped=True, ports=[tcp(port, host_address="0.0.0.0")]), (400, 409), value=port)
    node.create(stopped=True, ports=[tcp(port + 1, host_address="0.0.0.0")])
    refused(node.try_create(stopped=True, ports=[tcp(port + 1, host_address="127.0.0.2")]), (400, 409), value=port + 1)
    assert_consistent(node)


@pytest.mark.parametrize("addresses, times", [("127.0.0.1", 1), ("127.0.0.1, 127.0.0.2", 2), ("127.0.0.1, 0.0.0.0", 1),
                                              ("127.0.0.1, 127.0.0.2, 0.0.0.0", 2)])
def test_the_total_is_how_many_forwards_there_can_be(spawn, addresses, times):
    first, _ = port_block()
    node = spawn(options={"ports.addresses": addresses, "ports.range": f"tcp:{first}-{first + 1}, {first + 3}"})
    assert node.capacity()["host_ports"]["total"] == times * 4


@pytest.mark.parametrize("key, value, text", [
    ("ports.range", "30000-30010, 30005", "30005-30005 overlaps 30000-30010"),
    ("ports.range", "30000, 30000", "30000-30000 overlaps 30000-30000"),
    ("ports.range", "30000-30010, udp:30010-30020", "30010-30020 overlaps 30000-30010"),
    ("ports.addresses", "127.0.0.1, 127.0.0.1", "127.0.0.1 is listed twice")])
def test_ports_that_would_be_counted_twice_are_refused(key, value, text):
    done = subprocess.run([PROGRAM, "--check-config", "-o", f"{key}={value}"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and key.split(".")[1] in done.stderr and text in done.stderr, done


def test_forwards_on_other_addresses_work(spawn):
    node = spawn(options={"ports.addresses": "127.0.0.1, 127.0.0.2"})
    cvm = node.create(ports=[tcp(host_address="127.0.0.2")])
    (_, address, port, _), = cvm.ports()
    assert address == "127.0.0.2" and ("tcp", "127.0.0.2", port) in sockets_of(cvm.pids()[0])


@pytest.mark.parametrize("port", [22, 1, 65535])
def test_a_port_outside_the_range_is_refused_naming_the_range(node, port):
    body = refused(node.try_create(stopped=True, ports=[tcp(port)]), 400, value=port)
    assert f"{node.port_first}-{node.port_last}" in str(body)


def test_an_address_not_allowed_is_refused_naming_those_allowed(node):
    body = refused(node.try_create(stopped=True, ports=[tcp(host_address="0.0.0.0")]), 400, value="0.0.0.0")
    assert "127.0.0.1" in str(body)


@pytest.mark.parametrize("bad", [
    tcp(-1), tcp(65536), tcp(0, 0), tcp(0, 70000), tcp("80"), {"protocol": "sctp", "host_port": 0, "vm_port": 1},
    {"host_port": 0}, tcp(host_address="not an address"), tcp(host_address="::1"), 7, None, tcp(extra=1),
])
def test_nonsense_is_refused(node, bad):
    refused(node.try_create(stopped=True, ports=[bad]), (400, 422))
    assert node.uuids() == set()


def test_a_port_some_other_process_holds_is_refused(node):
    port = node.port_first + 9
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        answer = node.try_create(ports=[tcp(port)])
        if answer.status // 100 == 2:
            # Found only when QEMU binds the port: the operation then fails with the reason and is undone.
            uuid = answer["vm_uuid"]
            node.settled(uuid)
            op = next(o for o in node.get("/operations?page_size=50").ok().json["items"] if o["cvm"]["vm_uuid"] == uuid)
            assert op["state"] == "failed" and str(port) in str(op["error"]), op
        else:
            refused(answer, (400, 409), value=port)
        assert_consistent(node)
    node.create(ports=[tcp(port)])


def test_picking_passes_over_ports_held_by_others(spawn):
    node = spawn(start=False)
    node.options["ports.range"] = f"{node.port_first}-{node.port_first + 1}"
    node.start()
    with socket.socket() as s:
        s.bind(("127.0.0.1", node.port_first))
        s.listen()
        cvm = node.create(ports=[tcp()])
        assert [row[2] for row in cvm.ports()] == [node.port_first + 1]


def test_picking_passes_over_any_number_of_them(spawn):
    """Also when more ports are held than the first probe tries."""
    node = spawn()
    held = []
    try:
        for port in range(node.port_first, node.port_last):
            held.append(socket.socket())
            held[-1].bind(("127.0.0.1", port))
            held[-1].listen()
        assert node.post("/preflight", json=node.create_body(ports=[tcp()])).ok()["fits"]
        assert not node.post("/preflight", json=node.create_body(ports=[tcp(), tcp(0, 81)])).ok()["fits"]
        assert [row[2] for row in node.create(stopped=True, ports=[tcp()]).ports()] == [node.port_last]
        refused(node.try_create(stopped=True, ports=[tcp()]), 400)
        refused(node.try_create(stopped=True, ports=[tcp(node.port_first)]), (400, 409), value=node.port_first)
    finally:
        for s in held:
            s.close()
    assert [row[2] for row in node.create(stopped=True, ports=[tcp()]).ports()] == [node.port_first]
    assert_consistent(node)


def test_creates_at_the_same_time_get_ports_of_their_own(node):
    """They share one probe of free ports."""
    n = 12
    with ThreadPoolExecutor(n) as pool:
        made = list(pool.map(lambda i: node.create(name=f"together-{i}", stopped=True, ports=[tcp(), udp()]), range(n)))
    rows = [row for cvm in made for row in cvm.ports()]
    assert len(rows) == 2 * n and len({(udp, port) for udp, _, port, _ in rows}) == 2 * n
    assert_consistent(node)


def test_replicas_with_ports_are_all_made_or_as_many_as_fit(spawn):
    node = spawn(start=False)
    node.options["ports.range"] = f"{node.port_first}-{node.port_first + 19}"
    node.start()
    source = node.create(stopped=True, ports=[tcp()])
    made = node.post(f"/cvms/{source.uuid}/replicas", json={"count": 12, "stopped": True}).ok()
    assert made["created"] == 12 and made["error"] is None
    made = node.post(f"/cvms/{source.uuid}/replicas", json={"count": 12, "stopped": True, "partial": True}).ok()
    assert made["created"] == 7 and "host_ports" in str(made["error"])
    assert_consistent(node)


def test_a_key_gives_the_first_answer_though_its_port_is_taken_since(node):
    port = node.port_first + 7
    fields = node.create_body(stopped=True, ports=[tcp(port)])
    first = node.post("/cvms", json=fields, headers={"Idempotency-Key": "port-7"}).ok()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        again = node.post("/cvms", json=fields, headers={"Idempotency-Key": "port-7"}).ok()
    assert again.json == first.json and again.headers["idempotent-replayed"] == "true"


def test_no_port_left(spawn):
    node = spawn(start=False)
    node.options["ports.range"] = f"{node.port_first}-{node.port_first + 1}"
    node.start()
    node.create(stopped=True, ports=[tcp(), tcp(0, 81)])
    refused(node.try_create(stopped=True, ports=[tcp()]), 400)
    node.create(stopped=True, ports=[udp()])
    assert_consistent(node)


def test_forwards_are_there_again_after_stop_and_start(node):
    cvm = node.create(ports=[tcp(), udp()])
    wanted = {("udp" if u else "tcp", a, p) for u, a, p, _ in cvm.ports()}
    assert wanted <= sockets_of(cvm.pids()[0])
    cvm.do("stop")
    for protocol, address, port in wanted:
        with socket.socket(type=socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, port))
    cvm.do("start")
    until("forwards are back", lambda: wanted <= sockets_of(cvm.pids()[0]))
    cvm.do("restart", force=True)
    until("forwards are back", lambda: wanted <= sockets_of(cvm.pids()[0]))


def test_a_port_is_free_again_after_delete(node):
    port = node.port_first + 11
    node.create(stopped=True, ports=[tcp(port)]).delete()
    node.create(stopped=True, ports=[tcp(port)])


def test_ports_can_be_forbidden(spawn):
    node = spawn(options={"ports.enabled": "no"})
    refused(node.try_create(stopped=True, ports=[tcp()]), 400)
    node.create(stopped=True)


def test_a_range_for_one_protocol_is_not_for_the_other(spawn):
    first, last = port_block()
    node = spawn(start=False)
    node.options["ports.range"] = f"tcp:{first}-{last}"
    node.start()
    node.create(stopped=True, ports=[tcp(first)])
    refused(node.try_create(stopped=True, ports=[udp(first)]), 400)
    refused(node.try_create(stopped=True, ports=[udp()]), 400)


@pytest.mark.parametrize("port", [0, 3])
@pytest.mark.parametrize("make", [tcp, udp])
def test_an_address_that_the_host_does_not_have_is_refused_by_name(spawn, make, port):
    """192.0.2.0/24 is reserved for documentation, so no host has it. The refusal is not about ports in use or capacity."""
    node = spawn(options={"ports.addresses": "127.0.0.1, 192.0.2.7"})
    answer = node.try_create(stopped=True, ports=[make(), make(port and node.port_first + port, host_address="192.0.2.7")])
    body = refused(answer, 400, "ERR-02-009", "ports[1].host_address", "192.0.2.7")
    assert "no address 192.0.2.7" in body["message"], answer
    assert_consistent(node)

