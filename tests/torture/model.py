# SPDX-License-Identifier: Apache-2.0
"""model.py - a model of the node: which requests fit, what a refusal contains, and the status after each operation.

Two users. test_model.py asks one question at a time and predicts every answer. The torture has many clients at once and is
cut short all the time: it takes from here what a refusal must say, and which words a CVM's status may have once all is quiet.
A new kind of operation joins both by one entry in VERBS.
"""

from dataclasses import dataclass, field

SAME = frozenset({"same"})
FINAL = {"running", "stopped", "crashed", "exited", "paused"}
GONE = {"gone"}


@dataclass(frozen=True)
class Verb:
    """A kind of operation on an existing CVM: its request, and the status words that it may end in."""
    method: str
    path: str                       # below /cvms/{uuid}
    ends: frozenset                 # when it succeeded; SAME: as it was before
    cancelled: frozenset = frozenset(FINAL)
    weight: int = 4                 # how often the torture requests it
    # Bodies to choose from; each is called with the generator.
    bodies: tuple = (lambda rng: None,)
    may_fail: tuple = ()            # error texts that are allowed without a fault
    status: int = 200               # of the answer when it is begun
    grows: bool = False             # reserves capacity, so it may be refused
    refusals: tuple = ()            # texts of 400 refusals that are allowed in any state


def words(*names):
    return frozenset(names)


# Texts of a 409 refusal: another operation runs on the CVM, or the CVM is not paused. No other reason is allowed.
BUSY = ("is being worked on: ", "is being deleted", "only a paused CVM can be resumed")

# Of a change: what a running guest needs to be changed, or nothing of it. The boot sector is deaf to its power button, so that
# ten seconds are enough.
RESTARTS = ({"allow_restart": True, "allow_force_stop": True}, {"allow_restart": True, "shutdown_timeout": 10}, {})


def size(rng):
    return {**rng.choice(RESTARTS), **rng.choice(({"vcpu": rng.choice((1, 2, 4))}, {"memory": rng.choice((32, 96, 256))},
                                                  {"disk_size": rng.choice((1, 2, 4))}, {"vcpu": 2, "memory": 64, "disk_size": 3}))}


def software(rng):
    return {**rng.choice(RESTARTS), **rng.choice(({"pre_launch_script": f"echo {rng.randrange(4)}"}, {"listed": rng.random() < 0.5},
                                                  {"user_config": f"{rng.randrange(4)}"},
                                                  {"ports": [{"protocol": "tcp", "host_port": 0, "vm_port": rng.choice((80, 81))}]},
                                                  {"ports": []}))}


VERBS = {
    "start": Verb("POST", "/start", words("running"), words("stopped"), weight=8, grows=True),
    "stop": Verb("POST", "/stop", words("stopped"), weight=6),
    "shutdown": Verb("POST", "/shutdown", words("stopped"), weight=2, may_fail=("did not shut down within",),
                     bodies=(lambda rng: {"timeout": 10, "force": True}, lambda rng: {"timeout": 10, "force": False})),
    "restart": Verb("POST", "/restart", words("running"), weight=3, grows=True,
                    bodies=(lambda rng: {"force": True}, lambda rng: {"timeout_s": 10, "force": False})),
    "resume": Verb("POST", "/resume", words("running"), weight=1),
    "resize": Verb("PATCH", "", SAME, weight=3, status=202, grows=True, bodies=(size,), refusals=("allow_restart", "only grows")),
    "upgrade": Verb("PATCH", "", SAME, weight=3, status=202, grows=True, bodies=(software,), refusals=("allow_restart",)),
    "delete": Verb("DELETE", "", words("gone"), weight=4, status=204),
}

CREATE_ENDS = {"succeeded": words("running"), "cancelled": words("gone"), "failed": frozenset(FINAL | GONE)}


def ends(kind, state, stopped=False):
    """Words a CVM's status may have after its last operation, if nobody harmed the guest since; or SAME. An operation that failed,
    and most that were cancelled, may have been cut at any step."""
    if kind == "create":
        return words("stopped") if stopped and state == "succeeded" else CREATE_ENDS[state]
    verb = VERBS[kind]
    if state == "succeeded":
        return verb.ends
    return verb.cancelled if state == "cancelled" else frozenset(FINAL)


def harmed(allowed):
    """The same, if the guest was killed or powered itself off meanwhile."""
    return allowed | {"crashed", "exited"} if "running" in allowed else allowed


# ---------------------------------------------------------------------- what fits

# Resource, request field and error code, in the order in which the node checks them.
NEEDS = (("vcpus", "vcpu", "ERR-02-003"), ("memory_mib", "memory", "ERR-02-004"), ("slots", "slots", "ERR-02-005"),
         ("disk_gib", "disk_size", "ERR-02-002"))


@dataclass
class Cvm:
    name: str
    vcpu: int
    memory: int
    disk_size: int
    uuid: str = ""
    status: str = "stopped"
    ports: tuple = ()               # host ports, TCP


@dataclass
class Model:
    """One node that gets one request at a time."""
    totals: dict                    # resource -> total
    release_on_stop: bool = False
    cvms: dict = field(default_factory=dict)

    def holds_cpu(self, cvm):
        return not self.release_on_stop or cvm.status in ("running", "paused", "crashed", "exited")

    def held(self):
        some = [c for c in self.cvms.values() if self.holds_cpu(c)]
        return {"vcpus": sum(c.vcpu for c in some), "memory_mib": sum(c.memory for c in some), "slots": len(self.cvms),
                "disk_gib": sum(c.disk_size for c in self.cvms.values())}

    def missing(self, fields):
        """(field, code, asked, free, total) of the first need that is not met, or None."""
        held = self.held()
        for resource, name, code in NEEDS:
            asked = 1 if name == "slots" else fields.get(name, 0)
            free = self.totals[resource] - held[resource]
            if asked > free:
                return name, code, asked, free, self.totals[resource]
        return None

    def port_holder(self, port):
        return next((c.name for c in self.cvms.values() if port in c.ports), None)


def true_numbers(body, sent, totals, grows=False):
    """What is wrong with the numbers of a refusal for want of capacity, "" if nothing: @sent is the request's body. @grows: of a CVM
    that holds some already, so that the difference is asked for; how much it holds the client does not know."""
    told = {row["field"]: row["value"] for row in body.get("details", [])}
    need = next((n for n in NEEDS if n[2] == body.get("error_code") and n[1] in told), None)
    if not need:
        return ""
    asked, free, total = (told.get(key) for key in ("asked", "free", "total"))
    wanted = 1 if need[1] == "slots" else sent.get(need[1])
    if None in (asked, free, total):
        return f"asked, free or total is missing: {told}"
    if asked < 1 or wanted is not None and (asked > wanted if grows else asked != wanted):
        return f"asked {asked} {need[1]}, the request said {wanted}"
    if total != totals[need[0]]:
        return f"total {total} {need[0]}, configured {totals[need[0]]}"
    if not 0 <= free < asked:
        return f"{free} free of {total}, but {asked} refused"
    return ""
