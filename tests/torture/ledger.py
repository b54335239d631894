# SPDX-License-Identifier: Apache-2.0
"""ledger.py - the record of an epoch: answers to clients, faults of the node, violations."""

import collections
import json
import threading
import time


class Violation(Exception):
    """A guarantee was violated; the text says which."""


class Ledger:
    """Shared by all threads of an epoch."""

    def __init__(self, say=lambda text: None):
        self.lock = threading.Lock()
        self.say = say
        self.began = time.monotonic()
        self.record = None
        self.outages = []           # [from, until or None]: when the daemon was down, or might die
        self.counts = collections.Counter()
        self.violations = []
        self.broken = threading.Event()
        # Of creates, by name (no name is used for two requests):
        self.uuid = {}              # acknowledged: name -> uuid
        self.refused = set()        # answered with an error
        self.unanswered = collections.Counter()
        # Of operations:
        self.ops = {}               # acknowledged: id -> (kind, uuid)
        self.requested = collections.Counter()      # (uuid, kind) -> acknowledged or unanswered
        self.answers = {}           # Idempotency-Key -> (method, path, body, status, bytes)
        self.harmed = {}            # uuid of a guest killed or powered off -> number of the newest event just before

    def record_to(self, file):
        """Write each later action to this file, one line of JSON each. None ends that."""
        with self.lock:
            self.record = file

    def did(self, who, what, **more):
        line = json.dumps({"after": round(time.monotonic() - self.began, 3), "who": who, "what": what, **more})
        with self.lock:
            if self.record:
                self.record.write(line + "\n")

    def out(self):
        """The daemon may be down from now on."""
        with self.lock:
            if not self.outages or self.outages[-1][1]:
                self.outages.append([time.monotonic(), None])

    def back(self):
        """The daemon answers, and no fault is armed that would end it."""
        with self.lock:
            if self.outages:
                self.outages[-1][1] = time.monotonic()

    def was_out(self, since):
        with self.lock:
            return any(until is None or until >= since for _, until in self.outages)

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def violation(self, text):
        with self.lock:
            self.violations.append(f"after {time.monotonic() - self.began:.1f} s: {text}")
        self.say(f"VIOLATION {text}")
        self.broken.set()

    # ------------------------------------------------------------ acknowledgements

    def acknowledge_create(self, name, uuid, op_id):
        with self.lock:
            self.refused.discard(name)
            was = self.uuid.setdefault(name, uuid)
            if op_id:
                self.ops[op_id] = ("create", uuid)
        if was != uuid:
            self.violation(f"create {name} was answered with {was} and with {uuid}")

    def acknowledge_op(self, kind, uuid, op_id, again=False):
        """@again: the key was used before, so the request is already counted (or was refused and only now succeeded)."""
        with self.lock:
            new = op_id not in self.ops
            self.ops[op_id] = (kind, uuid)
            self.requested[uuid, kind] += new or not again

    def note_unanswered(self, kind, uuid):
        with self.lock:
            self.requested[uuid, kind] += 1

    def same_answer(self, key, answer):
        """Every later answer under @key must equal the first."""
        with self.lock:
            was = self.answers.setdefault(key, (answer.status, answer.body))
        if was != (answer.status, answer.body):
            self.violation(f"Idempotency-Key {key} was answered {was[0]} {was[1][:300]!r}, then {answer.status} {answer.body[:300]!r}")

    def snapshot(self):
        with self.lock:
            return dict(self.uuid), dict(self.ops)

    def known(self):
        with self.lock:
            return list(self.uuid.values())

    def harm(self, uuid, seq):
        with self.lock:
            self.harmed[uuid] = seq
