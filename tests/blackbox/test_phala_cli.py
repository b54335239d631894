# SPDX-License-Identifier: Apache-2.0
"""The cloud's command line client, unmodified, against this node."""

import json
import os
import shutil
import subprocess

import pytest

from button import BUTTON
from node import BOOT, ROOT, until

NPM = ROOT / "build" / "npm"
PACKAGE = {"private": True, "dependencies": {"phala": "1.1.18"}, "overrides": {"viem": "2.45.0"}}


@pytest.fixture(scope="session")
def phala(tmp_path_factory):
    """Path of the client, installed once per checkout."""
    import fcntl

    program = NPM / "node_modules" / ".bin" / "phala"
    NPM.mkdir(parents=True, exist_ok=True)
    with open(NPM / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            if not shutil.which("npm"):
                pytest.skip("npm is not installed")
            (NPM / "package.json").write_text(json.dumps(PACKAGE))
            done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NPM, capture_output=True,
                                  text=True, timeout=600, env={**os.environ, "HOME": str(tmp_path_factory.mktemp("npm"))})
            if done.returncode:
                pytest.skip(f"the client can not be installed here: {done.stderr[-300:]}")
    return program


def client(phala, node, tmp_path):
    home = tmp_path / "home"
    home.mkdir()

    def run(*args, ok=True):
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "CI": "1", "PHALA_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1",
               "PHALA_CLOUD_API_PREFIX": node.url + "/api/v1", "PHALA_CLOUD_API_KEY": node.key,
               "PHALA_CLOUD_DIR": str(home / "cloud")}
        # The client loads 2,000 files and ends within a second: optimising its code costs more than it gains.
        done = subprocess.run(["node", "--no-opt", str(phala), *args], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90,
                              stdin=subprocess.DEVNULL)
        if ok is not None:
            assert (done.returncode == 0) is ok, f"phala {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
    (tmp_path / "compose.yml").write_text("services:\n  web:\n    image: nginx:1.27\n    ports:\n      - 80:80\n")
    return run


@pytest.fixture
def cli(phala, button_node, tmp_path):
    """cli("cvms", "list", ...) -> finished process."""
    return client(phala, button_node, tmp_path)


SIZE = ("--vcpu", "1", "--memory", "1GB", "--disk-size", "1GB")
SMALL = ("--image", BOOT, *SIZE)


def deploy(cli, node, name):
    """A guest that powers off when its power button is pressed: the client's restart is a graceful one."""
    cli("deploy", "-c", "compose.yml", "-n", name, "--image", BUTTON, *SIZE)
    uuid, = node.rows("select uuid from cvms where name = ?", name)[0]
    cvm = node.cvm(uuid)
    node.settled(uuid, 60)
    cvm.becomes("running")
    return cvm


def test_a_cvm_s_whole_life_by_the_client(cli, node):
    cvm = deploy(cli, node, "from-the-cli")

    listed = cli("cvms", "list").stdout
    assert "from-the-cli" in listed and "running" in listed
    got = json.loads(cli("cvms", "get", cvm.uuid, "--json").stdout)
    assert cvm.app_id in json.dumps(got) and "running" in json.dumps(got)
    cli("cvms", "get", "from-the-cli")
    cli("cvms", "get", "app_" + cvm.app_id)

    cli("cvms", "stop", cvm.uuid)
    cvm.becomes("stopped")
    node.settled(cvm.uuid)
    cli("cvms", "start", cvm.uuid)
    node.settled(cvm.uuid, 60)
    cvm.becomes("running")
    before = cvm.pids()
    cli("cvms", "restart", cvm.uuid)
    node.settled(cvm.uuid, 90)
    cvm.becomes("running", 90)
    assert cvm.pids() != before

    assert "boot.progress: done" in cli("logs", "--serial", "--cvm-id", cvm.uuid).stdout

    cli("cvms", "delete", cvm.uuid, "-y")
    until("it is gone", lambda: not node.uuids())


def test_nodes_images_types_and_account(cli, node):
    def output(*args):
        done = cli(*args)
        return done.stdout + done.stderr
    assert "local" in output("whoami")
    assert "alpha" in output("nodes", "list")
    assert "alpha" in output("cvms", "list-nodes")
    assert BOOT in output("os-images")
    assert "tdx.small" in output("instance-types", "cpu")
    cli("instance-types")
    cli("status")


def test_a_refusal_is_printed_with_its_code_details_and_suggestions(cli, node):
    done = cli("deploy", "-c", "compose.yml", "-n", "far-too-large", "--image", BOOT, "--vcpu", "9999", ok=False)
    output = done.stdout + done.stderr
    assert "Error [ERR-02-003]" in output, output
    assert "9999" in output and "64" in output, output
    assert node.uuids() == set()


def test_a_name_in_use_is_printed_with_its_code(cli, node):
    node.create(name="already-there", stopped=True)
    done = cli("deploy", "-c", "compose.yml", "-n", "already-there", *SMALL, ok=False)
    assert "ERR-01-004" in done.stdout + done.stderr


def test_unknown_cvms_and_wrong_keys_are_reported(cli, node):
    done = cli("cvms", "get", "no-such-cvm", ok=False)
    assert "not found" in (done.stdout + done.stderr).lower() or "no-such-cvm" in done.stdout + done.stderr
    done = cli("--api-token", "wrong", "cvms", "list", ok=False)
    assert (done.stdout + done.stderr).strip()


def test_deploy_to_a_named_node_and_with_environment(cli, node, tmp_path):
    cli("deploy", "-c", "compose.yml", "-n", "on-alpha", "--node-id", "1", *SMALL)
    node.settled()
    done = cli("deploy", "-c", "compose.yml", "-n", "on-nothing", "--node-id", "77", *SMALL, ok=False)
    assert "ERR-01-001" in done.stdout + done.stderr


def test_the_raw_api_command_reaches_our_own_routes(cli, node):
    body = json.loads(cli("api", "/node").stdout)
    assert body["capacity"]


# ------------------------------------------------------------------ replicas


def printed(done):
    return done.stdout + done.stderr


def test_replicate_by_uuid_and_list_the_instances(cli, node):
    first = deploy(cli, node, "to-replicate")
    made = json.loads(cli("cvms", "replicate", first.uuid, "--node-id", "alpha", "--json").stdout)
    assert made.get("vm_uuid", made.get("data", {}).get("vm_uuid")) != first.uuid
    node.settled(seconds=60)
    uuids = {row[0] for row in node.rows("select uuid from cvms where app_id = ?", first.app_id)}
    assert len(uuids) == 2 and first.uuid in uuids
    for uuid in uuids:
        node.cvm(uuid).becomes("running")
    shown = printed(cli("instances", "ls", "--app-id", first.app_id))
    assert all(uuid in shown for uuid in uuids), shown
    assert "running" in shown
    cli("instances", "add", "--app-id", first.app_id, "--node-id", "1")
    assert len(node.uuids()) == 3


def test_replicate_an_app_in_two_revisions_needs_the_hash(cli, node):
    first = node.create(name="first-revision", stopped=True)
    node.post(f"/apps/{first.app_id}/instances", json={"pre_launch_script": "true", "stopped": True}).ok()
    hashes = {h for h, in node.rows("select distinct r.compose_hash from cvms c join revisions r on r.id = c.revision")}
    assert len(hashes) == 2
    for source in ("app_" + first.app_id, first.uuid):
        output = printed(cli("cvms", "replicate", source, ok=False))
        assert "Error [ERR-03-009]" in output and all(h in output for h in hashes), output
    for wanted, given in zip(sorted(hashes), ("", "0x")):
        cli("cvms", "replicate", "app_" + first.app_id, "--compose-hash", given + wanted)
        newest, = node.rows("select r.compose_hash from cvms c join revisions r on r.id = c.revision order by c.id desc limit 1")[0]
        assert newest == wanted
    node.settled()


def test_a_replica_without_its_image_or_room_is_refused_in_words(phala, spawn, tmp_path):
    node = spawn(options={"capacity.slots": 1})
    first = node.create(name="only-one", stopped=True)
    run = client(phala, node, tmp_path)
    assert "Error [ERR-02-005]" in printed(run("cvms", "replicate", first.uuid, ok=False))
    (node.dir / "images" / BOOT).rename(tmp_path / "image")
    output = printed(run("cvms", "replicate", first.uuid, ok=False))
    assert "Error [ERR-03-006]" in output and BOOT in output, output
    (tmp_path / "image").rename(node.dir / "images" / BOOT)


# ------------------------------------------------------------------ changes


OTHER = "services:\n  web:\n    image: nginx:1.28\n"
ENV = "00" * 90


def manifest_of(node, cvm):
    return node.get(f"/cvms/{cvm.uuid}/compose_file").ok().json


def test_resize_a_running_cvm(cli, node):
    cvm = deploy(cli, node, "to-resize")
    before = cvm.pids()
    cli("cvms", "resize", cvm.uuid, "--vcpu", "2", "--memory", "2048", "--disk-size", "2", "--allow-restart", "true", "--yes")
    node.settled(cvm.uuid, 90)
    cvm.becomes("running", 90)
    assert cvm.get()["resource"] | {"vcpu": 2, "memory_in_gb": 2, "disk_in_gb": 2} == cvm.get()["resource"]
    assert cvm.pids() != before
    output = printed(cli("cvms", "resize", cvm.uuid, "--vcpu", "1", "--memory", "2048", "--disk-size", "2", "--allow-restart", "false",
                       "--yes", ok=False))
    assert "does not allow" in output, "told at once, not tried for five minutes"


def test_deploy_to_a_cvm_that_is_there_and_wait(cli, node, tmp_path):
    cvm = deploy(cli, node, "to-update")
    before = cvm.pids()
    (tmp_path / "two.yml").write_text(OTHER)
    cli("deploy", "--cvm-id", cvm.uuid, "-c", "two.yml", "--wait")
    assert cvm.status == "running" and cvm.pids() != before
    assert manifest_of(node, cvm)["docker_compose_file"] == OTHER
    node.settled(cvm.uuid)


def test_envs_update_and_upgrade(cli, node, tmp_path):
    cvm = node.create(name="to-upgrade", stopped=True)
    cli("envs", "update", cvm.uuid, "--encrypted-env", ENV)
    node.settled(cvm.uuid)
    assert node.rows("select hex(encrypted_env) from cvms where uuid = ?", cvm.uuid) == [(ENV,)]
    (tmp_path / "two.yml").write_text(OTHER)
    cli("cvms", "upgrade", cvm.uuid, "-c", "two.yml")
    node.settled(cvm.uuid)
    assert manifest_of(node, cvm)["docker_compose_file"] == OTHER
    assert cvm.status == "stopped" and node.rows("select hex(encrypted_env) from cvms where uuid = ?", cvm.uuid) == [(ENV,)]
