# SPDX-License-Identifier: Apache-2.0
"""qemu_capabilities.py - what libvirt has found out about QEMU, shared by all nodes and libvirtds of the tests.

libvirt probes each QEMU binary once, which takes two seconds, and caches what it found in a file. Nodes of tests have fresh
folders, so the file is copied into them. libvirt compares it with the binaries and probes again if it is outdated.
"""

import contextlib
import os
import tempfile
from pathlib import Path

SHARED = Path(tempfile.gettempdir()) / f"teepod-test-capabilities-{os.getuid()}"


def lend(cache):
    """Copy the shared files to @cache, unless it is there already."""
    if SHARED.is_dir() and not cache.exists():
        cache.mkdir(parents=True)
        for path in SHARED.glob("*.xml"):
            (cache / path.name).write_text(path.read_text())


def keep(cache):
    """Share the files of @cache that are new: libvirt has probed."""
    for path in cache.glob("*.xml"):
        text, shared = path.read_text(), SHARED / path.name
        if shared.exists() and shared.read_text() == text:
            continue
        SHARED.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=SHARED, suffix=".new")      # another worker may read the old one meanwhile
        with contextlib.closing(os.fdopen(handle, "w")) as out:
            out.write(text)
        os.replace(name, shared)
