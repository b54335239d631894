# SPDX-License-Identifier: Apache-2.0
"""conftest.py - what all suites share: the daemon under test, and which test each worker runs next.

Most tests wait: for a guest to boot, for a deadline of the daemon, for a client that is slow on purpose. A few compute. One
pytest session runs all suites on more workers than the machine has cores, so that the cores are busy while tests wait.
"""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "blackbox"))

from node import PROGRAM  # noqa: E402

# Tests that take 10 s or more, most of it waiting, the longest first. A test that is not listed still runs, only later.
LONG = ("tests/tdx/", "tests/torture/", "test_hung_steps.py::test_a_frozen", "test_connections.py::test_what_trickles", "test_phala_cli.py",
        "test_phala_sdk.py", "test_hung_steps.py", "test_qemu_user.py", "test_unprivileged.py", "test_hung_qemu.py", "test_paused.py",
        "test_loop_lag.py", "test_adopt.py", "test_connections.py")


def pytest_sessionstart(session):
    if not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} does not exist: build it first, for example with tests/run.sh blackbox")


def pytest_report_header(config):
    return f"daemon: {PROGRAM}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScheduling

    return mixed(LoadScheduling)(config, log)


def rank(name):
    """Position of a test in LONG, or len(LONG)."""
    return next((i for i, part in enumerate(LONG) if part in name), len(LONG))


def mixed(base):
    class Mixed(base):
        """Hands out tests one at a time. Every third worker takes the long tests first, the others take the rest first, so that
        tests that wait and tests that compute run side by side; no long test is left for the end.

        All of tests/tdx goes to one worker: each worker that runs one of them needs a test bed of its own, which takes seconds.
        """

        def check_schedule(self, node, duration=0):
            if node.shutting_down:
                return
            if not self.pending:
                node.shutdown()
            elif len(self.node2pending[node]) < 2:      # a worker runs a test when it knows the next one
                self._send_tests(node, 1)

        def schedule(self):
            if self.collection is not None or not self._check_nodes_have_same_collection():
                return super().schedule()
            self.collection = next(iter(self.node2collection.values()))
            self.long = [rank(name) < len(LONG) for name in self.collection]
            self.pending[:] = sorted(range(len(self.collection)), key=lambda i: rank(self.collection[i]))
            for _ in range(2):
                for node in self.nodes:
                    self.check_schedule(node)
            return None

        def _send_tests(self, node, num):
            long_first = self.nodes.index(node) % 3 == 0
            first = next((i for i in self.pending if self.long[i] == long_first), self.pending[0])
            if "tests/tdx/" in self.collection[first]:
                chosen = [i for i in self.pending if "tests/tdx/" in self.collection[i]]
            else:
                chosen = [first]
            for i in chosen:
                self.pending.remove(i)
            self.node2pending[node].extend(chosen)
            node.send_runtest_some(chosen)
    return Mixed
