# SPDX-License-Identifier: Apache-2.0
"""The cloud's SDK, unmodified, in both versions of the API: it checks every answer against its own schema."""

import json
import subprocess
from pathlib import Path

import pytest

from button import BUTTON
from test_phala_cli import NPM, phala  # noqa: F401: the client brings the SDK along

SCRIPT = Path(__file__).with_name("phala_sdk.mjs")
SDK = NPM / "node_modules" / "@phala" / "cloud"
VERSIONS = {25: "2025-10-28", 26: "2026-01-21"}

REFUSALS = {"a name in use": ("ResourceError", 409, "ERR-01-004"), "a CVM too large": ("ResourceError", 400, "ERR-02-003"),
            "a bad field": ("ResourceError", 400, "ERR-02-001"), "no such CVM": ("ResourceError", 404, "ERR-03-001"),
            "no such app": ("BusinessError", 404, None), "a wrong key": ("AuthError", 401, None),
            "resize of a running CVM": ("ResourceError", 400, "ERR-02-009"), "a disk that shrinks": ("ResourceError", 400, "ERR-02-008"),
            "a replica on no node": ("ResourceError", 404, "ERR-01-001")}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_finds_nothing_wrong_with_any_answer(phala, button_node, version):  # noqa: F811
    node = button_node
    assert json.loads((SDK / "package.json").read_text())["version"] == "0.2.9"
    done = subprocess.run(["node", SCRIPT, SDK / "dist" / "index.mjs", node.url + "/api/v1", node.key, VERSIONS[version],
                           f"by-the-sdk-{version}", BUTTON], capture_output=True, text=True, timeout=240)
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{done.stderr}\n{calls[-1:]}"
    refused = {c["call"]: (c["error"], c.get("status"), c.get("code")) for c in calls if c["call"] in REFUSALS and not c["ok"]}
    wrong = [c for c in calls if c["call"] not in REFUSALS and not c["ok"]]
    assert not wrong, json.dumps(wrong, indent=1)[:4000]
    assert refused == REFUSALS
    watched, = [c["value"] for c in calls if c["call"] == "watchCvmState"]
    assert watched["status"] == "running" and watched["name"] == f"by-the-sdk-{version}"
    assert len(calls) > 75
