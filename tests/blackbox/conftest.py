# SPDX-License-Identifier: Apache-2.0
"""conftest.py - nodes for tests, and their end."""

import contextlib
import os

import pytest

import button
from libvirtd import Libvirtd, Unavailable
from node import Node, assert_consistent

DRIVERS = ("embed", "libvirtd")
DEFAULT = os.environ.get("TEEPOD_TEST_HYPERVISOR", "embed")
# What depends on the hypervisor: these files run with either driver, unless TEEPOD_TEST_HYPERVISOR chooses one.
EITHER = ("test_lifecycle.py", "test_ports.py", "test_adopt.py", "test_crash.py")


def pytest_generate_tests(metafunc):
    if metafunc.definition.path.name in EITHER and "TEEPOD_TEST_HYPERVISOR" not in os.environ:
        metafunc.parametrize("hypervisor", DRIVERS, indirect=True)


@pytest.fixture(scope="session")
def worker_libvirtd():
    """The libvirtd that all tests of this worker share; it starts when the first of them needs it."""
    daemon = Libvirtd()
    try:
        try:
            daemon.start()
        except Unavailable as e:
            pytest.fail(f"no libvirtd: {e}")
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(scope="session", autouse=True)
def default_hypervisor(request):
    """With TEEPOD_TEST_HYPERVISOR=libvirtd all nodes run their guests by a libvirtd instead of by themselves."""
    Node.libvirtd = request.getfixturevalue("worker_libvirtd") if DEFAULT == "libvirtd" else None


@pytest.fixture(autouse=True)
def hypervisor(request, default_hypervisor):
    """The driver of this test's nodes: its parameter, or else the default."""
    driver = getattr(request, "param", DEFAULT)
    before = Node.libvirtd
    Node.libvirtd = request.getfixturevalue("worker_libvirtd") if driver == "libvirtd" else None
    yield driver
    Node.libvirtd = before


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


def started(**how):
    node = Node(**how)
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture(scope="module")
def libvirtd(private_libvirtd):
    """One for the tests of a file."""
    with private_libvirtd() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def shared_node(default_hypervisor):
    """The daemon that tests of this worker share, with the default driver."""
    yield from started()


@pytest.fixture(scope="session")
def shared_node_under_libvirtd(worker_libvirtd):
    yield from started(hypervisor=worker_libvirtd.uri)


@pytest.fixture
def node(request, hypervisor):
    """The daemon that tests of this worker share: without CVMs before, without them and balanced after."""
    shared = request.getfixturevalue("shared_node" if hypervisor == DEFAULT else "shared_node_under_libvirtd")
    if shared.process.poll() is not None:
        shared.start()
    yield shared
    shared.delete_all()
    assert_consistent(shared)
    shared.assert_no_full_scans()


@pytest.fixture(scope="session")
def button_image(tmp_path_factory):
    """Folder of an OS image whose guest powers off when its power button is pressed."""
    return button.build(tmp_path_factory.mktemp("button"))


@pytest.fixture
def button_node(node, button_image):
    """The shared daemon with that image, during this test."""
    node.post("/images", json={"source": str(button_image)}, timeout=60).ok()
    yield node
    node.delete_all()
    assert node.api("DELETE", f"/images/{button.BUTTON}").status == 204


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

