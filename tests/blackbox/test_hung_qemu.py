# SPDX-License-Identifier: Apache-2.0
"""A QEMU that hangs (SIGSTOP) delays no other CVM and no request."""

import contextlib
import os
import signal
import time

import pytest

from node import assert_consistent, until


@contextlib.contextmanager
def hanging(cvm):
    """SIGSTOP the QEMU of @cvm; yields its pid. It gets SIGCONT afterwards if it is still there."""
    pid, = cvm.pids()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_hung_qemu_slows_no_other_request(node):
    hung, other = node.create(name="hung-one"), node.create(name="other-one")
    with hanging(hung):
        slow = []
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for path in ("/apps?page=1&page_size=50", f"/cvms/{hung.uuid}", f"/cvms/{hung.uuid}/state", "/node", "/operations",
                         "/teepods/available", f"/cvms/{hung.uuid}/logs?ch=serial"):
                answer = node.get(path)
                assert answer.status == 200, (path, answer)
                slow.append((answer.seconds, path))
            slow.append((node.api("GET", "/healthz", prefix="", key=None).seconds, "/healthz"))
            slow.append((node.api("GET", "/metrics", prefix="").seconds, "/metrics"))
            time.sleep(0.02)
        assert len(slow) > 9 and max(slow)[0] < 1, max(slow)

        began = time.monotonic()
        third = node.create(name="third-one")
        other.do("stop")
        other.becomes("stopped")
        assert time.monotonic() - began < 10, "starting and stopping others goes on"
        third.delete()

        assert hung.request("stop").ok().seconds < 1, "the request only begins the stop"
        hung.becomes("stopped", 30)
        node.settled(hung.uuid)
        assert hung.pids() == []
        assert_consistent(node)


def test_sigterm_ends_the_daemon_while_a_job_hangs(spawn):
    node = spawn(options={"api.drain_seconds": 1})
    hung = node.create()
    with hanging(hung) as pid:
        hung.request("shutdown", timeout=60).ok()
        until("QEMU is asked", lambda: hung.operations()[0]["step"] == "signal" and hung.operations()[0]["state"] == "running")
        time.sleep(0.3)
        assert node.stop(15) == 0
        assert hung.pids() == [pid]
    node.start()
    assert hung.pids() == [pid]
    hung.request("stop").ok()
    hung.becomes("stopped", 30)
    node.settled(hung.uuid)
    assert_consistent(node)


def test_a_hung_qemu_can_be_deleted(node):
    hung = node.create()
    with hanging(hung) as pid:
        assert node.api("DELETE", f"/cvms/{hung.uuid}").status == 204
        node.settled(hung.uuid)
        assert not os.path.exists(f"/proc/{pid}") or hung.pids() == []
        assert_consistent(node)


@pytest.mark.parametrize("verb", ["shutdown", "restart"])
def test_stop_gets_past_what_waits_for_a_hung_qemu(node, verb):
    hung = node.create()
    with hanging(hung):
        hung.request(verb).ok()
        until("QEMU is asked", lambda: hung.operations()[0]["step"] == "signal" and hung.operations()[0]["state"] == "running")
        time.sleep(0.3)
        hung.request("stop").ok()
        hung.becomes("stopped", 30)
        node.settled(hung.uuid)
        assert hung.pids() == []
        assert [(op["kind"], op["state"]) for op in hung.operations()[:2]] == [("stop", "succeeded"), (verb, "cancelled")]
        assert_consistent(node)
