# SPDX-License-Identifier: Apache-2.0
"""API keys under attack: who is slowed down by wrong ones, and what a limited token can get beyond its limits."""

from node import PREFIX, refused


def guess(node, times=12, path="/node", **headers):
    """Statuses of requests with a wrong key."""
    return [node.get(path, key="teepod_" + "0" * 48, headers=headers).status for _ in range(times)]


# ------------------------------------------------------------------ wrong keys


def test_eleven_wrong_keys_in_a_minute_are_429(spawn):
    node = spawn()
    assert guess(node, 10) == [401] * 10
    late = node.get("/node", key="wrong")
    refused(late, 429)
    assert 1 <= int(late.headers["retry-after"]) <= 60


def test_wrong_keys_from_an_address_lock_nobody_out(spawn):
    node = spawn()
    assert guess(node)[-1] == 429
    node.get("/node").ok()
    node.get("/node", key=None, headers={"Authorization": f"Bearer {node.key}"}).ok()
    refused(node.get("/node", key=None), 401)


def test_requests_without_a_key_count_for_nothing(spawn):
    """A web page can make a browser send these: <img src=http://127.0.0.1:8090/api/v1/node>."""
    node = spawn()
    for headers in ({}, {"X-API-Key": ""}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}):
        for _ in range(12):
            refused(node.get("/node", key=None, headers=headers), 401)
    node.get("/node").ok()
    assert guess(node, 1) == [401], "the first wrong key is the first"


def test_a_log_link_is_good_beside_wrong_keys(spawn):
    node = spawn()
    cvm = node.try_create(name="linked", stopped=True).ok()
    link = node.get(f"/cvms/{cvm['vm_uuid']}", version=25).ok()["syslog_endpoint"]
    path = link[link.index(PREFIX) + len(PREFIX):]
    assert guess(node)[-1] == 429
    for key in (None, "wrong"):
        node.get(path, key=key).ok()
