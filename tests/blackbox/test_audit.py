# SPDX-License-Identifier: Apache-2.0
"""Audit records identify the caller by values that no client can choose, and text from clients cannot forge log lines."""

import sqlite3
import subprocess

import pytest

from node import PROGRAM, refused, until

STEERING = ["\x1b[31mred", "a\x9b31mred", "a\x85b", "user\u202egnp", "user\u2066x", "one\u2028two", "zero\u200bwidth", "a\nb", "a\rb", "tab\tx",
            "del\x7f", "bom\ufeffx"]
LYING = ["uid:0", "cert:root", "teepod:drain", "key:1", "tok_3", "TOK_3", "3", "(admin)", "x) (tok_1", " x", "x ", "-x", "\u0430dmin"]
GOOD = ["team-a ci", "alice@example.org", "v1.2/x+y", "7up", "tok_x", "A_b-c"]


def steers(text):
    return [c for c in text if (ord(c) < 0x20 and c not in "\n\t\r") or 0x7f <= ord(c) <= 0x9f or ord(c) in range(0x2028, 0x202f)
            or ord(c) in range(0x2066, 0x206a)]


@pytest.mark.parametrize("name", STEERING + LYING, ids=ascii)
def test_a_token_name_has_no_control_characters_and_imitates_no_other_caller(node, name):
    refused(node.post("/tokens", json={"name": name, "role": "reader"}), 400, "ERR-02-008", "name")


@pytest.mark.parametrize("name", GOOD)
def test_ordinary_names_of_tokens_are_taken(node, name):
    made = node.post("/tokens", json={"name": name, "role": "reader"}).ok()
    assert made["name"] == name
    node.api("DELETE", f"/tokens/{made['id']}")


def test_keys_added_on_the_host_keep_the_rule(node):
    for name in ("tok_7", "(x", "uid:0"):
        done = subprocess.run([PROGRAM, "--dev", str(node.dir), "--add-key", f"{name}:reader"], text=True, capture_output=True, timeout=30)
        assert done.returncode == 1 and not done.stdout and "name" in done.stderr, done


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_free_text_that_is_shown_to_people_is_plain(node, text):
    refused(node.post("/workspaces", json={"slug": "free-text", "name": text}), 400, "ERR-02-008", "name")
    refused(node.api("PATCH", "/workspaces/local", json={"name": text}), 400, "ERR-02-008", "name")
    refused(node.post("/workspaces/local/credits", json={"amount": 1, "note": text}), 400, "ERR-02-008", "note")
    refused(node.api("PUT", "/node/maintenance", json={"enabled": True, "reason": text}), 400, "ERR-02-008", "reason")
    refused(node.post("/node/drain", json={"reason": text}), 400, "ERR-02-008", "reason")


def test_records_name_the_key_by_its_number(node):
    made = node.post("/tokens", json={"name": "root", "role": "admin"}).ok().json
    who, key = f"{made['id']} (root)", made["token"]
    cvm = node.post("/cvms", json=node.create_body(name="by-whom", stopped=True), key=key).ok().json
    assert node.get(f"/operations/{cvm['operation_id']}").ok()["caller"] == who
    assert node.get(f"/apps/{cvm['app_id']}/revisions").ok()["revisions"][0]["triggered_by"]["username"] == who
    assert node.api("PUT", "/node/maintenance", json={"enabled": True}, key=key).ok()["by"] == who
    node.api("DELETE", "/node/maintenance").ok()
    node.post("/workspaces/local/credits", json={"amount": 1}, key=key).ok()
    assert node.get("/workspaces/local/ledger").ok()["items"][0]["by"] == who
    node.post("/workspaces/local/credits", json={"amount": -1}, key=key).ok()
    assert node.get("/auth/me", key=key).ok()["user"]["username"] == "root", "to itself it is called as it is"
    node.api("DELETE", f"/tokens/{made['id']}")


def test_names_that_keys_had_before_the_rule_are_shown_beside_the_number(spawn):
    node = spawn()
    names = ["uid:0", "teepod:drain", "\x1b[2J\x9b31m\u202eevil", "x" * 63]
    made = [node.post("/tokens", json={"name": "old", "role": "admin"}).ok().json for _ in names]
    with sqlite3.connect(node.database()) as db:
        for name, token in zip(names, made):
            db.execute("update api_keys set name = ? where id = ?", (name, int(token["id"][4:])))
    cvm = node.create(stopped=True)
    for name, token in zip(names, made):
        op = node.api("PATCH", f"/cvms/{cvm.uuid}", json={"listed": name != names[0]}, key=token["token"]).ok()["operation_id"]
        text = node.get(f"/operations/{op}").ok()["caller"]
        assert text.startswith(token["id"] + " (") and text.endswith(")") and not steers(text), text
    assert "\\x1b[2J\\u{9b}31m\\u{202e}evil" in str([op["caller"] for op in cvm.operations()]).replace("\\\\", "\\")


def test_an_operation_of_a_key_called_like_the_drain_is_none_of_the_drain(spawn):
    node = spawn()
    made = node.post("/tokens", json={"name": "old", "role": "admin"}).ok().json
    with sqlite3.connect(node.database()) as db:
        db.execute("update api_keys set name = 'teepod:drain' where id = ?", (int(made["id"][4:]),))
    cvm = node.create()
    op = node.post(f"/cvms/{cvm.uuid}/shutdown", json={"timeout_s": 600}, key=made["token"]).ok()["operation_id"]
    assert op not in [one["id"] for one in node.post("/node/drain", json={}).ok()["operations"]]
    node.post(f"/cvms/{cvm.uuid}/stop").ok()
    node.settled()


def test_the_log_shows_what_would_steer_a_terminal(spawn):
    node = spawn(options={"logs.level": "debug"})
    refused(node.get("/cvms/%C2%9B31m%E2%80%AEdesrever%E2%80%A8next"), 404)
    until("the request is in the log", lambda: "\\u{9b}31m\\u{202e}desrever\\u{2028}next" in node.log_path.read_text())
    assert not steers(node.log_path.read_text())


def test_the_log_as_json_too(spawn):
    node = spawn(options={"logs.level": "debug", "logs.format": "json"})
    refused(node.get("/cvms/%C2%9B31m%E2%80%AEx"), 404)
    until("the request is in the log", lambda: "u{202e}x" in node.log_path.read_text())
    assert not steers(node.log_path.read_text())


def test_what_the_program_says_is_plain(spawn):
    node = spawn()
    cvm = node.create(stopped=True)
    node.stop()
    with sqlite3.connect(node.database()) as db:
        db.execute("pragma ignore_check_constraints = on")
        db.execute("update cvms set desired = ? where uuid = ?", ("\x1b[31m\x9b1m\u202eoff", cvm.uuid))
    evil = "\x1b[31m\u202ex"
    for arguments in (["--check-db", "--dev", str(node.dir)], ["--check-config", "-o", f"node.name={evil}"], [f"--{evil}"],
                      ["--check-config", "-o", f"{evil}=1"], ["--add-key", f"{evil}:reader"],
                      ["--print-domain", f"/nowhere/{evil}", "--dev", str(node.dir)]):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=30)
        text = (done.stdout + done.stderr).decode()
        assert done.returncode and text and not steers(text), (arguments, text)
        assert "\\x1b[31m" in text, (arguments, text)
