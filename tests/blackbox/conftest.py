# SPDX-License-Identifier: Apache-2.0
"""conftest.py - nodes for tests, and their end."""

import contextlib
import os

import pytest

from libvirtd import Libvirtd, Unavailable
from node import Node, PROGRAM, assert_books


def pytest_sessionstart(session):
    if not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} is not there: make build it first, e.g. by tests/run.sh blackbox")


def pytest_report_header(config):
    return f"daemon: {PROGRAM}"


@pytest.fixture(scope="session", autouse=True)
def hypervisor():
    """With TEEPOD_TEST_HYPERVISOR=libvirtd all nodes run their guests by a libvirtd instead of by themselves."""
    if os.environ.get("TEEPOD_TEST_HYPERVISOR", "embed") == "embed":
        yield None
        return
    try:
        daemon = Libvirtd()
    except Unavailable as e:
        pytest.exit(str(e), 1)
    try:
        daemon.start()
        Node.libvirtd = daemon
        yield daemon
    finally:
        Node.libvirtd = None
        daemon.close()


@pytest.fixture(scope="session")
def private_libvirtd():
    """A libvirtd of one's own for a with block; arguments as of Libvirtd. Skips the test where there can be none."""
    @contextlib.contextmanager
    def run(*args, **how):
        try:
            daemon = Libvirtd(*args, **how)
        except Unavailable as e:
            pytest.skip(str(e))
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.close()
    return run


@pytest.fixture(scope="session")
def shared_node():
    node = Node()
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture
def node(shared_node):
    """The daemon this worker shares between tests: empty before, empty and balanced after."""
    if shared_node.process.poll() is not None:
        shared_node.start()
    yield shared_node
    shared_node.delete_all()
    assert_books(shared_node)
    shared_node.assert_no_full_scans()


@pytest.fixture
def spawn():
    """Makes nodes of one's own: spawn(options={...}, start=True, ...)."""
    made = []

    def make(start=True, **how):
        made.append(Node(**how))
        return made[-1].start() if start else made[-1]
    yield make
    for each in made:
        each.close()

