# SPDX-License-Identifier: Apache-2.0
"""td.py - how a TD must look in libvirt's live XML and in QEMU's command line."""

import base64
import json
import xml.etree.ElementTree as tree

from node import command_line
from td_images import QGS

SEPT_VE_DISABLE = 1 << 28


class Argv:
    """A QEMU command line, by option."""

    def __init__(self, words):
        self.words = words[1:]

    def all(self, option):
        return [value for name, value in zip(self.words, self.words[1:]) if name == option]

    def one(self, option):
        value, = self.all(option)
        return value

    def parts(self, option):
        return self.one(option).split(",")

    def objects(self, kind):
        found = [json.loads(text) for text in self.all("-object") if text.startswith("{")]
        return [each for each in found if each["qom-type"] == kind]

    def text(self):
        """One option for each line."""
        lines = []
        for word in self.words:
            quoted = f"'{word}'" if any(c in word for c in ' {"') else word
            if word.startswith("-") or not lines:
                lines.append(quoted)
            else:
                lines[-1] += " " + quoted
        return "\n".join("  " + line for line in lines)


def mr_config_id(cvm):
    """Version 1: 0x01, the compose hash, zeros."""
    return (b"\x01" + bytes.fromhex(cvm.get()["compose_hash"])).ljust(48, b"\0")


def image_firmware(cvm):
    return str(cvm.node.dir / "images" / cvm.get()["os"]["name"] / "ovmf.fd")


def assert_is_td(bed, cvm, vcpus=1, memory=64, firmware=None):
    """Check that @cvm runs as a TD of this size according to libvirt and QEMU's command line, and return that command line."""
    assert cvm.get()["mode"] == "tdx"
    firmware = firmware or image_firmware(cvm)
    assert_live_xml(bed, cvm, firmware)
    pid, = cvm.pids()
    given = Argv(bed.argv(pid))
    assert_td_argv(given, cvm, firmware)
    assert given.one("-m") == f"size={memory * 1024}k"
    assert given.parts("-smp")[0] == str(vcpus)
    assert_simulated(Argv(command_line(pid)))
    return given


def assert_live_xml(bed, cvm, firmware):
    live = tree.fromstring(bed.live_xml(cvm.uuid))
    assert live.get("type") == "kvm" and live.get("id"), "the XML of a running domain"
    security, = live.findall("launchSecurity")
    assert security.get("type") == "tdx"
    assert int(security.findtext("policy"), 16) == SEPT_VE_DISABLE
    assert base64.b64decode(security.findtext("mrConfigId")) == mr_config_id(cvm)
    assert security.find("quoteGenerationService").get("path") == QGS
    loader = live.find("os/loader")
    assert loader.get("type") == "rom" and loader.text == firmware


def assert_td_argv(given, cvm, firmware):
    guest, = given.objects("tdx-guest")
    assert base64.b64decode(guest["mrconfigid"]) == mr_config_id(cvm)
    assert guest["quote-generation-socket"] == {"type": "unix", "path": QGS}
    assert guest["attributes"] == SEPT_VE_DISABLE
    machine = given.parts("-machine")
    assert machine[0].startswith("pc-q35-")
    for part in ("kernel_irqchip=split", "smm=off", f"confidential-guest-support={guest['id']}"):
        assert part in machine, f"{part} in {machine}"
    assert given.parts("-accel")[0] == "kvm"
    processor = given.parts("-cpu")
    assert processor[0] == "host" and "pmu=off" in processor
    assert given.one("-bios") == firmware
    assert not [drive for drive in given.all("-drive") + given.all("-blockdev") if "pflash" in drive]


def assert_simulated(run):
    """Check that the process is a guest under emulation, so that the tests claim no more than they saw."""
    assert run.parts("-accel")[0] == "tcg"
    assert not run.objects("tdx-guest") and "confidential-guest-support" not in run.one("-machine")
