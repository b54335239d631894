# SPDX-License-Identifier: Apache-2.0
"""Only the daemon migrates the database. No other command does, whether or not a daemon runs."""

import contextlib
import fcntl
import sqlite3
import subprocess

import pytest

from node import PROGRAM, ROOT


def run(node, *command):
    return subprocess.run([PROGRAM, "--dev", str(node.dir), *command], capture_output=True, text=True, timeout=60)


def add_key(node):
    return run(node, "--add-key", "me:reader")


def version(node):
    return node.rows("pragma user_version")[0][0]


# A stopped daemon may be of an earlier version, which would refuse a migrated database.
@pytest.mark.parametrize("daemon_runs", [True, False])
@pytest.mark.parametrize("command", [["--add-key", "me:reader"], ["--accept-host"], ["--check-db"]])
def test_no_command_migrates_a_database(spawn, command, daemon_runs):
    node = spawn(start=False)
    with sqlite3.connect(node.database()) as old:
        old.executescript((ROOT / "tests/data/teepod-v1.sql").read_text())
    with open(node.dir / "lock", "w") as lock:
        if daemon_runs:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)     # as the daemon does
        done = run(node, *command)
    assert done.returncode == 1 and not done.stdout
    if command == ["--accept-host"] and daemon_runs:
        assert "in use by another teepod" in done.stderr
    else:
        assert "has schema 1" in done.stderr
        assert "restart the daemon" in done.stderr or command == ["--check-db"], done.stderr
    assert version(node) == 1 and not list(node.dir.glob("teepod.db.v*"))


def test_a_key_is_added_before_the_first_start_and_beside_the_daemon(spawn):
    node = spawn(start=False)
    before = add_key(node)
    assert before.returncode == 0, before.stderr
    node.start()
    beside = add_key(node)
    assert beside.returncode == 0, beside.stderr
    for done in (before, beside):
        node.get("/node", key=done.stdout.strip()).ok()


def test_the_daemon_migrates_with_a_copy_and_then_keys_are_added(spawn):
    node = spawn(start=False)
    with sqlite3.connect(node.database()) as old:
        old.executescript((ROOT / "tests/data/teepod-v1.sql").read_text())
    node.start()
    assert version(node) > 1 and len(list(node.dir.glob("teepod.db.v1-*"))) == 1
    done = add_key(node)
    assert done.returncode == 0 and done.stdout.startswith("teepod_"), done.stderr


def test_an_old_file_becomes_one_that_shrinks_and_old_copies_go(spawn):
    node = spawn(start=False)
    with contextlib.closing(sqlite3.connect(node.database())) as old:
        old.executescript((ROOT / "tests/data/teepod-v1.sql").read_text())
        old.commit()
    for at in (1000, 2000, 10000):
        (node.dir / f"teepod.db.v1-{at}").write_bytes(b"a copy")
    (node.dir / "teepod.db.vault").write_bytes(b"not ours")
    node.start()
    copies = sorted(p.name for p in node.dir.glob("teepod.db.v*"))
    assert len(copies) == 3 and copies[0].startswith("teepod.db.v1-10000") and "teepod.db.vault" in copies, copies
    assert node.rows("pragma auto_vacuum") == [(2,)]
