# SPDX-License-Identifier: Apache-2.0
"""The cloud's own command line client, unmodified, against this node."""

import json
import os
import shutil
import subprocess

import pytest

from node import BOOT, DEMO, ROOT, until

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


@pytest.fixture
def cli(phala, node, tmp_path):
    """cli("cvms", "list", ...) -> finished process."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*args, ok=True):
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "CI": "1", "PHALA_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1",
               "PHALA_CLOUD_API_PREFIX": node.url + "/api/v1", "PHALA_CLOUD_API_KEY": node.key,
               "PHALA_CLOUD_DIR": str(home / "cloud")}
        done = subprocess.run(["node", str(phala), *args], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90,
                              stdin=subprocess.DEVNULL)
        if ok is not None:
            assert (done.returncode == 0) is ok, f"phala {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
    (tmp_path / "compose.yml").write_text("services:\n  web:\n    image: nginx:1.27\n    ports:\n      - 80:80\n")
    return run


SIZE = ("--vcpu", "1", "--memory", "1GB", "--disk-size", "1GB")
SMALL = ("--image", BOOT, *SIZE)


def deploy(cli, node, name):
    """The guest is one that hears its power button: the client's restart is a graceful one."""
    cli("deploy", "-c", "compose.yml", "-n", name, "--image", DEMO, *SIZE)
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
    def said(*args):
        done = cli(*args)
        return done.stdout + done.stderr
    assert "local" in said("whoami")
    assert "alpha" in said("nodes", "list")
    assert "alpha" in said("cvms", "list-nodes")
    assert BOOT in said("os-images")
    assert "tdx.small" in said("instance-types", "cpu")
    cli("instance-types")
    cli("status")


def test_a_refusal_is_printed_with_its_code_details_and_suggestions(cli, node):
    done = cli("deploy", "-c", "compose.yml", "-n", "far-too-large", "--image", BOOT, "--vcpu", "9999", ok=False)
    said = done.stdout + done.stderr
    assert "Error [ERR-02-003]" in said, said
    assert "9999" in said and "64" in said, said
    assert node.uuids() == set()


def test_a_name_in_use_is_printed_with_its_code(cli, node):
    node.create(name="already-there", stopped=True)
    done = cli("deploy", "-c", "compose.yml", "-n", "already-there", *SMALL, ok=False)
    assert "ERR-01-004" in done.stdout + done.stderr


def test_unknown_cvms_and_wrong_keys_are_told(cli, node):
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
