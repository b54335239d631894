# SPDX-License-Identifier: Apache-2.0
"""The database holds a value that this program does not know: requests for that row fail with its name, others go on."""

import sqlite3

from node import assert_consistent, until


def spoil(node, *statements):
    """Write values that the CHECKs of the tables forbid."""
    db = sqlite3.connect(node.database(), timeout=10)
    db.execute("PRAGMA ignore_check_constraints = ON")
    for statement, *values in statements:
        assert db.execute(statement, values).rowcount == 1, statement
    db.commit()
    db.close()


def named(answer, *words):
    """The answer is a 500 that names the column and the value."""
    assert answer.status == 500 and all(word in answer.text for word in words), answer


def test_an_unknown_word_is_an_error_that_names_it_and_the_others_go_on(spawn):
    node = spawn()
    bad, good, runs = node.create(stopped=True), node.create(stopped=True), node.create()
    assert node.stop() == 0
    spoil(node, ("update cvms set observed = 'flying' where uuid = ?", bad.uuid))
    node.start()

    for answer in (node.get(f"/cvms/{bad.uuid}"), bad.request("start"), node.api("DELETE", f"/cvms/{bad.uuid}"),
                   node.get("/cvms/paginated")):
        named(answer, "cvms.observed", "flying")
    assert node.rows("select observed from cvms where uuid = ?", bad.uuid) == [("flying",)]
    assert runs.status == "running" and len(runs.pids()) == 1
    good.do("start")
    good.becomes("running")
    node.get("/node").ok()
    code, output = node.check_db()
    assert code == 1 and f"cvms.observed of row {bad.name} is 'flying'" in output, output

    spoil(node, ("update cvms set observed = 'absent' where uuid = ?", bad.uuid))
    bad.do("start")
    bad.becomes("running")
    assert_consistent(node)


def test_an_amount_that_no_cvm_can_have_is_an_error_that_names_it(spawn):
    node = spawn()
    bad, good = node.create(stopped=True), node.create(stopped=True)
    for column in ("vcpus", "memory_mib", "disk_gib", "disk_made", "given_vcpus", "given_memory_mib"):
        was, = node.rows(f"select {column} from cvms where uuid = ?", bad.uuid)[0]
        for value in (-1, 1 << 62):
            spoil(node, (f"update cvms set {column} = ? where uuid = ?", value, bad.uuid))
            for answer in (node.get(f"/cvms/{bad.uuid}"), node.post(f"/cvms/{bad.uuid}/replicas", json={"stopped": True}),
                           bad.request("start"), node.api("PATCH", f"/cvms/{bad.uuid}/resources", json={"vcpu": 2})):
                named(answer, f"cvms.{column}", str(value))
            node.get(f"/cvms/{good.uuid}").ok()
        spoil(node, (f"update cvms set {column} = ? where uuid = ?", was, bad.uuid))
    bad.do("start")
    bad.becomes("running")
    assert_consistent(node)


def test_an_operation_of_an_unknown_kind_does_not_keep_the_daemon_from_starting(spawn):
    node = spawn()
    cvm, other = node.create(stopped=True), node.create(stopped=True)
    op = cvm.operations()[0]["id"]
    assert node.stop() == 0
    spoil(node, ("update operations set kind = 'dance', state = 'running', finished_ms = 0 where id = ?", op))
    node.start()
    until("the log names it", lambda: "operations.kind" in node.log_tail(400) and "dance" in node.log_tail(400))
    named(node.get(f"/operations/{op}"), "operations.kind", "dance")
    named(node.get("/operations"), "operations.kind", "dance")
    named(cvm.request("start"), "operations.kind", "dance")
    other.request("start").ok()
    other.becomes("running")

    spoil(node, ("update operations set kind = 'create', state = 'succeeded', finished_ms = created_ms where id = ?", op))
    cvm.do("start")
    cvm.becomes("running")
    assert_consistent(node)


def test_numbers_below_zero_abort_nothing(spawn):
    node = spawn()
    bad, good = node.create(stopped=True), node.create(stopped=True)
    assert node.stop() == 0
    spoil(node, ("update cvms set given_vcpus = -1 where uuid = ?", bad.uuid))
    node.start()
    named(bad.request("start"), "cvms.given_vcpus", "-1")
    good.do("start")
    good.becomes("running")

    spoil(node, ("update capacity set promised = -1 where resource = 'slots'",))
    node.post("/preflight", json=node.create_body()).ok()
    node.kill()
    spoil(node, ("update cvms set given_vcpus = vcpus where uuid = ?", bad.uuid))
    node.start()
    bad.do("start")
    bad.becomes("running")
    assert_consistent(node)
