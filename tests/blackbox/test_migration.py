# SPDX-License-Identifier: Apache-2.0
"""Only the process that holds the state lock migrates the database."""

import fcntl
import sqlite3
import subprocess

from node import PROGRAM, ROOT


def add_key(node):
    return subprocess.run([PROGRAM, "--dev", str(node.dir), "--add-key", "me:reader"], capture_output=True, text=True, timeout=60)


def version(node):
    return node.rows("pragma user_version")[0][0]


def test_a_key_added_beside_a_daemon_of_an_older_version_does_not_migrate_its_database(spawn):
    node = spawn(start=False)
    with sqlite3.connect(node.database()) as old:
        old.executescript((ROOT / "tests/data/teepod-v1.sql").read_text())
    assert version(node) == 1
    with open(node.dir / "lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)     # as the daemon does
        done = add_key(node)
        assert done.returncode == 1 and not done.stdout
        assert "has schema 1" in done.stderr and "restart the daemon" in done.stderr, done.stderr
        assert version(node) == 1
        assert not list(node.dir.glob("teepod.db.v1-*"))
    done = add_key(node)
    assert done.returncode == 0 and done.stdout.startswith("teepod_"), done.stderr
    assert version(node) > 1
    assert len(list(node.dir.glob("teepod.db.v1-*"))) == 1


def test_a_key_is_added_before_the_first_start_and_beside_the_daemon(spawn):
    node = spawn(start=False)
    before = add_key(node)
    assert before.returncode == 0, before.stderr
    node.start()
    beside = add_key(node)
    assert beside.returncode == 0, beside.stderr
    for done in (before, beside):
        node.get("/node", key=done.stdout.strip()).ok()
