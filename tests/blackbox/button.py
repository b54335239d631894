# SPDX-License-Identifier: Apache-2.0
"""button.py - the boot sector that powers off when its power button is pressed, as an OS image.

A graceful shutdown needs a guest that answers. The demo image does, and takes seconds of CPU to boot; this one takes a tenth of
a second. It is built from images/demo/boot.S.
"""

import hashlib
import subprocess

from node import ROOT

BUTTON = "teepod-button-1.0.0"
SOURCE = ROOT / "images" / "demo"


def seal(folder):
    """Write the checksums of an image: sha256sum.txt over every file, digest.txt over that."""
    for name in ("sha256sum.txt", "digest.txt"):
        (folder / name).unlink(missing_ok=True)
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in sorted(folder.iterdir())]
    (folder / "sha256sum.txt").write_text("".join(lines))
    (folder / "digest.txt").write_text(hashlib.sha256("".join(lines).encode()).hexdigest() + "\n")


def build(parent):
    """Build the image in @parent; its folder."""
    folder = parent / BUTTON
    folder.mkdir()
    subprocess.run(["gcc", "-c", "-DPOWER_BUTTON", "-o", parent / "boot.o", SOURCE / "boot.S"], check=True)
    subprocess.run(["ld", "-m", "elf_x86_64", "--oformat", "binary", "-Ttext", "0x7c00", "-o", folder / "boot.img",
                    parent / "boot.o"], check=True)
    with open(folder / "boot.img", "r+b") as disk:      # SeaBIOS wants a disk, not a sector
        disk.truncate(1 << 20)
    (folder / "metadata.json").write_bytes((SOURCE / "boot.json").read_bytes())
    seal(folder)
    return folder
