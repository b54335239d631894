# SPDX-License-Identifier: Apache-2.0
"""Checks of the command line, the configuration files and the database file."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from node import PROGRAM, ROOT, assert_consistent, refused, until


def teepod(*args, **how):
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=30, **how)


def test_version_and_help():
    done = teepod("--version")
    assert done.returncode == 0 and "0.1.0" in done.stdout
    done = teepod("--help")
    assert done.returncode == 0 and "--check-config" in done.stdout


@pytest.mark.parametrize("args", [["--nonsense"], ["-o"], ["stray"], ["--dev"], ["--check-config", "--check-db"]])
def test_a_bad_command_line_ends_with_2(args):
    done = teepod(*args)
    assert done.returncode == 2 and done.stderr


@pytest.mark.parametrize("text, line, output", [
    ("[node]\nnmae = x\n", 2, "nmae"),
    ("[nonsense]\nname = x\n", 1, "nonsense"),
    ("[node]\n\n; comment\nid = many\n", 4, "many"),
    ("[capacity]\nvcpus = -3\n", 2, "-3"),
    ("[ports]\nrange = 99999\n", 2, "99999"),
    ("[api]\nlisten = nowhere\n", 2, "nowhere"),
    ("[node]\nname\n", 2, ""),
])
def test_a_mistake_is_reported_with_file_and_line(tmp_path, text, line, output):
    conf = tmp_path / "t.conf"
    conf.write_text(text)
    done = teepod("--config", conf, "--check-config")
    assert done.returncode == 1
    assert f"{conf}:{line}" in done.stderr + done.stdout and output in done.stderr + done.stdout, done


def test_all_mistakes_are_reported_at_once(tmp_path):
    conf = tmp_path / "t.conf"
    conf.write_text("[node]\nid = a\n[capacity]\nslots = b\n[logs]\nlevel = c\n")
    done = teepod("--config", conf, "--check-config")
    output = done.stderr + done.stdout
    assert all(f"{conf}:{n}" in output for n in (2, 4, 6)), output


def test_a_missing_file_that_was_named_is_a_mistake(tmp_path):
    done = teepod("--config", tmp_path / "none.conf", "--check-config")
    assert done.returncode == 1 and "none.conf" in done.stderr + done.stdout


def test_options_override_drop_ins_which_override_the_file_and_origins_are_shown(tmp_path):
    conf = tmp_path / "t.conf"
    conf.write_text("[node]\nname = from-file\nregion = here\n[capacity]\nslots = 5\n")
    drop = tmp_path / "t.conf.d"
    drop.mkdir()
    (drop / "10.conf").write_text("[node]\nname = from-drop-in\n")
    (drop / "ignored.txt").write_text("[rubbish\n")
    done = teepod("--config", conf, "-o", "capacity.slots=7", "--print-config")
    assert done.returncode == 0, done
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}

    def line_of(key):
        return next(line for name, line in lines.items() if name.strip("[]:=") in (key, key.split(".")[1]))
    assert "from-drop-in" in line_of("node.name") and "10.conf" in line_of("node.name")
    assert "here" in line_of("node.region") and f"{conf}:3" in line_of("node.region")
    assert "7" in line_of("capacity.slots") and "-o" in line_of("capacity.slots")
    assert "default" in line_of("capacity.reserve_vcpus")


@pytest.mark.parametrize("option", ["nonsense", "node.nmae=x", "capacity.vcpus=x", "=x", "node.=x", ".name=x"])
def test_a_bad_option_is_refused(option):
    done = teepod("-o", option, "--check-config")
    assert done.returncode in (1, 2) and (done.stderr + done.stdout).strip()


@pytest.mark.parametrize("address", ["::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%lo", "[::1]", "2001:db8::1",
                                     "127.0.0.01", "127.1", "localhost", "224.0.0.1", "255.255.255.255", "0.0.0.1"])
@pytest.mark.parametrize("key", ["addresses", "default_address"])
def test_forwards_are_configured_on_addresses_that_qemu_can_forward_from(key, address):
    """Otherwise only the first start of a CVM with such a port would fail."""
    options = {"addresses": f"127.0.0.1, {address}"} | ({} if key == "addresses" else {"default_address": address})
    done = teepod(*(arg for name, value in options.items() for arg in ("-o", f"ports.{name}={value}")), "--check-config")
    assert done.returncode == 1, done
    assert f'[ports] {key}: "{address}" is not allowed' in done.stderr and "IPv4" in done.stderr, done.stderr


def test_the_shipped_configuration_is_what_the_program_explains(tmp_path):
    done = teepod("--help-config")
    assert done.returncode == 0
    assert done.stdout == (ROOT / "configs" / "teepod.conf").read_text()
    conf = tmp_path / "t.conf"
    conf.write_text("\n".join(line.removeprefix("#") if line.startswith("#") and " = " in line and not line.startswith("# ") else line
                              for line in done.stdout.splitlines()))
    assert teepod("--config", conf, "--check-config").returncode == 0


def test_a_file_configures_a_running_daemon(spawn, tmp_path):
    conf = tmp_path / "t.conf"
    conf.write_text("[capacity]\nslots = 3\n[cvm]\ntypes = tiny.one:1:64:1, tiny.two:2:128:1\n")
    node = spawn(start=False, arguments=["--config", str(conf)])
    del node.options["capacity.slots"]
    node.start()
    assert node.capacity()["slots"]["total"] == 3
    assert "tiny.two" in node.get("/instance-types").ok().text
    cvm = node.create(stopped=True, vcpu=None, memory=None, disk_size=None, instance_type="tiny.two")
    assert node.rows("select vcpus, memory_mib from cvms where uuid = ?", cvm.uuid) == [(2, 128)]


def test_sighup_takes_what_may_change_and_refuses_a_bad_file(spawn, tmp_path):
    conf = tmp_path / "t.conf"
    conf.write_text("[cvm]\ntypes = first.one:1:64:1\n")
    node = spawn(arguments=["--config", str(conf)])

    def types():
        return node.get("/instance-types").ok().text
    assert "first.one" in types()
    conf.write_text("[cvm]\ntypes = second.one:1:64:1\n[node]\nregion = elsewhere\n")
    node.process.send_signal(signal.SIGHUP)
    until("the new types are there", lambda: "second.one" in types(), 10)
    assert "first.one" not in types()
    until("what needs a restart is logged", lambda: "node.region" in node.log_tail(), 10)
    conf.write_text("[cvm]\ntypes = nonsense\n")
    node.process.send_signal(signal.SIGHUP)
    until("the mistake is logged", lambda: "nonsense" in node.log_tail(), 10)
    assert "second.one" in types()


def check(tmp_path, text):
    conf = tmp_path / "t.conf"
    conf.write_text(text)
    done = teepod("--check-config", "--config", conf)
    return done.returncode, done.stderr


@pytest.mark.parametrize("section, key", [("node", "state_dir"), ("images", "dir"), ("hypervisor", "embed_root"), ("hypervisor", "emulator"),
                                          ("cvm", "volumes_dir"), ("api", "tls_cert"), ("hypervisor", "qgs_socket")])
@pytest.mark.parametrize("value", ["/srv/a,b", '/srv/a"b', "/srv/a'b", "/srv/a\\b", '"/srv/a"'])
def test_a_path_with_a_comma_or_quote_is_refused_with_field_value_and_rule(tmp_path, section, key, value):
    status, output = check(tmp_path, f"[{section}]\n{key} = {value}\n")
    assert status == 1
    assert f't.conf:2: [{section}] {key}: "{value}" is not allowed: an absolute path without commas, quotes' in output, output


def test_a_folder_of_dev_and_a_uri_follow_the_same_rule(tmp_path):
    done = teepod("--check-config", "--dev", tmp_path / "a,b")
    assert done.returncode == 1 and "[node] state_dir" in done.stderr and "without commas" in done.stderr, done.stderr
    done = teepod("--check-config", "--hypervisor", "qemu:///embed?root=/srv/a,b")
    assert done.returncode == 1 and "[hypervisor] uri" in done.stderr and "/srv/a,b" in done.stderr, done.stderr


def test_a_key_given_twice_in_a_file_is_refused_unless_it_is_a_list(tmp_path):
    status, output = check(tmp_path, "[node]\nid = 1\n[ports]\nrange = 20000\nrange = 20001\n[node]\nid = 2\n")
    assert status == 1
    assert 't.conf:7: [node] id: "2": the key is already set in line 2; only a list may be set more than once in a file' in output, output
    assert "range" not in output
    # In a drop-in file it replaces the first value.
    (tmp_path / "t.conf.d").mkdir()
    (tmp_path / "t.conf.d" / "a.conf").write_text("[node]\nid = 2\n")
    assert check(tmp_path, "[node]\nid = 1\n") == (0, "")


def certificate(folder, name, days=10, kind=("rsa:2048",), not_before=None):
    """Create a self-signed certificate; negative @days: it has expired."""
    command = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", folder / f"{name}.key", "-subj", f"/CN={name}",
               "-out", folder / f"{name}.pem", "-days", "1"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "ca").mkdir(exist_ok=True)
    (folder / "ca" / "index").write_text("")
    config = folder / "ca" / "conf"
    config.write_text("[ca]\ndefault_ca = a\n[a]\nrand_serial = yes\ndefault_md = sha256\npolicy = p\n"
                      f"database = {folder}/ca/index\nnew_certs_dir = {folder}/ca\n[p]\ncommonName = supplied\n")
    start, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * d)) for d in sorted((not_before or -20, days)))
    request = folder / f"{name}.csr"
    subprocess.run(["openssl", "req", "-new", "-key", folder / f"{name}.key", "-subj", f"/CN={name}", "-out", request], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "ca", "-batch", "-config", config, "-selfsign", "-keyfile", folder / f"{name}.key", "-in", request, "-notext",
                    "-startdate", start, "-enddate", end, "-out", folder / f"{name}.pem"], check=True, capture_output=True)
    return folder / f"{name}.pem", folder / f"{name}.key"


def tls_lines(cert, key, more=""):
    return f"[api]\nlisten = 127.0.0.1:0\ntls_cert = {cert}\ntls_key = {key}\n{more}"


def test_certificates_that_can_not_serve_are_named_with_file_and_reason(tmp_path):
    good, expired, early = (certificate(tmp_path, "good"), certificate(tmp_path, "expired", days=-3),
                            certificate(tmp_path, "early", days=30, not_before=5))
    other_kind = certificate(tmp_path, "ec", kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
    assert check(tmp_path, tls_lines(*good)) == (0, "")
    for (cert, key), line, reason in (((expired[0], expired[1]), 3, f"tls_cert: {expired[0]}: the certificate /CN=expired has expired on 20"),
                                      ((early[0], early[1]), 3, f"tls_cert: {early[0]}: the certificate /CN=early is not valid before 20"),
                                      ((good[0], early[1]), 4, f"tls_key: {early[1]}: not the key of the certificate in tls_cert, {good[0]}"),
                                      ((good[0], other_kind[1]), 4, f"tls_key: {other_kind[1]}: not the key of the certificate"),
                                      ((good[0], tmp_path / "none"), 4, f"tls_key: {tmp_path / 'none'}: No such file"),
                                      ((tmp_path, good[1]), 3, f"tls_cert: {tmp_path}: ")):
        status, output = check(tmp_path, tls_lines(cert, key))
        assert status == 1 and f"t.conf:{line}: [api] {reason}" in output, output
    authorities = tmp_path / "authorities.pem"
    for names, status in ((("expired", "good"), 0), (("expired", "early"), 1)):
        authorities.write_text("".join((tmp_path / f"{name}.pem").read_text() for name in names))
        got, output = check(tmp_path, tls_lines(*good, f"tls_client = optional\ntls_client_ca = {authorities}\n"))
        assert got == status and (not status or f"t.conf:6: [api] tls_client_ca: {authorities}: the certificate" in output), output


def test_a_node_whose_certificate_has_expired_starts_and_warns(spawn, tmp_path):
    cert, key = certificate(tmp_path, "expired", days=-3)
    node = spawn(start=False, options={"api.tls_cert": cert, "api.tls_key": key})
    node.spawn()
    until("it listens", lambda: "listening on https" in node.log_tail(), 20)
    assert "warn  -o: [api] tls_cert:" in node.log_tail() and "has expired on" in node.log_tail()


def fds(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def resident_kib(node):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{node.process.pid}/status").read_text())[1])


def test_sighup_works_any_number_of_times(spawn, tmp_path):
    """Each reload is applied, none leaks memory or descriptors, and a good file after a bad one is applied."""
    conf = tmp_path / "t.conf"
    conf.write_text("")
    node = spawn(arguments=["--config", str(conf)])

    def reload(n):
        conf.write_text(f"[cvm]\ntypes = type.{n}:1:64:1\n[ports]\nrange = {20000 + n}\n[gpu]\nexclude = 00:{n % 32:02x}.0\n")
        node.process.send_signal(signal.SIGHUP)
        until(lambda: f"type.{n} is there: {node.log_tail(5)}", lambda: f'"type.{n}"' in node.get("/instance-types").text, 5, every=0.005)
    for n in range(60):
        reload(n)
    before = fds(node), resident_kib(node)
    for n in range(60, 560):
        reload(n)
        if n % 100 == 0:
            conf.write_text("[cvm]\ntypes = nonsense\n")
            node.process.send_signal(signal.SIGHUP)
            until("the mistake is logged", lambda: "nonsense" in node.log_tail(5), 10)
            assert f'"type.{n}"' in node.get("/instance-types").text
    until("connections and files are closed", lambda: fds(node) <= before[0], 5)
    assert resident_kib(node) - before[1] < 2048
    until("the last one is over", lambda: len(re.findall("info  configuration reloaded", node.log_tail(10000))) == 560, 5)
    assert len(re.findall("applied: cvm.types: ", node.log_tail(10000))) == 560, "what was applied, and nothing else"


def test_a_file_that_cannot_be_read_delays_no_request(spawn, tmp_path):
    """Opening a FIFO without a writer blocks. SIGHUPs that arrive meanwhile cause one reload, which reads the newest file."""
    conf = tmp_path / "t.conf"
    conf.write_text("")
    node = spawn(arguments=["--config", str(conf)])
    (tmp_path / "t.conf.d").mkdir()
    fifo = tmp_path / "t.conf.d" / "a.conf"
    os.mkfifo(fifo)
    node.process.send_signal(signal.SIGHUP)

    def reading():
        tasks = Path(f"/proc/{node.process.pid}/task").iterdir()
        return any((t / "wchan").read_text() in ("wait_for_partner", "fifo_open") for t in tasks)
    until("the file is being opened", reading, 5)
    assert node.get("/node", timeout=5).status == 200
    conf.write_text("[cvm]\ntypes = newest.one:1:64:1\n")
    for _ in range(3):
        node.process.send_signal(signal.SIGHUP)
        assert node.get("/node", timeout=5).status == 200
    fifo.rename(tmp_path / "fifo")
    with open(tmp_path / "fifo", "w") as f:
        f.write("# at last\n")
    until("the newest file is in effect", lambda: "newest.one" in node.get("/instance-types").text, 10)
    assert node.stop() == 0


def test_two_daemons_do_not_share_a_folder(spawn):
    node = spawn()
    done = subprocess.run(node.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and done.stderr
    assert node.get("/node").status == 200


def test_the_key_file_is_private_and_survives_restarts(spawn):
    node = spawn()
    path = node.dir / "admin.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (node.dir / "teepod.db").stat().st_mode & 0o077 == 0 or node.dir.stat().st_mode & 0o077 == 0
    before = path.read_text()
    node.restart()
    assert path.read_text() == before
    assert node.get("/node").status == 200


def test_keys_are_stored_hashed(spawn):
    node = spawn()
    node.stop()
    data = b"".join(p.read_bytes() for p in node.dir.glob("teepod.db*"))
    assert node.key.encode() not in data


# ------------------------------------------------------------------ the database file

def test_check_db_is_silent_about_a_good_file_and_loud_about_a_bad_one(spawn):
    node = spawn()
    node.create(stopped=True)
    code, output = node.check_db()
    assert code == 0, output
    node.stop()
    with closing(sqlite3.connect(node.database(), isolation_level=None)) as db:
        db.execute("update capacity set promised = promised + 1 where resource = 'vcpus'")
    code, output = node.check_db()
    assert code != 0 and "vcpus" in output


def test_reservations_are_counted_again_at_start(spawn):
    node = spawn()
    node.create(stopped=True)
    node.stop()
    with closing(sqlite3.connect(node.database(), isolation_level=None)) as db:
        db.execute("update capacity set promised = promised + 7 where resource = 'vcpus'")
    node.start()
    assert_consistent(node)


def test_a_damaged_database_is_not_served(spawn):
    node = spawn()
    node.create(stopped=True)
    node.stop()
    node.database().write_bytes(b"this is no database" * 1000)
    for path in node.dir.glob("teepod.db-*"):
        path.unlink()
    node.spawn()
    assert node.process.wait(30) != 0
    assert "teepod.db" in node.log_tail()


def test_a_newer_schema_is_refused_and_left_alone(spawn):
    node = spawn()
    cvm = node.create(stopped=True)
    node.stop()
    with closing(sqlite3.connect(node.database(), isolation_level=None)) as db:
        version, = db.execute("pragma user_version").fetchone()
        db.execute(f"pragma user_version = {version + 1}")
    before = node.database().read_bytes()
    node.spawn()
    assert node.process.wait(30) != 0
    assert str(version + 1) in node.log_tail() and "newer" in node.log_tail()
    assert node.database().read_bytes() == before
    with closing(sqlite3.connect(node.database(), isolation_level=None)) as db:
        db.execute(f"pragma user_version = {version}")
    node.start()
    assert node.uuids() == {cvm.uuid}


def test_the_database_may_be_copied_back(spawn):
    """A restored backup is served like any other database."""
    node = spawn()
    first = node.create(stopped=True)
    node.stop()
    shutil.copy(node.database(), node.dir / "backup")
    node.start()
    node.create(stopped=True)
    node.stop()
    for path in node.dir.glob("teepod.db-*"):
        path.unlink()
    os.replace(node.dir / "backup", node.database())
    node.start()
    assert node.uuids() == {first.uuid}
    assert_consistent(node)


def test_the_systemd_unit_names_the_installed_program():
    unit = (ROOT / "configs" / "teepod.service").read_text()
    assert "ExecStart=" in unit and "Type=notify" in unit
    assert Path(PROGRAM).exists()


def test_a_reserve_as_large_as_the_host_leaves_no_capacity(spawn):
    node = spawn(options={"capacity.vcpus": "auto", "capacity.reserve_vcpus": 100000})
    assert node.capacity()["vcpus"]["total"] == 0
    assert "capacity.reserve_vcpus is 100000" in node.log_tail(1000)
    refused(node.try_create(stopped=True), 400, "ERR-02-003")
