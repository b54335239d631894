# SPDX-License-Identifier: Apache-2.0
"""test_bench.py - the benchmark works: every part of it measures, and each bound can be held on any machine.

Only a few guests and rows are measured, beside other tests. The numbers mean nothing, and no test looks at a bound's verdict.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node import PROGRAM, ROOT

sys.path.insert(0, str(ROOT / "tests" / "bench"))

from table import Table  # noqa: E402

TOOLS = Path(PROGRAM).parent / "bench"


def run(result, *arguments, tools=TOOLS):
    """A run of the smallest size."""
    if not TOOLS.is_dir():
        pytest.skip(f"{TOOLS} does not exist: the programs of the benchmark are built with the daemon")
    return subprocess.run([ROOT / "tests/bench/run.sh", "--size", "smoke", "--tools", tools, "--result", result, *arguments],
                          env={**os.environ, "TEEPOD_BIN": PROGRAM}, capture_output=True, text=True, timeout=170)


def measure(tmp_path, *arguments):
    """The rows of a run, and its output."""
    result = tmp_path / "result.json"
    done = run(result, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(result.read_text())["rows"], done.stdout


@pytest.mark.parametrize("parts, lines", (
    ("xml admission", 3), ("boot parallel", 9), ("comeback", 3), ("autostart", 1), ("hung", 2), ("creates reads idle", 22)))
def test_every_part_measures(parts, lines, tmp_path):
    rows, text = measure(tmp_path, *parts.split())
    assert len(rows) >= lines, text
    for row in rows:
        assert row["peer"] is None, row
        assert row["baseline"] is None or row["baseline"] > 0 and row["ratio"] >= 0, row     # a difference may be negative here
        assert row["verdict"] in ("ok", "missed", ""), row


def test_a_peer_is_measured_on_the_same_lines(tmp_path):
    """The stub speaks a peer's calls and starts QEMU with a peer's options, which ask for KVM, vsock and a kernel."""
    program = tmp_path / "dstack-vmm"
    shutil.copy(Path(__file__).with_name("dstack_vmm_stub.py"), program)
    rows, text = measure(tmp_path, "--peer", program, "boot", "parallel", "comeback", "creates", "reads", "idle")
    compared = [row["measurement"].strip() for row in rows if row["peer"]]
    for line in ("create to first serial line", "2 creates at once, to all first lines", "stop, until the API says stopped",
                 "2 stops at once, until the API says stopped", "durable stopped creates, 1 client", "durable stopped creates, 16 clients",
                 "page of 50 of 60 CVMs, p50", "all 60 CVMs in one answer, p50", "resident memory (VmRSS)"):
        assert line in compared, text
    assert "beside the peer: " in text


def test_a_baseline_that_fails_ends_the_run(tmp_path):
    """No table, and so no verdict, and a message that names the program. Here QEMU alone crashes."""
    tools = tmp_path / "tools"
    shutil.copytree(TOOLS, tools)
    (tools / "raw_qemu").write_text("#!/bin/sh\nexit 1\n")
    done = run(tmp_path / "result.json", "boot", tools=tools)
    assert done.returncode != 0 and "raw_qemu" in done.stderr and "failed" in done.stderr, done.stderr
    assert "bounds held" not in done.stdout and not (tmp_path / "result.json").exists()


def test_a_bound_needs_a_baseline_of_the_same_run():
    for baseline in (None, 0):
        with pytest.raises(ValueError, match="baseline"):
            Table().add("a time", 3, "ms", baseline, most=10)


def test_a_bound_is_missed_on_the_wrong_side_of_its_ratio(capsys):
    table = Table()
    for value in (19, 20, 21):
        table.add(f"{value} ms", value, "ms", 10, "baseline", peer=20, most=2)
        table.add("  rate", value, "/s", 10, "baseline", peer=20, least=2)
    assert [row["verdict"] for row in table.rows] == ["ok", "missed", "ok", "ok", "missed", "ok"]
    table.print_summary(1)
    assert capsys.readouterr().out.split("\n")[1:] == [
        "4 bounds held, 2 missed; 1 s", "beside the peer: 4 lines better, 2 worse", "  worse: 19 ms: rate", "  worse: 21 ms", ""]
