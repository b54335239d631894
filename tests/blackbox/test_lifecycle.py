# SPDX-License-Identifier: Apache-2.0
"""The life of a CVM, from create to delete."""

import json
import socket
import threading
import time
import urllib.request

from node import BOOT, DEMO, Late, assert_consistent, until

BOOTED = "BOOTSECTOR-READY"


def facts(port, seconds=40):
    """What the demo guest reports over HTTP; waits until it answers."""
    def read():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=3) as answer:
                return json.load(answer)
        except OSError:
            return None
    return until(f"guest answers on port {port}", read, seconds, every=0.2)


def udp_echo(port, text=b"are you there", seconds=20):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            s.sendto(text, ("127.0.0.1", port))
            try:
                return s.recv(2000)
            except OSError:
                continue
    raise Late("no UDP echo")


# ------------------------------------------------------------------ the small guest

def test_create_boots_the_guest_and_its_serial_log_can_be_read(node):
    answer = node.try_create(name="first-guest")
    assert answer.status in (200, 201, 202), answer
    body = answer.json
    assert body["status"] == "starting" and body["name"] == "first-guest"
    assert isinstance(body["id"], int) and len(body["app_id"]) == 40
    cvm = node.cvm(body["vm_uuid"])
    cvm.becomes("running")
    until("the boot sector speaks", lambda: BOOTED in cvm.log())
    assert len(cvm.pids()) == 1
    assert_consistent(node)


def test_a_created_cvm_is_found_by_every_form_of_its_identifier(node):
    cvm = node.create(name="many-names", stopped=True)
    short = cvm.body["id"]
    for form in (cvm.uuid, cvm.uuid.replace("-", ""), cvm.uuid.upper(), "app_" + cvm.app_id, cvm.app_id, "0x" + cvm.app_id,
                 "many-names", f"cvm_{short}", str(short)):
        assert node.get(f"/cvms/{form}").ok()["vm_uuid"] == cvm.uuid, form


def test_stopped_true_records_and_touches_neither_disk_nor_hypervisor(node):
    cvm = node.create(stopped=True)
    assert cvm.status == "stopped"
    assert cvm.uuid not in node.folders()
    assert cvm.uuid not in node.definitions()
    assert cvm.pids() == []
    cvm.do("start")
    cvm.becomes("running")
    assert cvm.uuid in node.folders() and cvm.uuid in node.definitions() and len(cvm.pids()) == 1
    assert_consistent(node)


def test_stop_ends_the_guest_and_start_boots_it_again(node):
    cvm = node.create()
    first = cvm.pids()
    answer = cvm.request("stop").ok()
    assert answer["status"] in ("stopping", "stopped")
    cvm.becomes("stopped")
    assert cvm.pids() == []
    assert_consistent(node)
    answer = cvm.request("start").ok()
    assert answer["status"] in ("starting", "running")
    cvm.becomes("running")
    node.settled(cvm.uuid)
    assert len(cvm.pids()) == 1 and cvm.pids() != first


def test_start_of_a_running_and_stop_of_a_stopped_cvm_succeed_and_change_nothing(node):
    cvm = node.create()
    pids = cvm.pids()
    assert cvm.do("start").json["status"] == "running"
    assert cvm.pids() == pids
    cvm.do("stop")
    cvm.becomes("stopped")
    assert cvm.do("stop").json["status"] == "stopped"
    assert cvm.status == "stopped"


def test_power_answers_have_the_fields_that_clients_require(node):
    cvm = node.create(stopped=True)
    for verb in ("start", "stop", "restart"):
        body = cvm.do(verb).json
        for key in ("id", "name", "status", "teepod_id", "app_id", "vm_uuid", "instance_id", "vcpu", "memory", "disk_size",
                    "created_at", "encrypted_env_pubkey"):
            assert key in body, (verb, key)
        assert isinstance(body["id"], int) and body["vm_uuid"] == cvm.uuid


def test_restart_gives_a_new_process_and_a_new_boot(node):
    cvm = node.create()
    until("boot", lambda: BOOTED in cvm.log())
    before = cvm.pids()
    answer = cvm.request("restart", force=True).ok()
    assert answer["status"] in ("restarting", "starting", "running")
    node.settled(cvm.uuid)
    cvm.becomes("running")
    assert cvm.pids() and cvm.pids() != before
    until("boot again", lambda: BOOTED in cvm.log())
    assert_consistent(node)


def test_earlier_boots_stay_readable(node):
    cvm = node.create()
    until("first boot", lambda: BOOTED in cvm.log())
    cvm.do("stop")
    cvm.do("start")
    until("second boot", lambda: BOOTED in cvm.log())
    assert BOOTED in cvm.log(boot=1)
    assert BOOTED in cvm.log(boot=2)
    assert node.get(f"/cvms/{cvm.uuid}/logs?ch=serial&boot=3").status == 404
    cvm.do("stop")
    assert BOOTED in cvm.log(), "the log of a stopped CVM"


def test_a_graceful_shutdown_of_a_deaf_guest_fails_at_its_deadline_unless_forced(node):
    """The boot sector ignores the power button."""
    cvm = node.create()
    began = time.monotonic()
    answer = cvm.request("shutdown", timeout=10, force=True).ok()
    assert answer["status"] == "shutting_down"
    cvm.becomes("stopped", 30)
    assert time.monotonic() - began >= 9
    node.settled(cvm.uuid)
    assert_consistent(node)


def test_delete_leaves_nothing(node):
    before = node.capacity()
    cvm = node.create(ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    (_, _, port, _), = cvm.ports()
    cvm.delete()
    assert cvm.uuid not in node.folders() and cvm.uuid not in node.definitions()
    assert cvm.pids() == []
    assert node.capacity() == before
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
    assert_consistent(node)


def test_delete_of_a_cvm_that_never_started(node):
    cvm = node.create(stopped=True)
    cvm.delete()
    assert_consistent(node)


def test_delete_cancels_a_start_under_way(node):
    cvm = node.create(wait=False)
    cvm.delete()
    assert_consistent(node)


def test_stop_cancels_a_start_under_way(node):
    cvm = node.create(wait=False)
    cvm.request("stop").ok()
    node.settled(cvm.uuid)
    cvm.becomes("stopped")
    assert_consistent(node)


def test_a_shutdown_can_be_cancelled_by_stop(node):
    cvm = node.create()
    cvm.request("shutdown", timeout=60).ok()
    began = time.monotonic()
    cvm.request("stop").ok()
    cvm.becomes("stopped", 15)
    assert time.monotonic() - began < 15
    node.settled(cvm.uuid)
    assert_consistent(node)


def test_an_operation_shows_its_kind_its_steps_and_its_end(node):
    cvm = node.create()
    create, = cvm.operations()
    op = node.operation(create["id"])
    assert op["kind"] == "create" and op["state"] == "succeeded" and op["cvm"]["vm_uuid"] == cvm.uuid
    assert op["steps"] and not op.get("error")
    cvm.do("stop")
    assert [o["kind"] for o in cvm.operations()][0] == "stop", "newest first"


def test_waiting_for_an_operation_returns_when_it_is_over(node):
    cvm = node.create(wait=False)
    op, = cvm.operations()
    began = time.monotonic()
    assert node.operation(op["id"], wait=30)["state"] == "succeeded"
    assert time.monotonic() - began < 25


def test_cancel_of_a_running_operation_undoes_it(node):
    cvm = node.create()
    cvm.request("shutdown", timeout=120).ok()
    op = cvm.operations()[0]
    assert node.api("DELETE", f"/operations/{op['id']}").status in (200, 202, 204)
    assert node.operation(op["id"], wait=20)["state"] == "cancelled"
    cvm.becomes("running")
    assert node.api("DELETE", f"/operations/{op['id']}").status == 409
    assert_consistent(node)


def test_sixteen_at_a_time(node):
    names = [f"herd-{n}" for n in range(16)]
    answers = []
    threads = [threading.Thread(target=lambda name=name: answers.append(node.try_create(name=name))) for name in names]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status // 100 for a in answers] == [2] * 16, answers
    node.settled(seconds=90)
    assert len(node.guests()) == 16
    assert_consistent(node)
    for a in answers:
        node.api("DELETE", f"/cvms/{a['vm_uuid']}")
    until("all are gone", lambda: not node.uuids(), 60)
    assert_consistent(node)


def test_a_create_has_the_app_id_of_its_provision(node):
    fields = node.create_body(name="two-phases")
    provision = node.post("/cvms/provision", json=fields, version=25).ok().json
    assert len(provision["app_id"]) == 40 and len(provision["compose_hash"]) == 64
    assert node.uuids() == set(), "a provision reserves nothing"
    body = node.post("/cvms", json={"app_id": provision["app_id"], "compose_hash": provision["compose_hash"]},
                     version=25).ok().json
    assert body["app_id"] == provision["app_id"] and body["name"] == "two-phases"
    cvm = node.cvm(body["vm_uuid"])
    cvm.becomes("running")
    assert cvm.get()["compose_hash"] == provision["compose_hash"]
    node.settled()


def test_a_create_without_its_provision_is_refused(node):
    answer = node.post("/cvms", json={"app_id": "0" * 40, "compose_hash": "0" * 64}, version=25)
    assert answer.status in (400, 404, 422), answer


def test_status_words_on_the_way(node):
    cvm = node.create(stopped=True)
    seen = []

    def watch():
        while not done.is_set():
            word = node.get(f"/cvms/{cvm.uuid}/state").ok()["status"]
            if not seen or seen[-1] != word:
                seen.append(word)
    done = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        until("the first look", lambda: seen)
        cvm.do("start")
        cvm.becomes("running")
        cvm.do("stop")
        cvm.becomes("stopped")
    finally:
        done.set()
        watcher.join()
    assert seen == ["stopped", "starting", "running", "stopping", "stopped"], seen


def test_status_batch_answers_under_the_requested_uuids(node):
    cvms = [node.create(stopped=True) for _ in range(3)]
    uuids = [c.uuid for c in cvms]
    body = node.post("/status/batch", json={"vm_uuids": uuids}).ok().json
    assert sorted(body) == sorted(uuids)
    assert all(row["status"] == "stopped" and row["in_progress"] is False for row in body.values())


def test_a_crashed_guest_is_seen_at_once(node):
    import os
    import signal

    cvm = node.create()
    os.kill(cvm.pids()[0], signal.SIGKILL)
    cvm.becomes("crashed", 10)
    assert_consistent(node)
    cvm.do("start")
    cvm.becomes("running")


# ------------------------------------------------------------------ the Linux guest

def test_the_linux_guest_lives_a_whole_life(node):
    """One test, so that one boot serves: HTTP, UDP, progress, ACPI, the disk that stays."""
    cvm = node.create(wait=False, name="linux-guest", image=DEMO, ports=[
        {"protocol": "tcp", "host_port": 0, "vm_port": 80}, {"protocol": "udp", "host_port": 0, "vm_port": 7}])
    node.settled(cvm.uuid, 90)
    tcp = next(p for udp, _, p, _ in cvm.ports() if not udp)
    udp = next(p for udp, _, p, _ in cvm.ports() if udp)
    assert cvm.get()["status"] == "running"

    seen = facts(tcp)
    assert seen["vm_uuid"].lower() == cvm.uuid
    assert seen["boots_of_this_disk"] == 1
    assert udp_echo(udp) == b"are you there"

    serial = cvm.log()
    assert "boot.progress: done" in serial
    state = node.get(f"/cvms/{cvm.uuid}/state").ok().json
    assert state["status"] == "running" and "done" in state.get("boot_progress", "done")

    began = time.monotonic()
    cvm.request("shutdown", timeout=60).ok()
    cvm.becomes("stopped", 40)
    assert time.monotonic() - began < 40
    node.settled(cvm.uuid)
    op = cvm.operations()[0]
    assert op["kind"] == "shutdown" and op["state"] == "succeeded"
    assert "shutdown.progress" in cvm.log()
    assert_consistent(node)

    cvm.do("start")
    seen = facts(tcp)
    assert seen["boots_of_this_disk"] == 2, "the data disk is the same one"
    assert udp_echo(udp) == b"are you there"
    assert "boot.progress: done" in cvm.log(boot=1)

    cvm.request("restart").ok()
    node.settled(cvm.uuid, 90)
    assert facts(tcp)["boots_of_this_disk"] == 3
    assert_consistent(node)


def test_both_images_are_there(node):
    names = {row["name"] for row in node.get("/os-images?page_size=100").ok().json["items"]}
    assert {BOOT, DEMO} <= names
