# SPDX-License-Identifier: Apache-2.0
"""The life of a TD with simulated TDX: real libvirt, real command lines, guests under emulation."""

import os
import signal
import threading

import pytest

from libvirtd import defined
from node import BOOT, alive, assert_consistent, refused, until
from td import assert_is_td
from td_images import FIRMWARE, TD_BOOT, TD_DEMO, TD_REBOOTS
from test_lifecycle import BOOTED, facts

WEB = [{"protocol": "tcp", "host_port": 0, "vm_port": 80}]


def create(node, image=TD_BOOT, **fields):
    return node.create(image=image, require_tdx=True, **fields)


def assert_boots(cvm):
    until(lambda: f"{cvm.name} boots: {cvm.log()}", lambda: BOOTED in cvm.log())


def test_the_node_says_that_it_runs_tds(node):
    shown = node.get("/node").ok().json
    assert shown["mode"] == "tdx"
    assert shown["tdx"]["available"] is True and shown["tdx"]["reason"] is None
    assert int(shown["hypervisor"]["libvirt"].split(".")[0]) >= 12
    assert int(shown["hypervisor"]["qemu"].split(".")[0]) >= 11


def test_a_created_td_has_all_that_makes_one(bed, node, show):
    cvm = create(node, ports=WEB)
    show(assert_is_td(bed, cvm))
    assert_boots(cvm)
    assert_consistent(node)


def test_an_image_without_firmware_gets_the_hosts(bed, node):
    assert_is_td(bed, create(node, image=BOOT), firmware=FIRMWARE)


def test_tds_created_at_the_same_time_are_tds_of_their_own(bed, node):
    names = [f"same-time-{n}" for n in range(4)]
    answers = []

    def create_td(name):
        answers.append(node.try_create(name=name, image=TD_BOOT, require_tdx=True,
                                       compose_file={"docker_compose_file": f"services:\n  {name}:\n    image: nginx\n"}))

    for pair in (names[:2], names[2:]):
        threads = [threading.Thread(target=create_td, args=(name,)) for name in pair]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    cvms = [node.cvm(answer.ok()["vm_uuid"]) for answer in answers]
    for cvm in cvms:
        cvm.becomes("running")
    node.settled()
    given = [assert_is_td(bed, cvm) for cvm in cvms]
    assert len({each.objects("tdx-guest")[0]["mrconfigid"] for each in given}) == 4
    assert_consistent(node)


def test_stop_and_start_give_the_same_td_in_another_process(bed, node):
    cvm = create(node)
    before, first = assert_is_td(bed, cvm), cvm.pids()
    cvm.do("stop")
    cvm.becomes("stopped")
    assert cvm.pids() == []
    cvm.do("start")
    cvm.becomes("running")
    assert cvm.pids() != first
    after = assert_is_td(bed, cvm)
    for option in ("-machine", "-cpu", "-m", "-smp", "-bios", "-device"):
        assert after.all(option) == before.all(option)
    assert after.objects("tdx-guest") == before.objects("tdx-guest")
    assert_consistent(node)


def test_restart_gives_a_new_process_that_is_a_td(bed, node):
    cvm = create(node)
    assert_boots(cvm)
    first = cvm.pids()
    cvm.do("restart", force=True)
    cvm.becomes("running")
    assert cvm.pids() != first
    assert_is_td(bed, cvm)
    assert_boots(cvm)
    assert_consistent(node)


def test_a_deleted_td_leaves_nothing(bed, node):
    cvm = create(node)
    pid, = cvm.pids()
    cvm.delete()
    assert not alive(pid)
    assert cvm.uuid not in defined(bed.uri)
    assert cvm.uuid not in node.folders()
    assert_consistent(node)


def test_another_size_is_another_td(bed, node):
    """A TD has no hot-plug: libvirt creates a new one."""
    small = create(node, name="grows", vcpu=1, memory=64)
    assert_is_td(bed, small, vcpus=1, memory=64)
    small.delete()
    large = create(node, name="grows", vcpu=2, memory=128, disk_size=2)
    assert_is_td(bed, large, vcpus=2, memory=128)
    assert_consistent(node)


def test_a_td_whose_qemu_is_killed_has_crashed_and_starts_again(bed, node):
    cvm = create(node)
    os.kill(cvm.pids()[0], signal.SIGKILL)
    cvm.becomes("crashed", 10)
    assert_consistent(node)
    cvm.do("start")
    cvm.becomes("running")
    assert_is_td(bed, cvm)
    assert_consistent(node)


def test_tds_survive_kill_9_of_the_daemon_and_are_adopted(bed, node):
    lives, dies = create(node), create(node)
    pids = node.guests()
    given = assert_is_td(bed, lives).words
    node.kill()
    assert node.guests() == pids, "they run on"
    os.kill(dies.pids()[0], signal.SIGKILL)
    node.start()
    lives.becomes("running", 10)
    dies.becomes("crashed", 10)
    assert lives.pids() == [pid for pid in pids if alive(pid)] and len(lives.pids()) == 1
    assert assert_is_td(bed, lives).words == given
    assert_consistent(node)
    lives.do("stop")
    lives.becomes("stopped")
    assert_consistent(node)


def test_tds_survive_kill_9_of_libvirtd(bed, node):
    cvm = create(node)
    pids = cvm.pids()
    bed.kill()
    until("the daemon notices", lambda: node.api("GET", "/readyz", prefix="", key=None).status == 503)
    bed.start()
    node.ready(40)
    assert node.get("/node")["mode"] == "tdx", "libvirt still believes what it has noted"
    cvm.becomes("running", 15)
    assert cvm.pids() == pids
    assert_is_td(bed, cvm)
    assert_consistent(node)


def test_a_linux_td_boots_serves_and_shuts_down(bed, node):
    cvm = create(node, image=TD_DEMO, vcpu=2, memory=192, ports=WEB)
    given = assert_is_td(bed, cvm, vcpus=2, memory=192)
    assert given.one("-kernel").endswith("/bzImage")
    (_, _, port, _), = cvm.ports()
    assert facts(port)["cpus"] == 2
    cvm.request("shutdown", timeout=60).ok()
    cvm.becomes("stopped", 40)
    node.settled()
    assert_consistent(node)


@pytest.mark.parametrize("away", [False, True], ids=["watched", "while the daemon is away"])
def test_a_td_that_reboots_itself_is_another_process_and_a_td_again(bed, node, away):
    """What was measured into it is gone: libvirt ends the old one and starts another, and nobody has to ask for it; nor does the node, that
    would start it again if it stayed down."""
    cvm = create(node, image=TD_REBOOTS, memory=160, ports=WEB, restart_policy="always")
    first, = cvm.pids()
    assert_is_td(bed, cvm, memory=160)
    if away:
        node.kill()
        until("it has rebooted", lambda: cvm.pids() not in ([], [first]), 60)
        node.start()
    until(lambda: f"it reboots: {cvm.log()}", lambda: "here again" in cvm.log(), 60)
    assert not alive(first) and len(cvm.pids()) == 1
    cvm.becomes("running")
    assert not [e for e in node.get("/events?limit=1000").ok().json["events"] if e["vm_uuid"] == cvm.uuid and "restart" in e["type"]]
    assert cvm.get()["restart"]["attempts"] == 0
    assert_is_td(bed, cvm, memory=160)
    assert_consistent(node)


def test_without_tee_there_are_no_tds_and_none_can_be_had(bed, spawn):
    node = spawn(hypervisor=bed.uri, options={"hypervisor.tee": "none"})
    assert node.get("/node")["mode"] == "development"
    for wish in ({"require_tdx": True}, {"tee": "tdx"}):
        shown = refused(node.try_create(**wish), 400, "ERR-02-009", field="tee")
        assert "hypervisor.tee = none" in shown["message"]
    assert node.uuids() == set()
    cvm = node.create()
    assert cvm.get()["mode"] == "development"
    assert "launchSecurity" not in bed.live_xml(cvm.uuid)
    node.delete_all()
