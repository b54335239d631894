# SPDX-License-Identifier: Apache-2.0
"""Guests survive a kill -9 and a stop of the daemon; the next daemon adopts them."""

import json
import os
import signal
import socket
import time

from button import BUTTON
from libvirtd import virsh
from node import DEMO, assert_consistent, until
from test_lifecycle import facts


def test_guests_survive_kill_9_and_are_adopted_with_their_pids_and_ports(spawn):
    node = spawn()
    linux = node.create(wait=False, name="linux", image=DEMO, ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}])
    small = [node.create(name=f"small-{n}", ports=[{"protocol": "tcp", "host_port": 0, "vm_port": 80}]) for n in range(2)]
    node.settled(seconds=90)
    (_, _, port, _), = linux.ports()
    mark = facts(port)
    pids = node.guests()
    assert len(pids) == 3

    node.kill()
    assert node.guests() == pids, "they run on"
    assert facts(port)["boots_of_this_disk"] == mark["boots_of_this_disk"]

    node.start()
    for cvm in (linux, *small):
        cvm.becomes("running", 10)
    assert node.guests() == pids, "the same processes"
    again = facts(port)
    assert again["boots_of_this_disk"] == mark["boots_of_this_disk"] and again["uptime_s"] >= mark["uptime_s"]
    assert_consistent(node)

    small[0].do("stop")
    small[0].becomes("stopped")
    linux.request("shutdown", timeout=60).ok()
    linux.becomes("stopped", 40)
    node.settled()
    assert_consistent(node)
    small[1].delete()
    assert_consistent(node)


def test_sigterm_of_the_daemon_leaves_guests_running(spawn):
    node = spawn()
    cvm = node.create()
    pids = cvm.pids()
    assert node.stop() == 0
    assert node.guests() == pids
    node.start()
    cvm.becomes("running", 10)
    assert cvm.pids() == pids
    assert_consistent(node)


def test_a_crashed_guest_is_crashed_still_after_a_restart(spawn):
    """libvirt forgets why a guest ended when its driver restarts; the daemon does not."""
    node = spawn(options={"restart.enabled": "no"})     # a slow machine would restart it before the test has seen the status
    dead = node.create()
    for pid in dead.pids():
        os.kill(pid, signal.SIGKILL)
    dead.becomes("crashed")
    for end in (node.stop, node.kill):
        end()
        node.start()
        time.sleep(1.5)     # the daemon lists the domains again after a second
        assert dead.status == "crashed"
    dead.do("stop")
    dead.becomes("stopped")
    assert_consistent(node)


def test_a_guest_killed_while_the_daemon_was_away_is_crashed_not_running(spawn):
    node = spawn()
    dead, lives = node.create(), node.create()
    node.kill()
    os.kill(dead.pids()[0], signal.SIGKILL)
    until("it is dead", lambda: not dead.pids())
    node.start()
    dead.becomes("crashed", 10)
    lives.becomes("running", 10)
    assert_consistent(node)
    dead.do("start")
    dead.becomes("running")
    assert_consistent(node)


def press_power_button(monitor):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(monitor))
        s.recv(4096)
        for command in ("qmp_capabilities", "system_powerdown"):
            s.sendall(json.dumps({"execute": command}).encode() + b"\n")
            s.recv(4096)


def test_a_guest_that_powered_off_while_the_daemon_was_away_has_exited(spawn, button_image):
    """The guest powers off when its power button is pressed; here the test presses it, not the daemon."""
    node = spawn()
    node.post("/images", json={"source": str(button_image)}, timeout=60).ok()
    cvm = node.create(image=BUTTON)
    pid, = cvm.pids()
    node.kill()
    if node.libvirtd:
        virsh(node.libvirtd.uri, "shutdown", cvm.uuid, "--mode", "acpi")
    else:
        press_power_button(next(node.embed.glob("lib/qemu/domain-*/monitor.sock")))
    log = node.dir / "cvms" / cvm.uuid
    until("the guest went down", lambda: any(
        b"shutdown.progress" in path.read_bytes() for path in log.rglob("*serial*") if path.is_file()), 30)
    node.start()
    until(lambda: f"not running: {cvm.status}", lambda: cvm.status in ("exited", "stopped"), 15)
    until("QEMU is gone", lambda: not node.guests(), 10)
    assert_consistent(node)
    cvm.do("start")
    assert cvm.pids() and cvm.pids() != [pid]


def test_a_stopped_cvm_stays_stopped_over_a_restart(spawn):
    node = spawn()
    never, once = node.create(stopped=True), node.create()
    once.do("stop")
    node.kill()
    node.start()
    assert never.status == "stopped" and once.status == "stopped"
    assert node.guests() == []
    assert_consistent(node)
    once.do("start")
    once.becomes("running")
