# SPDX-License-Identifier: Apache-2.0
"""Actions of the node itself: restarts after a crash, starts after a boot of the host, drain."""

import os
import shutil
import signal
import time

import pytest

from button import BUTTON
from node import assert_consistent, refused, until
from test_adopt import press_power_button

QUICK = {"restart.initial_backoff": 1, "restart.max_backoff": 2, "restart.max_retries": 3, "restart.reset_window": 300}


def crash(cvm):
    """Kill its QEMU with SIGKILL; returns the pid."""
    pid, = until(f"{cvm.name} has a QEMU", cvm.pids)
    os.kill(pid, signal.SIGKILL)
    return pid


def runs_again(cvm, old, seconds=15):
    until(lambda: f"{cvm.name} runs again: {cvm.get()['restart']}", lambda: cvm.pids() not in ([], [old]), seconds)
    cvm.node.settled(cvm.uuid)
    cvm.becomes("running")


def events(node, kind):
    return [e for e in node.get("/events?limit=1000").ok().json["events"] if e["type"] == kind]


def reboot(node):
    """Simulate a boot of the host: the daemon and all QEMUs are killed, and pids of before mean nothing."""
    node.kill()
    for pid in node.guests(probes=True):
        os.kill(pid, signal.SIGKILL)
    until("all QEMUs are dead", lambda: not node.guests(probes=True))
    (node.embed / "boot").write_text("another boot")
    assert (node.embed / "run").is_dir(), "the daemon is to remove this by itself"


def powers_off(cvm):
    """SIGTERM makes QEMU end as if its guest had powered off; returns the pid."""
    pid, = cvm.pids()
    os.kill(pid, signal.SIGTERM)
    until(f"{cvm.name} went down", lambda: pid not in cvm.pids(), 10)
    return pid


# ---------------------------------------------------------------------- after a crash


def test_a_crashed_cvm_is_restarted_with_back_off_until_the_budget_is_used_up(spawn):
    node = spawn(options=QUICK)
    cvm = node.create()
    delays = []
    for attempt in (1, 2, 3):
        old, began = crash(cvm), time.time()
        until("a restart is due", lambda: cvm.get()["restart"]["next_attempt_at"], 5)
        assert cvm.status == "crashed" and cvm.get()["restart"]["attempts"] == attempt - 1
        runs_again(cvm, old)
        delays.append(time.time() - began)
        assert cvm.get()["restart"]["attempts"] == attempt
        assert cvm.operations()[0]["caller"] == "teepod:auto-restart" and cvm.operations()[0]["kind"] == "start"
    assert delays[0] >= 1 and delays[1] >= 2 and delays[2] >= 2, delays
    crash(cvm)
    until("it is given up", lambda: cvm.get()["restart"]["exhausted"], 5)
    time.sleep(2.5)
    assert not cvm.pids() and cvm.status == "crashed"
    assert [e["data"]["attempt"] for e in events(node, "cvm.restart.scheduled")] == [1, 2, 3]
    assert len(events(node, "cvm.restart.exhausted")) == 1
    assert_consistent(node)

    cvm.do("start")
    assert cvm.get()["restart"] == {"policy": "on-crash", "attempts": 0, "budget": 3, "next_attempt_at": None, "exhausted": False,
                                    "ended": None}
    runs_again(cvm, crash(cvm))


def test_a_good_run_makes_the_budget_whole(spawn):
    node = spawn(options={**QUICK, "restart.reset_window": 6})
    cvm = node.create()
    runs_again(cvm, crash(cvm))
    assert cvm.get()["restart"]["attempts"] == 1
    until("it counts as well again", lambda: cvm.get()["restart"]["attempts"] == 0, 15)


def test_the_schedule_goes_on_when_the_daemon_was_killed_between_attempts(spawn):
    node = spawn(options=QUICK)
    cvm = node.create()
    runs_again(cvm, crash(cvm))
    for _ in range(2):
        old = crash(cvm)
        until("a restart is due", lambda: cvm.get()["restart"]["next_attempt_at"], 5)
        node.kill()
        node.start()
        runs_again(cvm, old)
    assert cvm.get()["restart"]["attempts"] == 3
    crash(cvm)
    until("it is given up", lambda: cvm.get()["restart"]["exhausted"], 5)
    node.restart()
    time.sleep(2.5)
    assert cvm.get()["restart"]["exhausted"] and cvm.status == "crashed" and not cvm.pids(), "a restart is no new budget"


def test_a_crash_while_the_daemon_was_away_is_restarted(spawn):
    node = spawn(options=QUICK)
    cvm = node.create()
    node.kill()
    old = crash(cvm)
    node.start()
    runs_again(cvm, old)
    assert cvm.get()["restart"]["attempts"] == 1


def test_never_stop_and_the_switch_of_the_node_keep_a_cvm_down(spawn):
    node = spawn(options=QUICK)
    never, stopped = node.create(restart_policy="never"), node.create()
    crash(never)
    never.becomes("crashed")
    crash(stopped)
    until("a restart is due", lambda: stopped.get()["restart"]["next_attempt_at"], 5)
    stopped.do("stop")
    time.sleep(2.5)
    assert never.status == "crashed" and stopped.status == "stopped" and not node.guests()
    assert stopped.get()["restart"]["next_attempt_at"] is None
    # When its policy changes afterwards, it is started at once, as after a crash.
    node.api("PATCH", f"/cvms/{never.uuid}/policy", json={"restart_policy": "always"}).ok()
    until("it runs", never.pids, 10)

    off = spawn(options={**QUICK, "restart.enabled": "no"})
    cvm = off.create(restart_policy="always")
    crash(cvm)
    time.sleep(2.5)
    assert cvm.status == "crashed" and not cvm.pids()


def test_a_guest_that_powers_off_is_restarted_only_under_always(spawn):
    node = spawn(options=QUICK)
    mild, always = node.create(), node.create(restart_policy="always")
    powers_off(mild)
    old = powers_off(always)
    mild.becomes("exited")
    assert mild.get()["restart"]["ended"] == "off"
    runs_again(always, old)
    assert mild.status == "exited" and not mild.pids()
    scheduled, = events(node, "cvm.restart.scheduled")
    assert scheduled["vm_uuid"] == always.uuid and scheduled["data"]["ended"] == "off"


def test_a_restart_that_fails_counts_as_an_attempt(spawn):
    node = spawn(options={**QUICK, "restart.max_retries": 2})
    cvm = node.create()
    image = node.dir / "images" / cvm.get()["os"]["name"]
    shutil.move(image, node.dir / "elsewhere")
    crash(cvm)
    until("it is given up", lambda: cvm.get()["restart"]["exhausted"], 15)
    shown = cvm.get()
    assert shown["restart"]["ended"] == "failed" and shown["desired"] == "running"
    assert [op["state"] for op in cvm.operations()[:2]] == ["failed", "failed"]
    shutil.move(node.dir / "elsewhere", image)
    cvm.do("start")
    cvm.becomes("running")
    assert_consistent(node)


# ---------------------------------------------------------------------- after a boot of the host


def test_after_a_boot_of_the_host_those_that_ran_are_started(spawn):
    node = spawn(options={**QUICK, "start.parallel": 2})
    ran = [node.create(name=f"ran-{n}") for n in range(4)]
    stopped, out = node.create(), node.create(auto_start=False)
    stopped.do("stop")
    reboot(node)
    node.start()
    for cvm in ran:
        cvm.becomes("running", 30)
    node.settled()
    assert stopped.status == "stopped" and not stopped.pids()
    assert out.status == "exited" and not out.pids() and out.get()["restart"]["ended"] == "lost"
    assert {op["caller"] for cvm in ran for op in cvm.operations()[:1]} == {"teepod:auto-start"}
    assert all(cvm.get()["restart"]["attempts"] == 0 for cvm in ran), "no crash, no attempt"
    assert_consistent(node)


def test_the_api_answers_while_guests_are_started_in_order(spawn):
    node = spawn(options={**QUICK, "start.parallel": 8})
    order = {2: None, -1: None, 1: None}
    for n in order:
        order[n] = [node.create(name=f"order-{n + 5}-{k}", start_order=n) for k in range(2)]
    reboot(node)
    node.spawn()
    node.answers()
    assert len(node.get("/cvms/paginated?page_size=100").ok().json["items"]) == 6
    node.ready()
    for cvms in order.values():
        for cvm in cvms:
            cvm.becomes("running", 40)
    node.settled()
    times = {n: [cvm.operations()[0] for cvm in cvms] for n, cvms in order.items()}
    for before, after in ((-1, 1), (1, 2)):
        assert max(op["finished_at"] for op in times[before]) <= min(op["started_at"] for op in times[after])


def test_a_cvm_that_cannot_start_delays_no_other_and_is_tried_again(spawn):
    node = spawn(options={**QUICK, "restart.max_backoff": 1, "restart.max_retries": 30})
    bad, good = node.create(start_order=-1), node.create()
    reboot(node)
    shared = node.dir / "cvms" / bad.uuid / "shared"
    shutil.move(shared, node.dir / "elsewhere")
    shared.write_text("not a folder")
    node.start()
    good.becomes("running", 20)
    until("the other one is tried again", lambda: bad.get()["restart"]["attempts"] >= 1, 10)
    assert bad.get()["restart"]["ended"] == "failed" and bad.get()["desired"] == "running"
    shared.unlink()
    shutil.move(node.dir / "elsewhere", shared)
    bad.becomes("running", 10)
    assert_consistent(node)


def test_killed_while_it_starts_them_it_goes_on(spawn):
    node = spawn(options={**QUICK, "start.parallel": 1})
    cvms = [node.create() for _ in range(4)]
    reboot(node)
    node.spawn(TEEPOD_FAILPOINT="start.start.after")
    assert node.died() == signal.SIGKILL
    node.start()
    for cvm in cvms:
        cvm.becomes("running", 30)
    node.settled()
    assert_consistent(node)


def test_what_powered_off_before_the_host_did_stays_off(spawn):
    node = spawn(options=QUICK)
    cvm = node.create()
    powers_off(cvm)
    cvm.becomes("exited")
    reboot(node)
    node.start()
    time.sleep(1.5)
    assert cvm.status == "exited" and not cvm.pids()


def test_a_guest_that_powered_off_while_the_daemon_was_away_stays_off(spawn, button_image):
    node = spawn(options=QUICK)
    node.post("/images", json={"source": str(button_image)}, timeout=60).ok()
    cvm = node.create(image=BUTTON)
    node.kill()
    press_power_button(next(node.embed.glob("lib/qemu/domain-*/monitor.sock")))
    log = node.dir / "cvms" / cvm.uuid
    until("the guest went down", lambda: any(
        b"shutdown.progress" in path.read_bytes() for path in log.rglob("*serial*") if path.is_file()), 30)
    node.start()
    cvm.becomes("exited", 15)
    assert cvm.get()["restart"]["ended"] == "off"
    time.sleep(2)
    assert cvm.status == "exited" and not cvm.pids()
    node.restart()
    time.sleep(1.5)
    assert cvm.status == "exited" and cvm.get()["restart"]["ended"] == "off", "libvirt has forgotten, the row has not"


def test_a_node_without_auto_start_starts_nothing(spawn):
    node = spawn(options={**QUICK, "start.auto": "no"})
    cvm = node.create()
    reboot(node)
    node.start()
    time.sleep(1.5)
    assert cvm.status == "exited" and not cvm.pids()


# ---------------------------------------------------------------------- maintenance and drain


def test_in_maintenance_nothing_new_and_the_rest_as_before(spawn):
    node = spawn()
    runs, other = node.create(), node.create(stopped=True)
    assert node.get("/node")["maintenance"]["enabled"] is False
    node.api("PUT", "/node/maintenance", json={"enabled": True, "reason": "new firmware"}).ok()
    body = node.create_body()
    for path in ("/cvms", "/cvms/provision"):
        error = refused(node.post(path, json=body), 403, "ERR-02-012", "node_id")
        assert error["message"] == "node in maintenance: new firmware"
    assert "new firmware" in node.post("/preflight", json=body).text
    assert runs.status == "running"
    other.do("start")
    other.becomes("running")
    runs.do("stop")
    available, = node.get("/teepods/available")["nodes"]
    assert available["listed"] is False and available["maintenance"] == "new firmware"
    assert "teepod_maintenance 1" in node.api("GET", "/metrics", prefix="").text

    node.kill()
    node.start()
    shown = node.get("/node")["maintenance"]
    assert shown["enabled"] and shown["reason"] == "new firmware" and shown["since"] and shown["by"]
    node.api("DELETE", "/node/maintenance").ok()
    assert node.get("/node/maintenance").ok()["enabled"] is False
    assert runs.status == "stopped", "stopped by hand: it is nobody else's business"
    node.create()


def test_only_operators_may(spawn):
    from test_workspaces import add_key

    node = spawn()
    for role in ("reader", "tenant"):
        key = add_key(node, "local", f"a-{role}", role)
        refused(node.api("PUT", "/node/maintenance", json={"enabled": True}, key=key), 403)
        refused(node.api("DELETE", "/node/maintenance", key=key), 403)
        refused(node.post("/node/drain", key=key), 403)
        node.get("/node/maintenance", key=key).ok()


@pytest.mark.parametrize("killed", [False, True])
def test_drain_and_back(spawn, killed):
    node = spawn(options={**QUICK, "start.parallel": 2})
    cvms = [node.create() for _ in range(5)]
    stopped, by_hand = node.create(stopped=True), node.create()
    answer = node.post("/node/drain", json={"timeout_s": 10, "force": True, "reason": "move"})
    assert answer.status == 202, answer
    assert answer["enabled"] and [op["kind"] for op in answer["operations"]] == ["shutdown", "shutdown"]
    assert answer["drain"]["waiting"] == 4 and answer["drain"]["shutting_down"] == 2
    # The guest ignores its power button. SIGTERM makes QEMU end as if the guest had powered off.
    deadline, told = time.monotonic() + 60, set()
    while node.get("/node/maintenance")["drain"]["down"] < 6:
        assert time.monotonic() < deadline, node.get("/node/maintenance")
        assert len(node.live_operations()) <= 2
        for op in node.live_operations():
            # Wait until the button was pressed: libvirt reports a crash if QEMU ends while it sends a command.
            pids = node.cvm(op["cvm"]["vm_uuid"]).pids() if op["step"] == "wait" else []
            for pid in set(pids) - told:
                os.kill(pid, signal.SIGTERM)
            told |= set(pids)
        time.sleep(0.2)
        if killed and node.get("/node/maintenance")["drain"]["waiting"] == 2:
            node.kill()
            node.start()
            killed = False
    node.settled()
    assert not node.guests()
    assert [cvm.status for cvm in cvms] == ["stopped"] * 5, ([cvm.get() for cvm in cvms], node.log_tail())
    by_hand.do("start")
    by_hand.do("stop")
    node.restart()
    assert not node.guests(), "in maintenance nothing starts by itself"

    node.api("DELETE", "/node/maintenance").ok()
    for cvm in cvms:
        cvm.becomes("running", 30)
    node.settled()
    assert stopped.status == "stopped" and by_hand.status == "stopped"
    assert node.get("/node/maintenance")["drain"] == {"waiting": 0, "shutting_down": 0, "still_running": 0, "down": 0}
    assert_consistent(node)


def test_a_guest_that_does_not_shut_down_runs_on_and_is_reported(spawn):
    node = spawn()
    cvm = node.create()
    node.post("/node/drain", json={"timeout_s": 10}).ok()
    until("time is up", lambda: node.get("/node/maintenance")["drain"]["still_running"] == 1, 20)
    assert cvm.status == "running" and cvm.operations()[0]["state"] == "failed"
    node.api("PUT", "/node/maintenance", json={"enabled": False}).ok()
    node.settled()
    assert cvm.status == "running"
    assert_consistent(node)


def test_a_crash_during_a_drain_is_not_restarted_before_it_is_over(spawn):
    node = spawn(options={**QUICK, "restart.initial_backoff": 2})
    cvm = node.create()
    crash(cvm)
    until("a restart is due", lambda: cvm.get()["restart"]["next_attempt_at"], 5)
    node.post("/node/drain").ok()
    node.settled()
    time.sleep(2.5)
    assert not cvm.pids() and cvm.status == "stopped"
    node.api("DELETE", "/node/maintenance").ok()
    cvm.becomes("running", 10)


@pytest.mark.parametrize("body", [{}, {"enabled": "yes"}, {"enabled": True, "until": 1}, {"enabled": True, "reason": "two\nlines"},
                                  {"enabled": True, "reason": "x" * 191}])
def test_maintenance_is_strict(node, body):
    refused(node.api("PUT", "/node/maintenance", json=body), 400)
    assert node.get("/node/maintenance")["enabled"] is False
