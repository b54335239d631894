# SPDX-License-Identifier: Apache-2.0
"""--check-host and the checks of GET /node, on this host and on hosts made of files."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from node import PROGRAM, ROOT, until

REQUIRED = ["cpu", "kvm", "kvm_intel.tdx", "tdx_module", "tdx_keyids", "sgx", "qgs", "vhost_vsock", "libvirt", "qemu",
            "domain_capabilities"]
OTHERS = ["tdx_firmware", "kernel", "numa", "hugepages", "iommu", "vfio", "memlock", "device_id"]
QGS = "/var/run/tdx-qgs/qgs.socket"
PPID, DEVICE_ID = "00112233445566778899aabbccddeeff", "a8faed6abbf35c12a4b26e40f6feb19d736d90045c83b9f9a31f638d323e6811"
ROW = re.compile(r"^([a-z_.]+) +(ok|warn|unknown|missing) +(\S.*)$")


@contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="tp", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def good_host():
    """A TDX host with two sockets whose quote service listens."""
    with folder() as root, closing(socket.socket(socket.AF_UNIX)) as qgs:
        def put(path, text):
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        put("/proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: INTEL(R) XEON(R) PLATINUM 8592+\nflags\t\t: fpu vmx\n")
        put("/proc/sys/kernel/osrelease", "6.16.3\n")
        put("/proc/self/limits", "Max locked memory         unlimited            unlimited            bytes\n")
        put("/sys/module/kvm_intel/parameters/tdx", "Y\n")
        put("/sys/devices/faux/tdx_host/version", "1.5.16\n")
        put("/sys/fs/cgroup/misc.capacity", "tdx 63\n")
        put("/sys/kernel/iommu_groups/0/type", "DMA\n")
        put("/usr/share/ovmf/OVMF.inteltdx.ms.fd", "x")
        for name in ("kvm", "sgx_enclave", "sgx_provision", "vhost-vsock", "vfio/vfio"):
            put(f"/dev/{name}", "")
        for n in range(2):
            at = f"/sys/devices/system/node/node{n}"
            put(f"{at}/cpulist", f"{n * 64}-{n * 64 + 63}\n")
            put(f"{at}/meminfo", f"Node {n} MemTotal:       536870912 kB\n")
            put(f"{at}/hugepages/hugepages-1048576kB/nr_hugepages", "100\n")
            put(f"{at}/hugepages/hugepages-1048576kB/free_hugepages", "40\n")
        (root / QGS.lstrip("/")).parent.mkdir(parents=True)
        qgs.bind(f"{root}{QGS}")
        qgs.listen()
        yield root


def check_host(*args, temporary="/tmp", **how):
    return subprocess.run([PROGRAM, "--check-host", *map(str, args)], capture_output=True, text=True, timeout=90,
                          env={**os.environ, "TMPDIR": str(temporary)}, **how)


def rows_of(done):
    """Returns name -> (state, value, advice), and the last sentence. Wrapped lines of the table are joined."""
    rows, name = {}, None
    body, _, summary = done.stdout.rpartition("\n\n")
    for line in body.splitlines():
        row = ROW.match(line)
        if row:
            name = row[1]
            rows[name] = [row[2], row[3], ""]
        elif line.startswith("    -> "):
            rows[name][2] = line[7:]
        elif line.startswith(" "):
            rows[name][2 if rows[name][2] else 1] += " " + line.strip()
    return rows, " ".join(summary.split())


def test_this_host_is_shown_in_a_table_and_nothing_is_left_behind():
    with folder() as temporary:
        dev = temporary / "dev"
        done = check_host("--dev", dev, temporary=temporary)
        assert list(temporary.iterdir()) == []
    assert done.stderr == ""
    rows, summary = rows_of(done)
    assert list(rows) == REQUIRED + OTHERS
    assert max(map(len, done.stdout.splitlines())) <= 80
    missing = [name for name in REQUIRED if rows[name][0] == "missing"]
    assert done.returncode == (1 if missing else 0)
    assert summary.startswith("This host cannot run TDX guests: " if missing else "This host can run TDX guests")
    if missing:
        assert f"{len(missing)} of {len(REQUIRED)} required parts" in summary and ", ".join(missing) in summary
    for name, (state, value, advice) in rows.items():
        assert advice or state in ("ok", "unknown") or "not an Intel CPU" in value, (name, state, value)


def test_the_manual_explains_every_row():
    text = (ROOT / "docs" / "tdx-host.md").read_text()
    assert [name for name in REQUIRED + OTHERS if f"\n| `{name}` |" not in text] == []


def test_a_good_host_lacks_only_what_it_does_not_have(good_host):
    def check():
        return rows_of(check_host("--dev", good_host / "dev", "-o", f"host.root={good_host}", "-o", f"host.ppid={PPID}"))
    rows, _ = check()
    # libvirt and QEMU are real; the rest of the host is made of files.
    for name in set(REQUIRED + OTHERS) - {"libvirt", "qemu", "domain_capabilities"}:
        assert rows[name][0] == "ok", (name, rows[name])
    assert rows["tdx_module"][1] == "version 1.5.16" and rows["tdx_keyids"][1].startswith("63 TDX guests")
    assert rows["tdx_keyids"][2] == "lower capacity.slots from 64 to 63: each running CVM takes one"
    assert rows["hugepages"][1] == "node 0: 40 of 100 x 1 GiB free; node 1: 40 of 100 x 1 GiB free"
    assert rows["device_id"][1].replace(" ", "") == DEVICE_ID
    (good_host / "dev/vhost-vsock").unlink()
    (good_host / "sys/module/kvm_intel/parameters/tdx").write_text("N\n")
    rows, summary = check()
    assert rows["vhost_vsock"][0] == "missing" and "modprobe vhost_vsock" in rows["vhost_vsock"][2]
    assert rows["kvm_intel.tdx"][0] == "missing" and "kvm_intel.tdx=1 nohibernate" in rows["kvm_intel.tdx"][2]
    assert "kvm_intel.tdx, vhost_vsock" in summary


def test_without_libvirtd_the_other_rows_are_still_shown():
    done = check_host("-o", "hypervisor.uri=qemu+unix:///system?socket=/nonexistent/sock")
    rows, summary = rows_of(done)
    assert done.returncode == 1 and list(rows) == REQUIRED + OTHERS
    assert rows["libvirt"][0] == "missing" and "/nonexistent/sock" in rows["libvirt"][1] and "libvirtd" in rows["libvirt"][2]
    assert rows["qemu"][0] == rows["domain_capabilities"][0] == "unknown"
    assert "could not be checked" in summary


def test_a_running_daemon_is_not_in_the_way_nor_disturbed(spawn):
    node = spawn(hypervisor="qemu:///embed")
    cvm = node.create()
    cvm.becomes("running")
    before = cvm.pids()
    rows, _ = rows_of(check_host("--dev", node.dir))
    assert rows["libvirt"][1].startswith("version ") and rows["qemu"][1].startswith("version ")
    assert before and cvm.pids() == before and cvm.status == "running"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_table_and_without_leftovers(signum):
    with folder() as temporary:
        child = subprocess.Popen([PROGRAM, "--check-host", "--dev", temporary / "dev"], stdout=subprocess.PIPE,
                                 env={**os.environ, "TMPDIR": str(temporary)})
        until("libvirt looks at QEMU", lambda: list(temporary.glob("teepod-check-*/etc")))
        child.send_signal(signum)
        assert child.communicate(timeout=60)[0] == b"" and child.returncode == 128 + signum
        assert list(temporary.iterdir()) == []
        assert subprocess.run(["pgrep", "-f", str(temporary)], capture_output=True, check=False).returncode == 1


def test_mistakes_and_lost_output_are_failures(tmp_path):
    done = check_host("--config", tmp_path / "none.conf")
    assert done.returncode == 1 and "none.conf" in done.stderr and done.stdout == ""
    assert check_host("--check-db").returncode == 2
    with open("/dev/full", "w") as full:
        assert subprocess.run([PROGRAM, "--check-host", "--dev", tmp_path / "d"], stdout=full, timeout=90, check=False).returncode == 1


def checks(node):
    return {row["name"]: row for row in node.get("/node").ok()["checks"]}


def test_the_node_shows_the_same_rows_and_checks_again_on_sighup(spawn, good_host):
    node = spawn(options={"host.root": good_host, "host.ppid": PPID})
    body = until("the machine was looked at", lambda: (b := node.get("/node").ok().json)["checks"] and b)
    assert body["device_id"] == DEVICE_ID and body["checked_at"]
    assert body["tee"] == {"setting": "none", "effective": "none"}
    assert [row["name"] for row in body["checks"]] == REQUIRED + OTHERS
    assert [row["name"] for row in body["checks"] if row["required"]] == REQUIRED
    rows = until("libvirt was asked", lambda: (r := checks(node))["libvirt"]["value"].startswith("version") and r)
    assert rows["vhost_vsock"] == {"name": "vhost_vsock", "state": "ok", "required": True, "value": "/dev/vhost-vsock",
                                   "advice": None}
    (good_host / "dev/vhost-vsock").unlink()
    (good_host / QGS.lstrip("/")).unlink()
    assert checks(node)["vhost_vsock"]["state"] == "ok"
    node.process.send_signal(signal.SIGHUP)
    until("the loss is seen", lambda: checks(node)["vhost_vsock"]["state"] == "missing")
    rows = checks(node)
    assert "modprobe vhost_vsock" in rows["vhost_vsock"]["advice"]
    assert rows["qgs"]["state"] == "missing" and rows["qgs"]["value"] == f"no {QGS}"


def test_a_host_without_tdx_that_must_have_it_has_no_effective_tee(spawn, good_host):
    (good_host / "sys/module/kvm_intel/parameters/tdx").write_text("N\n")
    node = spawn(options={"host.root": good_host, "hypervisor.tee": "tdx"})
    until("libvirt was asked", lambda: checks(node).get("libvirt", {"value": ""})["value"].startswith("version"))
    body = node.get("/node").ok().json
    if body["tdx"]["available"]:
        pytest.skip("this host has TDX")
    assert body["tee"] == {"setting": "tdx", "effective": None} and body["device_id"] is None
    node.options["hypervisor.tee"] = "auto"
    node.restart()
    assert node.get("/node").ok()["tee"] == {"setting": "auto", "effective": "none"}
