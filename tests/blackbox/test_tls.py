# SPDX-License-Identifier: Apache-2.0
"""Listeners: TLS, unix sockets with peer credentials, sockets from systemd, reload and drain."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from node import PREFIX, PROGRAM, Node, free_port, until
from test_log_links import link_of, opened
from test_logs import written_before


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """An authority, a server and a client certificate of it, and a client certificate of another authority."""
    d = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "stranger"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={ca}",
                "-keyout", d / f"{ca}.key", "-out", d / f"{ca}.pem")
    for name, ca, extra in (("server", "ca", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("second", "ca", "subjectAltName=IP:127.0.0.1"),
                            ("alice", "ca", "extendedKeyUsage=clientAuth"), ("mallory", "stranger", "extendedKeyUsage=clientAuth")):
        (d / f"{name}.ext").write_text(extra + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", d / f"{name}.key",
                "-out", d / f"{name}.csr")
        openssl("x509", "-req", "-in", d / f"{name}.csr", "-CA", d / f"{ca}.pem", "-CAkey", d / f"{ca}.key", "-CAcreateserial", "-days", 2,
                "-extfile", d / f"{name}.ext", "-out", d / f"{name}.pem")
    return d


def client(pki, cert=None, version=None):
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    if cert:
        context.load_cert_chain(pki / f"{cert}.pem", pki / f"{cert}.key")
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


def tls_options(pki, **more):
    return {"api.tls_cert": pki / "server.pem", "api.tls_key": pki / "server.key", **more}


@pytest.fixture
def tls_node(pki, spawn):
    def make(**options):
        node = spawn(start=False, options=tls_options(pki, **options))
        node._tls = client(pki, "alice" if options.get("api.tls_client") == "required" else None)
        return node.start()
    return make


def handshake(node, context):
    host, port = node.url.split("://")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        with context.wrap_socket(raw, server_hostname=host) as s:
            s.sendall(f"GET {PREFIX}/auth/me HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {node.key}\r\nConnection: close\r\n\r\n".encode())
            got = b""
            while piece := s.recv(65536):
                got += piece
            return s.version(), got, s.getpeercert()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_3_and_1_2_are_spoken_and_nothing_older(pki, tls_node):
    node = tls_node()
    assert node.url.startswith("https://")
    for version, name in ((ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")):
        spoken, got, _ = handshake(node, client(pki, version=version))
        assert spoken == name and got.startswith(b"HTTP/1.1 200")
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(node, client(pki, version=version))


@pytest.fixture(scope="session")
def rsa(pki):
    """A server certificate with an RSA key: only with it are suites without ephemeral keys possible."""
    (pki / "rsa.ext").write_text("subjectAltName=IP:127.0.0.1\nkeyUsage=digitalSignature,keyEncipherment\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa", "-keyout", pki / "rsa.key", "-out", pki / "rsa.csr")
    openssl("x509", "-req", "-in", pki / "rsa.csr", "-CA", pki / "ca.pem", "-CAkey", pki / "ca.key", "-CAcreateserial", "-days", 2,
            "-extfile", pki / "rsa.ext", "-out", pki / "rsa.pem")
    return {"api.tls_cert": pki / "rsa.pem", "api.tls_key": pki / "rsa.key"}


def s_client(node, *args, say=""):
    """What openssl s_client prints about one handshake."""
    at = node.url.split("://")[1]
    return subprocess.run(["openssl", "s_client", "-connect", at, *args], input=say, capture_output=True, text=True, timeout=20)


def suite_of(done):
    """The suite agreed on; None after a refused handshake."""
    found = re.search(r"^New, TLSv\S+, Cipher is (\S+)$", done.stdout, re.MULTILINE)
    return None if not found or "handshake failure" in done.stderr else found[1]


def suites(mask):
    """Names of all suites of TLS 1.2 that this openssl can offer and that @mask selects."""
    listed = subprocess.run(["openssl", "ciphers", "-tls1_2", "-s", f"{mask}:!PSK:!SRP:@SECLEVEL=0"], capture_output=True, text=True,
                            check=True)
    return [name for name in listed.stdout.strip().split(":") if not name.startswith("TLS_")]


def suite_agreed(node, name):
    """The suite of a TLS 1.2 handshake that offers only @name; None when it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{name}:@SECLEVEL=0")
    host, port = node.url.split("://")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        try:
            with context.wrap_socket(raw) as s:
                return s.cipher()[0]
        except ssl.SSLError as e:
            assert e.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE", (name, e)
            return None


@pytest.mark.parametrize("key", ["ecdsa", "rsa"])
def test_tls_1_2_has_forward_secrecy_and_authenticated_encryption(rsa, tls_node, key):
    """Every suite that openssl can offer is tried, one handshake each."""
    node = tls_node(**(rsa if key == "rsa" else {}))
    allowed = set(suites("ECDHE+AESGCM:ECDHE+CHACHA20"))
    offered = suites("ALL:COMPLEMENTOFALL")
    taken = {name for name in offered if suite_agreed(node, name) == name}
    assert len(offered) > 50
    assert taken and taken <= allowed, f"taken besides: {sorted(taken - allowed)}"
    assert {name.split("-")[1] for name in taken} == {key.upper()}


def test_tls_1_2_is_not_renegotiated(tls_node):
    node = tls_node()
    done = s_client(node, "-tls1_2", say="R\n")
    assert "RENEGOTIATING" in done.stdout + done.stderr and "no renegotiation" in done.stderr, done
    assert node.api("GET", "/healthz", prefix="", key=None).status == 200


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused_to_openssl_too(rsa, tls_node, version):
    done = s_client(tls_node(**rsa), version, "-cipher", "ALL:@SECLEVEL=0")
    assert suite_of(done) in (None, "(NONE)") and "alert protocol version" in done.stderr, done


def test_plain_http_to_a_tls_port_gets_no_answer_of_ours(tls_node):
    node = tls_node()
    assert b"200" not in node.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert node.api("GET", "/healthz", prefix="", key=None).status == 200


def test_client_certificates_required(pki, tls_node):
    node = tls_node(**{"api.tls_client": "required", "api.tls_client_ca": pki / "ca.pem"})
    _, got, _ = handshake(node, client(pki, "alice"))
    assert got.startswith(b"HTTP/1.1 200")
    for cert in (None, "mallory"):
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            _, got, _ = handshake(node, client(pki, cert))
            assert got


def test_a_verified_certificate_is_a_credential(pki, tls_node):
    node = tls_node(**{"api.tls_client": "optional", "api.tls_client_ca": pki / "ca.pem"})
    node._tls = client(pki, "alice")
    assert node.get("/node", key=None).status == 200
    node._tls = client(pki)
    assert node.get("/node", key=None).status == 401
    assert node.get("/node").status == 200, "the key works without a certificate"


def test_a_web_page_can_not_use_the_certificate_of_its_reader(pki, tls_node):
    node = tls_node(**{"api.tls_client": "optional", "api.tls_client_ca": pki / "ca.pem", "api.cert_role": "operator"})
    node._tls = client(pki, "alice")
    forged = {"Origin": "https://elsewhere.example", "Content-Type": "text/plain"}
    assert node.post("/cvms", json=node.create_body(stopped=True), key=None, headers=forged).status == 403
    assert node.uuids() == set()
    assert node.get("/node", key=None, headers=forged).status == 200
    assert node.post("/cvms", json=node.create_body(stopped=True), key=None).status == 200
    assert node.post("/cvms", json=node.create_body(stopped=True), headers=forged).status == 200


def ends(pki, name):
    """The end of a certificate in the format of this API."""
    out = subprocess.run(["openssl", "x509", "-in", pki / f"{name}.pem", "-noout", "-enddate"], check=True, capture_output=True, text=True)
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(ssl.cert_time_to_seconds(out.stdout.strip().partition("=")[2])))


def test_a_token_that_a_certificate_makes_ends_with_the_certificate(pki, tls_node):
    node = tls_node(**{"api.tls_client_ca": pki / "ca.pem", "api.tls_client": "required", "api.cert_role": "operator"})
    made = node.post("/tokens", json={"name": "ci", "role": "operator"}, key=None).ok()
    assert made["expires_at"] == ends(pki, "alice")
    no = node.post("/tokens", json={"name": "ci", "role": "operator", "expires_at": "2100-01-01T00:00:00Z"}, key=None)
    assert no.status == 403 and "expires_at" in no.text, no


def test_a_certificate_that_expires_on_an_open_connection_opens_nothing(pki, spawn, tmp_path):
    clock = tmp_path / "clock"
    node = spawn(start=False, environment={"TEEPOD_CLOCK_FILE": str(clock)},
                 options=tls_options(pki, **{"api.tls_client_ca": pki / "ca.pem", "api.tls_client": "required"}))
    node._tls = client(pki, "alice")
    node.start()
    connection = node.connection()

    def status(headers):
        connection.request("GET", f"{PREFIX}/node", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    events = node.connection(timeout=10)    # less than the time between two heartbeats
    events.request("GET", f"{PREFIX}/events", headers={"Accept": "text/event-stream"})
    followed = events.getresponse()
    assert status({}) == 200
    clock.write_text(str(3 * 24 * 3600))
    assert status({}) == 401
    assert status({"X-API-Key": node.key}) == 200
    followed.read()
    connection.close()


def test_a_log_link_ends_with_the_certificate_that_requested_it(pki, spawn, tmp_path):
    clock = tmp_path / "clock"
    node = spawn(start=False, environment={"TEEPOD_CLOCK_FILE": str(clock)},
                 options=tls_options(pki, **{"api.tls_client_ca": pki / "ca.pem", "api.tls_client": "optional"}))
    node._tls = client(pki)
    node.start()
    cvm = written_before(node)
    shown = subprocess.run(["openssl", "x509", "-in", str(pki / "alice.pem"), "-noout", "-enddate"], check=True, capture_output=True, text=True)
    end = ssl.cert_time_to_seconds(shown.stdout.strip().partition("=")[2]) - int(time.time())
    clock.write_text(str(end - 3600))
    node._tls = client(pki, "alice")
    links = [link_of(node, cvm, key) for key in (None, node.key)]
    node._tls = client(pki)
    assert [opened(node, link).status for link in links] == [200, 200]
    clock.write_text(str(end + 1))
    assert [opened(node, link).status for link in links] == [401, 200]


def test_a_certificates_long_name_stays_whole(pki, tls_node):
    name = "x" + "\u00e9" * 30
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8", "-subj", f"/CN={name}",
            "-keyout", pki / "long.key", "-out", pki / "long.csr")
    openssl("x509", "-req", "-in", pki / "long.csr", "-CA", pki / "ca.pem", "-CAkey", pki / "ca.key", "-CAcreateserial", "-days", 2,
            "-extfile", pki / "alice.ext", "-out", pki / "long.pem")
    node = tls_node(**{"api.tls_client": "optional", "api.tls_client_ca": pki / "ca.pem"})
    node._tls = client(pki, "long")
    assert node.get("/auth/me", key=None).ok()["user"]["username"] == f"cert:{name}"


def test_a_certificates_name_is_escaped_in_records(pki, tls_node):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8", "-subj", "/CN=x\x1b[31m\x9b\u202eroot",
            "-keyout", pki / "odd.key", "-out", pki / "odd.csr")
    openssl("x509", "-req", "-in", pki / "odd.csr", "-CA", pki / "ca.pem", "-CAkey", pki / "ca.key", "-CAcreateserial", "-days", 2,
            "-extfile", pki / "alice.ext", "-out", pki / "odd.pem")
    node = tls_node(**{"api.tls_client": "optional", "api.tls_client_ca": pki / "ca.pem", "api.cert_role": "operator"})
    node._tls = client(pki, "odd")
    made = node.post("/cvms", json=node.create_body(stopped=True), key=None).ok()["operation_id"]
    assert node.get(f"/operations/{made}").ok()["caller"] == "cert:x\\x1b[31m\\u{9b}\\u{202e}root"


def test_large_answers_and_bodies_go_through_tls(tls_node):
    node = tls_node()
    for n in range(40):
        node.create(stopped=True, name=f"wide-{n:02}")
    body = node.get("/apps?page=1&page_size=100").ok()
    assert len(body.json["dstack_apps"]) == 40 and len(body.body) > 32768
    node.create(stopped=True, compose_file={"docker_compose_file": "services: {web: {image: x}}\n#" + "x" * 150000})


def test_sighup_takes_a_new_certificate_and_keeps_the_old_when_the_new_is_bad(pki, tls_node, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for src, dst in (("server.pem", cert), ("server.key", key)):
        dst.write_bytes((pki / src).read_bytes())
    node = tls_node(**{"api.tls_cert": cert, "api.tls_key": key})

    def name():
        return dict(row[0] for row in handshake(node, client(pki))[2]["subject"])["commonName"]
    assert name() == "server"
    old = http.client.HTTPSConnection("127.0.0.1", int(node.url.rsplit(":", 1)[1]), context=client(pki), timeout=10)
    old.request("GET", "/healthz")
    old.getresponse().read()
    for src, dst in (("second.pem", cert), ("second.key", key)):
        dst.write_bytes((pki / src).read_bytes())
    node.process.send_signal(signal.SIGHUP)
    until("the new certificate is shown", lambda: name() == "second", 10)
    old.request("GET", "/healthz")
    assert old.getresponse().status == 200, "an open connection lives on"
    cert.write_text("rubbish\n")
    node.process.send_signal(signal.SIGHUP)
    until("the reload is refused", lambda: "not reloaded, the old" in node.log_tail(), 10)
    assert name() == "second" and node.process.poll() is None


def test_plain_http_beyond_loopback_is_refused_at_start():
    for address in ("0.0.0.0:0", "[::]:0", "10.0.0.1:0"):
        done = subprocess.run([PROGRAM, "--dev", "/tmp/tp-never", "--listen", address, "--check-config"], capture_output=True, text=True,
                              timeout=20)
        assert done.returncode == 1 and "tls_cert" in done.stderr + done.stdout, done


# ------------------------------------------------------------------ unix sockets

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def over_unix(path, target, headers=None):
    connection = UnixConnection(path)
    try:
        connection.request("GET", target, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_unix_socket_knows_its_peer(spawn):
    node = spawn(start=False)
    path = node.dir / "s"
    node.listen = ("127.0.0.1:0", f"unix:{path}")
    node.options["api.unix_admin_uids"] = os.getuid()
    node.options["api.unix_mode"] = "0600"
    node.start()
    assert path.stat().st_mode & 0o777 == 0o600
    status, body = over_unix(path, f"{PREFIX}/node")
    assert status == 200, body
    status, _ = over_unix(path, f"{PREFIX}/node", {"X-API-Key": "wrong"})
    assert status == 401


def test_an_unknown_uid_needs_a_key(spawn):
    node = spawn(start=False)
    path = node.dir / "s"
    node.listen = ("127.0.0.1:0", f"unix:{path}")
    node.options["api.unix_admin_uids"] = 4242
    node.start()
    assert over_unix(path, f"{PREFIX}/node")[0] == 401
    assert over_unix(path, f"{PREFIX}/node", {"X-API-Key": node.key})[0] == 200


def test_streams_of_a_uid_end_when_its_role_is_lowered(spawn, tmp_path):
    conf = tmp_path / "t.conf"

    def allow(role):
        conf.write_text(f"[api]\nunix_admin_uids = 4242\nunix_role = {role}\n")
    allow("operator")
    node = spawn(start=False, arguments=["--config", str(conf)])
    path = node.dir / "s"
    node.listen = ("127.0.0.1:0", f"unix:{path}")
    node.start()
    connection = UnixConnection(path)
    connection.request("GET", f"{PREFIX}/events", headers={"Accept": "text/event-stream"})
    followed = connection.getresponse()
    assert followed.status == 200
    allow("reader")
    node.process.send_signal(signal.SIGHUP)
    followed.read()
    connection.close()
    assert over_unix(path, f"{PREFIX}/node")[0] == 200


def test_a_stale_unix_socket_is_taken_over_and_a_live_one_is_not(spawn):
    node = spawn(start=False)
    path = node.dir / "s"
    node.listen = ("127.0.0.1:0", f"unix:{path}")
    node.options["api.unix_admin_uids"] = os.getuid()
    node.start()
    node.kill()
    assert path.exists()
    node.start()
    assert over_unix(path, f"{PREFIX}/node")[0] == 200
    other = spawn(start=False)
    other.listen = (f"unix:{path}",)
    other.spawn()
    assert other.process.wait(30) != 0
    assert over_unix(path, f"{PREFIX}/node")[0] == 200


# ------------------------------------------------------------------ systemd

LAUNCHER = """
import os, socket, sys
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(64)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
if s.fileno() != 3:
    s.close()
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_handed_over_by_systemd_are_served(spawn):
    node = spawn(start=False)
    port = free_port()
    node.lend_capabilities()
    with open(node.log_path, "ab") as log:
        node.process = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(port), *node.command()], stdout=log, stderr=log)
    node.answers().ready()
    node.url = f"http://127.0.0.1:{port}"
    assert node.get("/node").status == 200


def test_the_service_manager_is_notified_of_start_and_stop(spawn):
    node = spawn(start=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(node.dir / "notify")
        notify.bind(path)
        notify.settimeout(30)
        messages = []

        def listen():
            try:
                while True:
                    messages.append(notify.recv(4096).decode())
            except OSError:
                pass
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        node.start(NOTIFY_SOCKET=path, WATCHDOG_USEC="2000000", WATCHDOG_PID="")
        until("READY", lambda: any("READY=1" in s for s in messages))
        node.process.send_signal(signal.SIGHUP)
        until("RELOADING", lambda: any("RELOADING=1" in s for s in messages))
        assert node.stop() == 0
        until("STOPPING", lambda: any("STOPPING=1" in s for s in messages))


# ------------------------------------------------------------------ the end

def test_sigterm_answers_what_is_under_way_and_takes_nothing_new(spawn):
    node = spawn()
    cvm = node.create()
    cvm.request("shutdown", timeout=60).ok()
    op = cvm.operations()[0]
    result = {}

    def wait():
        try:
            result["answer"] = node.get(f"/operations/{op['id']}?wait=50", timeout=60)
        except Exception as e:  # reported by the test below
            result["error"] = e
    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.3)
    began = time.monotonic()
    node.process.terminate()
    until("no new connections", lambda: not accepts(node), 10)
    waiter.join(40)
    assert "answer" in result, result
    assert result["answer"].status in (200, 503)
    assert node.process.wait(40) == 0
    assert time.monotonic() - began < 40
    node.start()
    assert cvm.pids(), "the guest is still up"
    cvm.request("stop")
    node.settled()


def accepts(node):
    host, port = node.url.split("://")[1].split(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return True
    except OSError:
        return False


def test_event_streams_end_at_sigterm(spawn):
    from test_events import Stream

    node = spawn()
    with Stream(node, "/events") as stream:
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 20
        until("the stream ended", lambda: stream.ended, 5)


def test_idle_keep_alive_connections_do_not_hold_the_end_up(spawn):
    node = spawn()
    connections = [node.connection() for _ in range(20)]
    for c in connections:
        c.request("GET", "/healthz")
        c.getresponse().read()
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < 10


