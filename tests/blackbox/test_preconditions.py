# SPDX-License-Identifier: Apache-2.0
"""ETag and If-Match: a change that is based on an outdated state is refused."""

import threading

import pytest

from node import refused


def patch(cvm, tag=None, **body):
    return cvm.node.api("PATCH", f"/cvms/{cvm.uuid}/policy", json=body, headers={"If-Match": tag} if tag else None)


def tag_of(cvm):
    return cvm.node.get(f"/cvms/{cvm.uuid}").ok().headers["etag"]


def test_the_tag_is_the_generation_and_changes_with_what_a_client_sets(node):
    made = node.try_create(stopped=True).ok()
    cvm = node.cvm(made["vm_uuid"])
    assert made.headers["etag"] == f'"{made["generation"]}"' == tag_of(cvm)
    tags = [tag_of(cvm)]
    for body in ({"restart_policy": "never"}, {"auto_start": False}, {"start_order": -7}):
        answer = patch(cvm, **body).ok()
        assert answer.headers["etag"] == tag_of(cvm)
        tags.append(tag_of(cvm))
    started = cvm.do("start")
    tags.append(started.headers["etag"])
    assert len(set(tags)) == 5, tags
    assert tag_of(cvm) == tags[-1], "booting is nothing a client sets"
    assert patch(cvm, start_order=-7).ok().headers["etag"] == tags[-1], "as it was"
    for version in (25, 26):
        assert cvm.get(version)["generation"] == int(tags[-1].strip('"'))


def test_every_change_of_a_cvm_honours_if_match(node):
    cvm = node.create(stopped=True)
    old = tag_of(cvm)
    patch(cvm, old, start_order=1).ok()
    now = tag_of(cvm)
    headers = {"If-Match": old}
    for verb in ("start", "stop", "shutdown", "restart"):
        error = refused(node.post(f"/cvms/{cvm.uuid}/{verb}", headers=headers), 412)
        assert old in error["detail"] and now in error["detail"] and "error_code" not in error
    answer = node.api("DELETE", f"/cvms/{cvm.uuid}", headers=headers)
    refused(answer, 412)
    assert answer.headers["etag"] == now
    refused(patch(cvm, old, start_order=2), 412)
    assert cvm.status == "stopped" and tag_of(cvm) == now

    assert node.post(f"/cvms/{cvm.uuid}/start", headers={"If-Match": f'"7000", {now}'}).ok()
    node.settled(cvm.uuid)
    assert node.post(f"/cvms/{cvm.uuid}/stop", headers={"If-Match": "*"}).ok()
    node.settled(cvm.uuid)
    assert node.api("DELETE", f"/cvms/{cvm.uuid}", headers={"If-Match": tag_of(cvm)}).status == 204


@pytest.mark.parametrize("tag", ['W/"1"', "1", '"1', '"1" "', '"1"x', "", ",", '*, "1"', '"1", W/"2"'])
def test_weak_tags_and_garbage_are_400(node, tag):
    cvm = node.create(stopped=True)
    refused(node.api("PATCH", f"/cvms/{cvm.uuid}/policy", json={"start_order": 1}, headers={"If-Match": tag}), 400, "ERR-02-008", "If-Match")
    assert cvm.get()["start_order"] == 0


def test_all_of_several_fields_have_to_hold(node):
    cvm = node.create(stopped=True)
    now, key = tag_of(cvm), node.key
    sent = (f"POST /api/v1/cvms/{cvm.uuid}/start HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nIf-Match: {now}\r\nIf-Match: \"999\"\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert node.raw(sent.encode()).startswith(b"HTTP/1.1 412 ")
    assert cvm.status == "stopped"


def test_an_unknown_cvm_is_404_with_a_tag_too(node):
    refused(node.post("/cvms/nobody-here/start", headers={"If-Match": "*"}), 404, "ERR-03-001")


def test_the_answer_of_the_first_time_is_given_again_whatever_the_tag(node):
    cvm = node.create(stopped=True)
    headers = {"If-Match": tag_of(cvm), "Idempotency-Key": "once-with-a-tag"}
    first = node.api("PATCH", f"/cvms/{cvm.uuid}/policy", json={"start_order": 3}, headers=headers).ok()
    again = node.api("PATCH", f"/cvms/{cvm.uuid}/policy", json={"start_order": 3}, headers=headers).ok()
    assert again.headers["idempotent-replayed"] == "true" and again.json == first.json
    assert again.headers["etag"] == first.headers["etag"]


def test_of_many_with_the_same_tag_one_wins(node):
    cvm = node.create(stopped=True)
    for round in range(5):
        tag, answers = tag_of(cvm), []
        threads = [threading.Thread(target=lambda n=n: answers.append((n, patch(cvm, tag, start_order=100 * round + n))))
                   for n in range(1, 9)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        won = [n for n, a in answers if a.status == 200]
        assert len(won) == 1 and sorted(a.status for _, a in answers) == [200] + [412] * 7
        assert cvm.get()["start_order"] == 100 * round + won[0]


@pytest.mark.parametrize("body", [{}, {"restart_policy": "sometimes"}, {"auto_start": "yes"}, {"start_order": 1000001},
                                  {"start_order": 1.5}, {"restart_policy": None}, {"auto_restart": True}])
def test_the_policy_body_is_strict(node, body):
    cvm = node.create(stopped=True)
    before = tag_of(cvm)
    refused(node.api("PATCH", f"/cvms/{cvm.uuid}/policy", json=body), 400)
    assert tag_of(cvm) == before
