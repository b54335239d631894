# SPDX-License-Identifier: Apache-2.0
"""The output that is kept of an epoch that failed or was interrupted."""

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from node import until
from torture import Epoch

ARGUMENTS = ("--seed", "5", "--epoch", "0", "--kind", "kills", "--seconds", "120", "--length", "120")


def folder_named_in(said):
    return Path(re.search(r"are kept: (.+)", said).group(1))


def check(folder):
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    creates = [line for line in lines if line["what"] == "POST /cvms" and line["status"] == 200]
    assert creates and creates[0]["body"]["name"] in creates[0]["answer"]
    assert "teepod" in (folder / "daemon.log").read_text()
    with sqlite3.connect(folder / "teepod.db") as db:
        assert db.execute("select count(*) from events").fetchone()[0] > 0
    assert "teepod" in (folder / "threads.txt").read_text()
    return (folder / "violations.txt").read_text()


def test_an_interrupted_torture_keeps_its_output_and_names_the_folder():
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("torture.py")), *ARGUMENTS], stdout=subprocess.PIPE, text=True)
    try:
        pattern = f"torture-5-0-kills-*-{process.pid}/requests.jsonl"
        logs = Epoch(0, 0, "").folder.parent
        def created():
            lines = (line for path in logs.glob(pattern) for line in path.read_text().splitlines())
            return any('"what": "POST /cvms"' in line and '"status": 200' in line for line in lines)

        until("a create was answered", created, 90)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "interrupted by SIGTERM in epoch 0" in said
    folder = folder_named_in(said)
    assert "again: tests/torture/run.sh --seed 5 --epoch 0 --kind kills" in check(folder)
    shutil.rmtree(folder)


def test_a_failed_epoch_keeps_its_output_and_one_that_went_well_leaves_none():
    said = []
    failed = Epoch(5, 1, "kills", said.append)
    assert failed.run(5, needs=("creates acknowledged", "miracles")).violations
    assert folder_named_in("\n".join(said)) == failed.folder
    assert "none of ['miracles']" in check(failed.folder)
    shutil.rmtree(failed.folder)
    well = Epoch(5, 2, "kills", said.append)
    assert not well.run(5).violations, said
    assert not well.folder.exists()
