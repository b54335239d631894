# SPDX-License-Identifier: Apache-2.0
"""conftest.py - a test bed and a node in TDX mode for the worker that runs these tests; at the end a command line, and what the
tests do not prove."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "blackbox"))

from bed import Bed, find_root  # noqa: E402
from libvirtd import Unavailable  # noqa: E402
from node import Node, assert_consistent  # noqa: E402
from td_images import bring_images, new_node  # noqa: E402

SHOWN = HERE.parents[1] / "build" / "test-logs" / "tdx-argv.txt"
NOT_PROVED = """\
What this does NOT prove: there was no TDX module, no encrypted memory, no measurement, no quote and no attestation. The
"TDs" were ordinary guests under emulation, without their TDX firmware. What was real: libvirt's checks of the domain and
the command line it made of it, teepod, and the life of the guests' processes."""


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        SHOWN.unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter):
    if SHOWN.exists():
        terminalreporter.write_sep("=", "one TD, as libvirt gave it to QEMU")
        terminalreporter.write_line(SHOWN.read_text())
    terminalreporter.write_line(NOT_PROVED)


@pytest.fixture(scope="session")
def root():
    """The folder of the newer Debian; built first if there is none, which takes a minute. Without it the tests are skipped."""
    try:
        return find_root()
    except Unavailable as e:
        pytest.skip(str(e))


@pytest.fixture(scope="session")
def bed(root):
    bed = Bed(root)
    yield bed
    bed.close()


@pytest.fixture(scope="session")
def td_node(bed, root):
    """A daemon of this Debian; it knows only the libvirt URI of the bed."""
    node = new_node(bed)
    try:
        node.start()
        bring_images(node, root)
        yield node
    finally:
        node.close()


@pytest.fixture
def node(td_node):
    """The daemon in TDX mode: without CVMs before and after the test, with all accounts balanced."""
    if td_node.process.poll() is not None:
        td_node.start()
    yield td_node
    td_node.delete_all()
    assert_consistent(td_node)


@pytest.fixture
def spawn():
    """Starts further nodes; they end with the test."""
    made = []

    def make(**how):
        made.append(Node(**how))
        return made[-1].start()
    yield make
    for each in made:
        each.close()


@pytest.fixture
def show():
    """Keeps a command line to be printed at the end of all tests."""
    def keep(given):
        SHOWN.parent.mkdir(parents=True, exist_ok=True)
        SHOWN.write_text(given.text() + "\n")
    return keep
