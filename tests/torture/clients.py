# SPDX-License-Identifier: Apache-2.0
"""clients.py - API clients that send random requests and record every answer."""

import contextlib
import http.client
import json
import random
import re
import sqlite3
import threading
import time

from model import BUSY, VERBS, true_numbers
from node import BOOT, COMPOSE

LISTS = ("/apps?page=1&page_size=50", "/node", "/operations?page_size=20", "/teepods/available", "/images")
VARIANTS = 8        # host ports that are requested by number: few, so that they collide


class Client:
    """One thread with its own random generator, so that a seed repeats each client's choices."""

    def __init__(self, number, seed, node, ledger, totals, deaf=lambda: False):
        self.number, self.node, self.ledger, self.totals = number, node, ledger, totals
        self.rng = random.Random(seed)
        self.made, self.keys = 0, []        # keys: (key, method, path, body, name of a create)
        self.deaf = deaf                    # True while errors of the server are expected
        self.stop = threading.Event()
        self.thread = None

    # ------------------------------------------------------------ life

    def thread_main(self):
        try:
            while not self.stop.is_set() and not self.ledger.broken.is_set():
                self._once()
                self.stop.wait(self.rng.choice((0, 0, 0.02, 0.1, 0.4)))
        except Exception as e:              # a dead client would test nothing
            self.ledger.violation(f"client {self.number} ended by {type(e).__name__}: {e}")

    def _once(self):
        known = self.ledger.known()
        chance = self.rng.random()
        if chance < 0.3 or not known:
            self._create()
        elif chance < 0.68:
            kind = self.rng.choices(list(VERBS), [v.weight for v in VERBS.values()])[0]
            self._verb(kind, self.rng.choice(known[-14:]))
        elif chance < 0.70:
            self._replicate(self.rng.choice(known[-14:]))
        elif chance < 0.76 and self.keys:
            self._repeat()
        elif chance < 0.82:
            self._cancel()
        elif chance < 0.88:
            self._preflight()
        else:
            self._read(self.rng.choice(known))

    def _request(self, method, path, body=None, key=None):
        """The answer, or None when the connection broke."""
        answer, began, error = None, time.monotonic(), ""
        try:
            answer = self.node.api(method, path, json=body, headers={"Idempotency-Key": key} if key else None, timeout=30)
        except TimeoutError:
            error = "no answer within 30 s"
            self.ledger.violation(f"{method} {path} was not answered within 30 s")
        except (OSError, http.client.HTTPException) as e:
            error = f"{type(e).__name__}: {e}"
            self.ledger.count("requests that broke off")
            if not self.ledger.was_out(began):
                self.ledger.violation(f"{method} {path} broke off while the daemon was up: {error}")
            self.stop.wait(0.05)
        self.ledger.did(f"client {self.number}", f"{method} {path}", body=body, key=key, took=round(time.monotonic() - began, 3),
                        error=error, status=answer and answer.status, operation=answer and answer.headers.get("x-operation-id"),
                        answer=answer and answer.text[:2000])
        return answer

    def _excused(self, answer):
        """True for the answer of a server that cannot write, or of one that is stopping: 503 with Retry-After."""
        if (answer.status == 503 and "retry-after" in answer.headers) or (answer.status in (500, 507) and self.deaf()):
            self.ledger.count(f"answers {answer.status}")
            return True
        return False

    # ------------------------------------------------------------ create

    def body(self):
        self.made += 1
        rng = self.rng
        fields = {"name": f"c{self.number}-{self.made:05d}", "image": BOOT, "vcpu": rng.choice((1, 1, 2, 3, 5)),
               "memory": rng.choice((32, 64, 128, 512)), "disk_size": rng.choice((1, 1, 2, 6)), "compose_file": dict(COMPOSE),
               "stopped": rng.random() < 0.6}
        if rng.random() < 0.4:
            fields["ports"] = [{"protocol": rng.choice(("tcp", "udp")), "vm_port": 80,
                             "host_port": rng.choice((0, self.node.port_first + rng.randrange(VARIANTS)))}]
        return fields

    def _create(self):
        fields = self.body()
        key = f"k-{fields['name']}" if self.rng.random() < 0.5 else None
        if key:
            self.keys.append((key, "POST", "/cvms", fields, "create", ""))
        if key and self.rng.random() < 0.2:
            return self._at_once(key, fields)
        self._created(fields, key, self._request("POST", "/cvms", fields, key))

    def _at_once(self, key, fields):
        """Send the same request twice at the same time: one effect, one answer."""
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self._request("POST", "/cvms", fields, key))) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.ledger.count("keys used twice at once")
        for answer in sorted(answers, key=lambda a: a is None or a.status):
            self._created(fields, key, answer)

    def _created(self, fields, key, answer):
        name, ledger = fields["name"], self.ledger
        if answer is None:
            with ledger.lock:
                ledger.unanswered[name] += 1
            return
        if answer.status == 200:
            ledger.count("creates acknowledged")
            if key:
                ledger.same_answer(key, answer)
            ledger.acknowledge_create(name, answer["vm_uuid"], answer.headers.get("x-operation-id"))
            return
        if self._excused(answer):
            return self._refused(name)
        body = answer.json if answer.body else {}
        code = body.get("error_code", "")
        if answer.status == 409 and code == "ERR-01-004":
            # Only an earlier attempt of this client can have used the name.
            if not ledger.unanswered[name] and name not in ledger.uuid:
                ledger.violation(f"create {name}: {answer}")
            return
        if answer.status not in (400, 409) or not code.startswith("ERR-02-"):
            return ledger.violation(f"create {name} was answered {answer}")
        wrong = true_numbers(body, fields, self.totals)
        if wrong:
            ledger.violation(f"refusal of {name}: {wrong}: {answer}")
        ledger.count("refusals")
        self._refused(name)

    def _refused(self, name):
        with self.ledger.lock:
            if name not in self.ledger.uuid and not self.ledger.unanswered[name]:
                self.ledger.refused.add(name)

    # ------------------------------------------------------------ what exists

    def _verb(self, kind, uuid, key=None, body=None):
        verb = VERBS[kind]
        if key is None:
            body = self.rng.choice(verb.bodies)(self.rng)
            if self.rng.random() < 0.3:
                key = f"k-{self.number}-{len(self.keys)}"
                self.keys.append((key, verb.method, f"/cvms/{uuid}{verb.path}", body, kind, uuid))
        answer = self._request(verb.method, f"/cvms/{uuid}{verb.path}", body, key)
        self._done(kind, uuid, key, body or {}, answer)

    def _busy_or_gone(self, what, uuid, answer):
        """True if the refusal says that the CVM is busy or gone; the statement is checked. A CVM that is being deleted has no
        replicas, like one that is gone (ERR-03-008)."""
        if answer.status == 404:
            deleted = "select cvm from operations where kind = 'delete' and state in ('queued', 'running')"
            there = "select uuid from cvms where uuid = ?" + (f" and id not in ({deleted})" if "ERR-03-008" in answer.text else "")
            with contextlib.suppress(sqlite3.OperationalError):     # the WAL is being recovered, see Watcher.check()
                if self.node.rows(there, uuid):
                    self.ledger.violation(f"{what} {uuid} was answered {answer}, and it is there")
        elif answer.status != 409:
            return False
        elif not any(text in answer.text for text in BUSY):
            self.ledger.violation(f"{what} {uuid} was answered {answer}")
        self.ledger.count("busy or gone")
        return True

    def _done(self, kind, uuid, key, body, answer, again=False):
        ledger, verb = self.ledger, VERBS[kind]
        if answer is None:
            return None if key in ledger.answers else ledger.note_unanswered(kind, uuid)
        if answer.status == verb.status:
            op_id = answer.headers.get("x-operation-id")
            if not op_id:
                return ledger.violation(f"{kind} {uuid} names no operation: {answer}")
            ledger.count(f"{kind}s acknowledged")
            if key:
                ledger.same_answer(key, answer)
            return ledger.acknowledge_op(kind, uuid, op_id, again)
        if self._excused(answer):
            return
        if self._busy_or_gone(kind, uuid, answer):
            return
        code = answer.json.get("error_code", "") if answer.body else ""
        if verb.grows and answer.status == 400 and code.startswith("ERR-02-"):
            wrong = true_numbers(answer.json, body, self.totals, grows=True)
            if wrong:
                ledger.violation(f"refusal of {kind}: {wrong}: {answer}")
            return ledger.count("refusals")
        if answer.status == 400 and any(text in answer.text for text in verb.refusals):
            return ledger.count("refusals")
        ledger.violation(f"{kind} {uuid} was answered {answer}")

    def _replicate(self, uuid, compose_hash=None):
        """The node chooses the name, so only acknowledged replicas are known. An app whose CVMs were upgraded one by one has several
        revisions: the refusal lists them, and the same request with one of them is not ambiguous."""
        body = {"stopped": self.rng.random() < 0.7} | ({"compose_hash": compose_hash} if compose_hash else {})
        answer = self._request("POST", f"/cvms/{uuid}/replicas", body)
        if answer is None or self._excused(answer) or self._busy_or_gone("replica of", uuid, answer):
            return
        if answer.status == 400 and answer.json.get("error_code") == "ERR-03-009":
            return self._replicate_one_of(uuid, answer, compose_hash)
        if answer.status == 200:
            self.ledger.count("replicas acknowledged")
            return self.ledger.acknowledge_create(answer["name"], answer["vm_uuid"], answer.headers.get("x-operation-id"))
        code = answer.json.get("error_code", "") if answer.body else ""
        wrong = true_numbers(answer.json, {}, self.totals) if answer.status == 400 and code.startswith("ERR-02-") else "unknown refusal"
        if wrong:
            return self.ledger.violation(f"replica of {uuid}: {wrong}: {answer}")
        self.ledger.count("refusals")

    def _replicate_one_of(self, uuid, answer, asked):
        hashes = set(re.findall(r"\b[0-9a-f]{64}\b", answer.json["message"]))
        if asked is None and len(hashes) < 2:
            return self.ledger.violation(f"replica of {uuid}: ambiguous among {len(hashes)} revisions: {answer}")
        if asked in hashes:
            return self.ledger.violation(f"replica of {uuid}: {asked} was named and is one of them: {answer}")
        self.ledger.count("refusals")
        # Another client may upgrade the last CVM of the revision meanwhile; the second refusal then does not list it.
        if asked is None:
            self._replicate(uuid, self.rng.choice(sorted(hashes)))

    def _repeat(self):
        key, method, path, body, kind, uuid = self.rng.choice(self.keys[-40:])
        ledger = self.ledger
        with ledger.lock:
            before = ledger.answers.get(key)
            ledger.refused.discard((body or {}).get("name"))    # it may fit now
        if before and kind == "create" and self.rng.random() < 0.15:
            return self._other_body(key, method, path, body)
        ledger.count("keys repeated")
        answer = self._request(method, path, body, key)
        if before and answer is not None and answer.status != before[0] and not self._excused(answer):
            return ledger.violation(f"{key} was answered {before[0]}, now {answer}")
        if kind == "create":
            self._created(body, key, answer)
        else:
            self._done(kind, uuid, key, body or {}, answer, again=True)

    def _other_body(self, key, method, path, body):
        answer = self._request(method, path, {**body, "memory": body["memory"] + 1}, key)
        if answer is not None and answer.status != 409 and not self._excused(answer):
            self.ledger.violation(f"another body under {key} was answered {answer}")

    def _cancel(self):
        answer = self._request("GET", "/operations?state=running")
        if answer is None or self._excused(answer):
            return
        if answer.status != 200:
            return self.ledger.violation(f"GET /operations was answered {answer}")
        if not answer["items"]:
            return
        op = self.rng.choice(answer["items"])["id"]
        answer = self._request("DELETE", f"/operations/{op}")
        if answer is None or answer.status in (404, 409) or self._excused(answer):
            return
        self.ledger.count("cancels")
        if answer.status != 202:
            self.ledger.violation(f"cancel of {op} was answered {answer}")

    def _preflight(self):
        fields = {key: value for key, value in self.body().items() if key != "stopped"}
        answer = self._request("POST", "/preflight", fields)
        if answer is None or self._excused(answer):
            return
        self.ledger.count("preflights")
        with self.ledger.lock:
            self.ledger.refused.add(fields["name"])    # a preflight creates nothing
        if answer.status != 200 or not isinstance(answer["fits"], bool):
            return self.ledger.violation(f"preflight was answered {answer}")
        wrong = "" if answer["fits"] else true_numbers(answer["error"], fields, self.totals)
        if wrong:
            self.ledger.violation(f"preflight: {wrong}: {answer}")

    def _read(self, uuid):
        path = self.rng.choice((f"/cvms/{uuid}", *LISTS))
        answer = self._request("GET", path)
        if answer is None or self._excused(answer):
            return
        self.ledger.count("reads")
        if answer.status not in ((200, 404) if path.startswith("/cvms/") else (200,)):
            return self.ledger.violation(f"GET {path} was answered {answer}")
        if path == "/node":
            for row in json.loads(answer.body)["capacity"]:
                if row["total"] is not None and row["promised"] > row["total"]:
                    self.ledger.violation(f"/node reports more reserved than the total: {row}")
