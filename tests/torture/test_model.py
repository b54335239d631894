# SPDX-License-Identifier: Apache-2.0
"""Compare the node with model.py, one request at a time, with hypothesis: the model predicts every answer.

The machine draws creates, power verbs, repeated keys, deaths of the daemon and of guests; before each create it knows from the
model whether there is room, and if not which resource is named with which numbers; after each rule capacity and every
status are compared. A failing run is printed as the program to run.

TEEPOD_MODEL_EXAMPLES, TEEPOD_MODEL_STEPS: how many runs of how many steps (default 14 of 12, always the same ones;
more are drawn at random). TEEPOD_MODEL_SHRINK: look for the fewest steps that fail, for up to five minutes.
"""

import collections
import os
import signal

from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chaos import power_off
from model import VERBS, Cvm, Model
from node import Node, assert_consistent, until

TOTALS = {"vcpus": 6, "memory_mib": 320, "slots": 4, "disk_gib": 8}
EXAMPLES = int(os.environ.get("TEEPOD_MODEL_EXAMPLES", "14"))
STEPS = int(os.environ.get("TEEPOD_MODEL_STEPS", "12"))
UP = ("running", "paused")
DOWN = ("stopped", "crashed", "exited")
pick = st.integers(0, 10**6)


class Machine(RuleBasedStateMachine):
    """All runs share a node, because a start takes a second; names and keys are numbered across the runs."""

    node, number, steps = None, 0, collections.Counter()

    @initialize(release=st.booleans())
    def begin(self, release):
        cls = type(self)
        if cls.node is None:
            cls.node = Node(options={**{f"capacity.{k}": v for k, v in TOTALS.items()}, "capacity.release_on_stop": "no", "restart.enabled": "no",
                                     "start.auto": "no"})
        word = "yes" if release else "no"
        if cls.node.process is None or cls.node.options["capacity.release_on_stop"] != word:
            cls.node.stop()
            cls.node.options["capacity.release_on_stop"] = word
            cls.node.start()
        self.model = Model(TOTALS, release)
        self.answers = []           # (path, body, key, status, bytes)
        # Hypothesis may leave out the create rule in a run.
        self.create(1, 32, 1, None, False)
        self.create(2, 64, 2, 1, True)

    def teardown(self):
        if self.node and self.node.process:
            self.node.delete_all()
            assert_consistent(self.node)

    def some(self, number, status):
        """A CVM with one of these statuses, or None. A rule that then does nothing costs less than a precondition: hypothesis leaves out some
        rules in each run, and throws a run away in which none of the others may be chosen."""
        found = sorted((c for c in self.model.cvms.values() if c.status in status), key=lambda c: c.name)
        return found[number % len(found)] if found else None

    def post(self, path, body, key):
        answer = self.node.post(path, json=body, headers={"Idempotency-Key": key})
        if answer.status // 100 == 2:
            self.answers.append((path, body, key, answer.status, answer.body))
        return answer

    def key(self):
        Machine.number += 1
        return f"key-{Machine.number}"

    # ------------------------------------------------------------ rules

    @rule(vcpu=st.integers(1, 7), memory=st.sampled_from((32, 64, 128, 256, 512)), disk_size=st.integers(1, 9),
          port=st.sampled_from((None, 0, 1)), stopped=st.booleans())
    def creates(self, vcpu, memory, disk_size, port, stopped):
        self.create(vcpu, memory, disk_size, port, stopped)

    def create(self, vcpu, memory, disk_size, port, stopped):
        key = self.key()
        fields = {"vcpu": vcpu, "memory": memory, "disk_size": disk_size}
        ports = () if port is None else (self.node.port_first + port,)
        body = self.node.create_body(name=f"model-{key}", stopped=stopped, **fields,
                             ports=[{"protocol": "tcp", "host_port": p, "vm_port": 80} for p in ports] or None)
        # With release_on_stop a CVM that is created stopped needs no CPU and memory.
        needs = {**fields, "vcpu": 0, "memory": 0} if stopped and self.model.release_on_stop else fields
        missing = self.model.missing(needs)
        holder = next(filter(None, map(self.model.port_holder, ports)), None)
        answer = self.post("/cvms", body, key)
        self.steps["refused for want of room" if missing else "refused for the port" if holder else "create"] += 1
        if missing:
            name, code, asked, free, total = missing
            told = {row["field"]: row["value"] for row in answer["details"]}
            assert answer.status == 400 and answer["error_code"] == code, (missing, answer)
            assert (name in told, told["asked"], told["free"], told["total"]) == (True, asked, free, total), (missing, answer)
        elif holder:
            assert answer.status in (400, 409) and holder in answer.text, answer
        else:
            cvm = Cvm(body["name"], vcpu, memory, disk_size, answer.ok()["vm_uuid"], "stopped" if stopped else "running", ports)
            self.model.cvms[cvm.name] = cvm
            self.node.settled(cvm.uuid)

    def verb(self, kind, cvm, body=None):
        if not cvm:
            return
        verb = VERBS[kind]
        self.steps[kind] += 1
        if kind in ("start", "restart") and not self.model.holds_cpu(cvm):
            missing = self.model.missing({"vcpu": cvm.vcpu, "memory": cvm.memory, "slots": 0, "disk_size": 0})
            if missing and missing[0] in ("vcpu", "memory"):
                answer = self.post(f"/cvms/{cvm.uuid}{verb.path}", body, self.key())
                assert (answer.status, answer["error_code"]) == (400, missing[1]), (missing, answer)
                return
        answer = self.post(f"/cvms/{cvm.uuid}{verb.path}", body, self.key())
        assert answer.status == verb.status, answer
        self.node.settled(cvm.uuid)
        cvm.status = next(iter(verb.ends))

    @rule(number=pick)
    def start(self, number):
        self.verb("start", self.some(number, (*DOWN, "running")))

    @rule(number=pick)
    def stop(self, number):
        self.verb("stop", self.some(number, (*DOWN, "running")))

    @rule(number=pick)
    def restart(self, number):
        self.verb("restart", self.some(number, UP), {"force": True})

    @rule(number=pick)
    def delete(self, number):
        cvm = self.some(number, (*DOWN, "running"))
        if not cvm:
            return
        self.steps["delete"] += 1
        answer = self.node.api("DELETE", f"/cvms/{cvm.uuid}")
        assert answer.status == 204, answer
        self.node.settled(cvm.uuid)
        assert self.node.get(f"/cvms/{cvm.uuid}").status == 404
        del self.model.cvms[cvm.name]

    @rule(number=pick)
    def repeat(self, number):
        if not self.answers:
            return
        self.steps["repeat"] += 1
        path, body, key, status, said = self.answers[number % len(self.answers)]
        answer = self.node.post(path, json=body, headers={"Idempotency-Key": key})
        assert (answer.status, answer.body, answer.headers.get("idempotent-replayed")) == (status, said, "true"), answer

    @rule(graceful=st.booleans())
    def the_daemon_ends(self, graceful):
        self.steps["SIGTERM" if graceful else "kill -9"] += 1
        if graceful:
            assert self.node.stop() == 0
        else:
            self.node.kill()
        self.node.start()

    @rule(number=pick)
    def a_guest_is_killed(self, number):
        cvm = self.some(number, UP)
        if not cvm:
            return
        for pid in self.node.cvm(cvm.uuid).pids():
            os.kill(pid, signal.SIGKILL)
        cvm.status = "crashed"
        self.steps["guest killed"] += 1

    @rule(number=pick)
    def a_guest_powers_off(self, number):
        cvm = self.some(number, UP)
        if not cvm:
            return
        for pid in self.node.cvm(cvm.uuid).pids():
            assert power_off(pid, 8)
        cvm.status = "exited"
        self.steps["guest off"] += 1

    # ------------------------------------------------------------ what holds after each

    @invariant()
    def every_status_is_as_predicted(self):
        if not self.node or not self.node.process:
            return
        for cvm in self.model.cvms.values():
            until(lambda: f"{cvm.name} is {cvm.status}: {self.node.get(f'/cvms/{cvm.uuid}')}",
                  lambda: self.node.get(f"/cvms/{cvm.uuid}", version=25).ok()["status"] == cvm.status, 15)
        assert self.node.uuids() == {c.uuid for c in self.model.cvms.values()}

    @invariant()
    def reservations_equal_the_model(self):
        if not self.node or not self.node.process:
            return
        promised = {row["resource"]: row["promised"] for row in self.node.capacity().values()}
        held = self.model.held()
        assert {k: promised[k] for k in held} == held


Machine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None,
                                     phases=[Phase.generate, *([Phase.shrink] if "TEEPOD_MODEL_SHRINK" in os.environ else [])],
                                     derandomize="TEEPOD_MODEL_EXAMPLES" not in os.environ, print_blob=True,
                                     suppress_health_check=list(HealthCheck))


class TestModel(Machine.TestCase):
    def runTest(self):
        super().runTest()
        # Fewer steps mean that most rules did nothing.
        assert Machine.steps["create"] >= EXAMPLES / 2 and sum(Machine.steps.values()) >= 3 * EXAMPLES, Machine.steps

    @classmethod
    def tearDownClass(cls):
        print(dict(Machine.steps))
        if Machine.node:
            Machine.node.close()
            Machine.node = None
