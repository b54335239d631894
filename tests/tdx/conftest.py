# SPDX-License-Identifier: Apache-2.0
"""conftest.py - a test bed and a node in TDX mode for each worker; in the end, what was seen and what it does not prove."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "blackbox"))

from bed import Bed, Unavailable  # noqa: E402
from node import BOOT, DEMO, PROGRAM, Node, assert_books  # noqa: E402
from td import QGS, make_image  # noqa: E402

TD_BOOT, TD_DEMO, TD_REBOOTS = "tdboot-1.0.0", "tddemo-1.0.0", "tdreboots-1.0.0"
SHOWN = HERE.parents[1] / "build" / "test-logs" / "tdx-argv.txt"
NOT_PROVED = """\
What this does NOT prove: there was no TDX module, no encrypted memory, no measurement, no quote and no attestation. The
"TDs" were ordinary guests under emulation, without their TDX firmware. What was real: libvirt's checks of the domain and
the command line it made of it, teepod, and the life of the guests' processes."""


def pytest_sessionstart(session):
    if not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} is not there: run this by tests/run.sh tdx")
    if not hasattr(session.config, "workerinput"):
        SHOWN.unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter):
    if SHOWN.exists():
        terminalreporter.write_sep("=", "one TD, as libvirt gave it to QEMU")
        terminalreporter.write_line(SHOWN.read_text())
    terminalreporter.write_line(NOT_PROVED)


@pytest.fixture(scope="session")
def root():
    found = subprocess.run([HERE / "root.sh", "path"], stdout=subprocess.PIPE, text=True)
    if found.returncode == 77:
        pytest.skip("no root for the test bed, see above")
    assert found.returncode == 0, "no root for the test bed, see above"
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def bed(root):
    bed = Bed(root)
    yield bed
    bed.close()


@pytest.fixture(scope="session")
def td_node(bed, root):
    """A daemon of this Debian that knows nothing of the bed but the libvirt URI."""
    firmware = root / "usr/share/ovmf/OVMF.inteltdx.ms.fd"
    node = Node(hypervisor=bed.uri, options={"hypervisor.tee": "tdx", "hypervisor.qgs_socket": QGS})
    try:
        node.start()
        folder = node.dir / "brought"
        folder.mkdir()
        for name, base, more in ((TD_BOOT, BOOT, None), (TD_DEMO, DEMO, None), (TD_REBOOTS, DEMO, initramfs(folder, "reboots"))):
            source = make_image(folder / name, base, firmware, more)
            node.post("/images", json={"source": str(source)}, timeout=60).ok()
        shutil.rmtree(folder)
        yield node
    finally:
        node.close()


def initramfs(folder, name):
    """An initramfs to be unpacked over another, with guests/@name as its /init."""
    script = (HERE / "guests" / name).read_bytes()
    (folder / "init").write_bytes(script)
    (folder / "init").chmod(0o755)
    packed = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=folder, input=b"init\n",
                            stdout=subprocess.PIPE, check=True)
    return gzip.compress(packed.stdout)


@pytest.fixture
def node(td_node):
    """The daemon in TDX mode, without CVMs before, and without them and balanced after."""
    if td_node.process.poll() is not None:
        td_node.start()
    yield td_node
    td_node.delete_all()
    assert_books(td_node)


@pytest.fixture
def spawn():
    """Makes nodes of one's own."""
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
