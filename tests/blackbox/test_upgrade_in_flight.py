# SPDX-License-Identifier: Apache-2.0
"""The program of the daemon is replaced while operations run: the new one finishes them."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from node import BOOT, DEMO, IMAGES, PROGRAM, assert_consistent

NEXT = PROGRAM + "-next"    # a made-up later release: see TEEPOD_NEXT_TABLES in vmm/cvm/steps.c
DATA = Path(__file__).resolve().parents[1] / "data"
TCP = {"protocol": "tcp", "host_port": 0, "vm_port": 80}

needs_next = pytest.mark.skipif(not os.access(NEXT, os.X_OK), reason=f"{NEXT} is not there: tests/run.sh builds it")


@pytest.fixture
def node(spawn):
    return spawn(start=False)


def operations(node):
    """name of the CVM -> (kind, state, name of the step) of its newest operation."""
    return {name: (kind, state, step) for name, kind, state, step in
            node.rows("select cvm_name, kind, state, step from operations order by id")}


def test_a_database_of_the_release_before_is_finished(node):
    """Schema 5 stored the index of a step. The guests ended with the host; the CVMs that are to run are started."""
    for image in BOOT, DEMO:
        shutil.copytree(IMAGES / image, node.dir / "images" / image)
    with sqlite3.connect(node.database()) as db:
        db.executescript((DATA / "teepod-v5-in-flight.sql").read_text())
        for image in BOOT, DEMO:    # the file has the hashes of the images of its time
            db.execute("update images set os_image_hash = ? where name = ?", ((IMAGES / image / "digest.txt").read_text().strip(), image))
        started = [uuid for uuid, in db.execute("select uuid from cvms where boot > 0 and name <> 'created'")]
    for uuid in started:
        (node.dir / "cvms" / uuid).mkdir(parents=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", node.dir / "cvms" / uuid / "hda.img", "1G"], check=True)
    node.start()
    node.settled()
    assert operations(node) == {"shut-down": ("shutdown", "succeeded", "stop"), "resized": ("resize", "succeeded", "boot"),
                                "restarted": ("restart", "succeeded", "boot"), "created": ("create", "succeeded", "boot")}
    assert {row["name"]: row["status"] for row in node.get("/cvms/paginated?page_size=10", version=26).ok().json["items"]} == {
        "shut-down": "stopped", "resized": "running", "restarted": "running", "created": "running"}
    assert node.rows("select vcpus, disk_gib from cvms where name = 'resized'") == [(2, 2)]
    steps = {op["cvm"]["name"]: [step["state"] for step in op["steps"]] for op in node.get("/operations?page_size=100").ok().json["items"]}
    assert set(steps["created"]) == {"done"}, steps
    assert_consistent(node)


@needs_next
@pytest.mark.parametrize("point, kind", [("files.before", "create"), ("files.after", "create"), ("disk.after", "create"),
                                         ("define.before", "create"), ("start.after", "create"), ("files.before", "start"),
                                         ("disk.before", "restart")])
def test_the_next_release_finishes_what_this_one_began(node, point, kind):
    """In the next release the step "files" has another name, and a step is inserted before "define"."""
    if kind == "create":
        node.start(TEEPOD_FAILPOINT=f"create.{point}")
        try:
            node.try_create(name="victim", ports=[TCP])
        except OSError:
            pass
    else:
        node.start(TEEPOD_FAILPOINT=f"{kind}.{point}")
        cvm = node.create(name="victim", stopped=kind == "start", ports=[TCP])
        try:
            cvm.request(kind, **({"force": True} if kind == "restart" else {}))
        except OSError:
            pass
    node.died()
    node.program = NEXT
    node.start()
    node.settled()
    assert operations(node)["victim"] == (kind, "succeeded", "boot")
    cvm = node.cvm(node.uuids().pop())
    cvm.becomes("running")
    assert [step["name"] for step in cvm.operations()[0]["steps"]][-6:] == ["disk", "probe", "define", "start", "forwards", "boot"]
    assert_consistent(node)
    cvm.delete()
    assert_consistent(node)


@needs_next
def test_a_step_that_this_release_does_not_have_fails_the_operation_and_says_so(node):
    """After a downgrade the operation fails with a reason, nothing leaks, and the CVM can be deleted."""
    node.program = NEXT
    node.start(TEEPOD_FAILPOINT="create.probe.before")
    try:
        node.try_create(name="victim", ports=[TCP])
    except OSError:
        pass
    node.died()
    node.program = PROGRAM
    node.start()
    node.settled()
    cvm = node.cvm(node.uuids().pop())
    op = cvm.operations()[0]
    assert op["state"] == "failed", op
    assert 'is at step "probe" of "create" version 3, which this teepod does not have' in str(op["error"]), op
    cvm.delete()
    assert_consistent(node)
