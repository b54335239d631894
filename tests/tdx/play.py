#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""play.py - a node in TDX mode in the test bed, to look at until Ctrl-C. TEEPOD_BIN names the daemon (build/test/teepod)."""

import signal

from bed import Bed, find_root
from td_images import TD_BOOT, TD_DEMO, bring_images, new_node


def main():
    bed = Bed(find_root())
    node = new_node(bed)
    try:
        node.start()
        bring_images(node, bed.root)
        print(f"""URL={node.url} KEY={node.key}
images {TD_BOOT} and {TD_DEMO}
virsh -c '{bed.uri}' list --all
what libvirt gave QEMU: tr '\\0' '\\n' <{bed.inside("run/teepod-tdx/argv")}/PID
Ctrl-C ends it all.""", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        node.close()
        bed.close()


signal.signal(signal.SIGTERM, signal.default_int_handler)
main()
