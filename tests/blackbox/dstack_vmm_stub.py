#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dstack_vmm_stub.py - the calls of a dstack-vmm that the benchmark uses, with the options it gives to QEMU.

    dstack_vmm_stub.py -c vmm.toml

It shows that tests/bench can be compared with a peer. It is not a peer: its times mean nothing.
"""

import json
import subprocess
import sys
import tomllib
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

config = tomllib.loads(Path(sys.argv[sys.argv.index("-c") + 1]).read_text())
vms, qemus = {}, {}


def qemu(folder, vm):
    image = Path(config["image"]["path"]) / vm["image"]
    files = json.loads((image / "metadata.json").read_text())
    return [config["cvm"]["qemu_path"], "-accel", "kvm", "-cpu", "host", "-nographic", "-nodefaults",
            "-chardev", f"pty,id=com0,path={folder}/serial.pty,logfile={folder}/serial.log,logappend=on", "-serial", "chardev:com0",
            "-kernel", f"{image}/{files['kernel']}", "-initrd", f"{image}/{files['initrd']}",
            "-drive", f"file={image}/{files['rootfs']},if=none,id=hd0,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=hd0",
            "-drive", f"file={folder}/hda.img,if=none,id=hd1", "-device", "virtio-blk-pci,drive=hd1",
            "-device", "vhost-vsock-pci,guest-cid=1000", "-machine", "q35,kernel-irqchip=split,hpet=off",
            "-smp", str(vm["vcpu"]), "-m", f"{vm['memory']}M", "-append", files["cmdline"]]


def create(vm):
    assert json.loads(vm["compose_file"])["runner"] == "docker-compose" and vm["no_tee"]
    name = str(uuid.uuid4())
    folder = Path(config["run_path"]) / name
    folder.mkdir()
    vms[name] = vm
    if not vm.get("stopped"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "hda.img", f"{vm['disk_size']}G"], check=True)
        with open(folder / "stderr.log", "ab") as log:
            qemus[name] = subprocess.Popen(qemu(folder, vm), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return {"id": name}


def stop(request):
    if request["id"] in qemus:
        qemus[request["id"]].kill()


def remove(request):
    stop(request)
    del vms[request["id"]]


def status(request):
    if "page_size" in request:
        first = (int(request["page"]) - 1) * int(request["page_size"])
        chosen = list(vms)[first:first + int(request["page_size"])]
    else:
        chosen = request.get("ids") or list(vms)
    running = {name for name in chosen if name in qemus and qemus[name].poll() is None}
    return {"vms": [{"id": name, "name": vms[name]["name"], "status": "running" if name in running else "stopped"} for name in chosen],
            "port_mapping_enabled": False, "total": len(vms)}


METHODS = {"CreateVm": create, "StopVm": stop, "RemoveVm": remove, "Status": status, "Version": lambda _: {"version": "0.6.0"}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        self.answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    def answer(self, request):
        body = json.dumps(METHODS[urlsplit(self.path).path.rsplit("/", 1)[1]](request), separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server((config["address"], config["port"]), Handler).serve_forever()
