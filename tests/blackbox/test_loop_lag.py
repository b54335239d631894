# SPDX-License-Identifier: Apache-2.0
"""No request holds the event loop for long; a handler that does is counted and named in the log."""

import json
import os
import random
import re
import socket
import threading
import time
from urllib.parse import urlsplit

from node import PREFIX, until

HELD = "the loop was blocked for"
FEW, MANY = 2500, 41000


def first_in_line(thread):
    """Give a thread priority over other tests and their guests, which are not measured here."""
    try:
        os.setpriority(os.PRIO_PROCESS, thread, -15)
    except PermissionError:
        pass


def metric(node, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", node.api("GET", "/metrics", prefix="").ok().text, re.MULTILINE)[1])


def held(node):
    return [line for line in node.log_path.read_text().splitlines() if HELD in line]


def long_numbers(n):
    """A manifest with @n numbers of 24 characters: each needs 16 or 17 digits."""
    rng = random.Random(1)
    numbers = ",".join(f"{rng.randint(1, 9)}.{rng.getrandbits(52):016d}e-{rng.randint(100, 299)}" for _ in range(n))
    compose = {"manifest_version": 2, "name": "numbers", "runner": "docker-compose",
               "docker_compose_file": "services:\n  web:\n    image: nginx:1.27\n"}
    return json.dumps({"name": "numbers", "compose_file": compose})[:-2] + f', "numbers": [{numbers}]}}}}'


class Request:
    """One request on a connection of its own, sent without its last byte."""

    def __init__(self, node, body):
        at = urlsplit(node.url)
        self.socket = socket.create_connection((at.hostname, at.port), timeout=60)
        head = (f"POST {PREFIX}/preflight HTTP/1.1\r\nHost: {at.netloc}\r\nX-API-Key: {node.key}\r\n"
                f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        self.socket.sendall(head.encode() + body.encode()[:-1])
        self.last = body.encode()[-1:]
        self.answer = b""

    def release(self):
        self.socket.sendall(self.last)

    def read(self):
        while chunk := self.socket.recv(65536):
            self.answer += chunk
        self.socket.close()


class Healthz:
    """Requests /healthz every 2 ms; keeps the longest time from one answer to the next."""

    def __init__(self, node):
        self.node, self.longest, self.n, self.over = node, 0, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        at = urlsplit(self.node.url)
        first_in_line(threading.get_native_id())
        with socket.create_connection((at.hostname, at.port), timeout=60) as s:
            answered = time.monotonic()
            while not self.over:
                time.sleep(0.002)
                s.sendall(f"GET /healthz HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
                assert b" 200 " in s.recv(4096)
                before, answered = answered, time.monotonic()
                self.longest = max(self.longest, answered - before)
                self.n += 1

    def __enter__(self):
        self.thread.start()
        until("/healthz answers", lambda: self.n > 10)
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def together(node, n, body):
    """Complete @n requests with the same body at once; returns the longest time of /healthz meanwhile."""
    requests = [Request(node, body) for _ in range(n)]
    with Healthz(node) as healthz:
        for request in requests:
            request.release()
        for request in requests:
            request.read()
    for request in requests:
        head, _, answer = request.answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0] and json.loads(answer)["fits"], request.answer[:600]
    return healthz.longest


def calm(attempt, tries=5):
    """True if one of the attempts is."""
    return any(attempt() for _ in range(tries))


def does_not_hold(node, n, body, healthz_s):
    before = metric(node, "teepod_loop_held_total")
    longest = together(node, n, body)
    return longest <= healthz_s and metric(node, "teepod_loop_held_total") == before


def test_preflights_full_of_long_numbers_do_not_hold_the_loop(spawn):
    node = spawn()
    first_in_line(node.process.pid)
    body = long_numbers(MANY)
    assert calm(lambda: does_not_hold(node, 25, body, 0.1)), held(node)


def test_many_smaller_requests_at_once_are_served_in_many_turns(spawn):
    """Each is too small for a job of its own; together they take more than half a second of the loop."""
    node = spawn()
    first_in_line(node.process.pid)
    body = long_numbers(FEW)
    assert calm(lambda: does_not_hold(node, 250, body, 10)), held(node)


def test_clients_that_leave_before_their_body_was_parsed_take_nothing_along(spawn):
    """Some leave while the job parses their body, most while they wait for it, the last ones while the daemon ends."""
    node = spawn()
    body = long_numbers(MANY)
    requests = [Request(node, body) for _ in range(8)]
    for request in requests:
        request.release()
        request.socket.close()
    together(node, 2, body)
    assert node.post("/preflight", data=body.encode()).ok()["fits"]
    for request in [Request(node, body) for _ in range(8)]:
        request.release()
    assert node.stop() == 0


def test_the_watchdog_is_fed_meanwhile(spawn):
    node = spawn(start=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(node.dir / "notify")
        notify.bind(path)
        notify.settimeout(30)
        node.start(NOTIFY_SOCKET=path, WATCHDOG_USEC="2000000")
        fed, over = [], threading.Event()

        def listen():
            while not over.is_set():
                if notify.recv(4096).decode().startswith("WATCHDOG=1"):
                    fed.append(time.monotonic())
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        until("the watchdog is fed", lambda: fed)
        together(node, 25, long_numbers(MANY))
        n = len(fed)
        until("it is fed once more", lambda: len(fed) > n, 60)
        over.set()
        thread.join()
        gaps = [b - a for a, b in zip(fed, fed[1:])]
        assert max(gaps) < 2, gaps


def test_a_handler_that_holds_the_loop_is_counted_and_named(spawn):
    node = spawn(environment={"TEEPOD_HOLD": f"GET {PREFIX}/os-images=150"})
    named = f"by GET {PREFIX}/os-images"
    node.get("/images").ok()
    assert not [line for line in held(node) if named in line]
    before = metric(node, "teepod_loop_held_total")
    node.get("/os-images").ok()
    until("a line in the log", lambda: [line for line in held(node) if named in line])
    assert len([line for line in held(node) if named in line]) == 1
    assert metric(node, "teepod_loop_held_total") == before + 1
    assert metric(node, "teepod_loop_turn_max_seconds") >= 0.149
    assert metric(node, 'teepod_loop_turn_seconds_bucket{le="+Inf"}') > before
