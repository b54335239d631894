# SPDX-License-Identifier: Apache-2.0
"""unit_sandbox.py - what configs/teepod.service forbids the daemon, applied without systemd.

These settings of the unit: SystemCallFilter, RestrictAddressFamilies, MemoryDenyWriteExecute,
NoNewPrivileges, ProtectSystem, and DevicePolicy with DeviceAllow. The device filter is a BPF program
in a control group (version 2), as systemd makes it. Its other namespaces need systemd itself.
"""

import configparser
import ctypes
import errno
import os
import socket
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

from node import ROOT

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
EQUAL = 4
# System call numbers of x86-64.
SYS_BPF, SYS_MOUNT_SETATTR = 321, 442
BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE = 5, 8, 15, 6
BPF_F_ALLOW_MULTI = 2
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
# Devices that DevicePolicy=closed allows.
STANDARD_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
VHOST_VSOCK = os.makedev(10, 241)


class Argument(ctypes.Structure):
    """struct scmp_arg_cmp"""
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


class Repeated(dict):
    """A key that is given again adds to its earlier values, as in a unit."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def service():
    unit = configparser.RawConfigParser(strict=False, dict_type=Repeated, delimiters="=",
                                        comment_prefixes="#")
    unit.optionxform = str
    unit.read(ROOT / "configs" / "teepod.service")
    return {key: value.split("\n") for key, value in unit["Service"].items()}


def expand(group):
    """System calls of a group like @system-service."""
    if not group.startswith("@"):
        return {group}
    done = subprocess.run(["systemd-analyze", "syscall-filter", group], stdout=subprocess.PIPE, text=True,
                          check=True)
    names = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    return set().union(*(expand(name) for name in names if not name.startswith("#")))


def allowed_calls(lines):
    allowed = expand("@default")
    for line in lines:
        named = set().union(*(expand(name) for name in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def instruction(code, dst=0, src=0, offset=0, immediate=0):
    return struct.pack("<BBhi", code, dst | src << 4, offset, immediate)


def device_program(devices):
    """BPF: r2 and r3 are the major and minor number; returns 1 for those of @devices, else 0."""
    code = instruction(0x61, 2, 1, 4) + instruction(0x61, 3, 1, 8)
    for device in devices:
        code += instruction(0x55, 2, 0, 3, os.major(device)) + instruction(0x55, 3, 0, 2, os.minor(device))
        code += instruction(0xB7, immediate=1) + instruction(0x95)
    return code + instruction(0xB7) + instruction(0x95)


class DeviceFilter:
    """A control group whose members can only use @devices."""

    def __init__(self, libc, devices):
        """OSError where there is no control group of version 2, or no BPF for it."""
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
        if not roots:
            raise OSError("no control groups of version 2")
        self.libc, self.folder = libc, Path(tempfile.mkdtemp(prefix="teepod-test-", dir=roots[0]))
        try:
            self._attach(device_program(devices))
        except OSError:
            self.close()
            raise

    def _bpf(self, command, attributes):
        number = self.libc.syscall(SYS_BPF, command, attributes, len(attributes))
        if number < 0:
            raise OSError(ctypes.get_errno(), "bpf")
        return number

    def _attach(self, program):
        code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"Apache-2.0")
        loaded = self._bpf(BPF_PROG_LOAD, struct.pack(
            "<IIQQIIQII", BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code),
            ctypes.addressof(licence), 0, 0, 0, 0, 0))
        group = os.open(self.folder, os.O_RDONLY)
        try:
            self._bpf(BPF_PROG_ATTACH, struct.pack("<IIII", group, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI))
        finally:
            os.close(group)
            os.close(loaded)

    def enter(self):
        (self.folder / "cgroup.procs").write_text("0")

    def close(self):
        self.folder.rmdir()


def devices_of(unit):
    assert unit["DevicePolicy"] == ["closed"]
    named = [f"/dev/{name}" for name in STANDARD_DEVICES] + [line.split()[0] for line in unit["DeviceAllow"]]
    return [os.stat(path).st_rdev for path in named if os.path.exists(path)]


class Sandbox:
    def __init__(self):
        """OSError where libseccomp or systemd-analyze is missing."""
        unit = service()
        self.seccomp, self.libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None, use_errno=True)
        self.seccomp.seccomp_init.restype = ctypes.c_void_p
        self.families = [getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()]
        self.socket = self._number("socket")
        numbers = map(self._number, allowed_calls(unit["SystemCallFilter"]))
        self.numbers = [number for number in numbers if number >= 0 and number != self.socket]
        self.deny_exec = unit["MemoryDenyWriteExecute"] == ["yes"]
        assert self.deny_exec and unit["NoNewPrivileges"] == ["yes"] and len(self.numbers) > 100
        assert unit["ProtectSystem"] == ["strict"]
        self.devices, self.why_no_devices = None, ""
        try:
            self.devices = DeviceFilter(self.libc, devices_of(unit))
        except OSError as e:
            self.why_no_devices = str(e)

    def close(self):
        if self.devices:
            self.devices.close()

    def confine(self, node, with_vsock=False, beside=None):
        """The next start of @node's daemon is in the sandbox. @with_vsock: /dev/vhost-vsock exists there,
        whether the machine has it or not. @beside: it sees the files that this process sees."""
        who = node.identity

        def enter():
            if beside:
                self._join(beside)
            self._mount(node.dir, with_vsock)
            if self.devices:
                self.devices.enter()
            os.setgroups(who["extra_groups"])
            os.setgid(who["group"])
            os.setuid(who["user"])
            self._restrict()
        node.identity = {"preexec_fn": enter}

    def _check(self, result, what):
        if result < 0:
            raise OSError(ctypes.get_errno(), what)

    def _set_read_only(self, path, on):
        attributes = struct.pack("<QQQQ", MOUNT_ATTR_RDONLY * on, MOUNT_ATTR_RDONLY * (not on), 0, 0)
        self._check(self.libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, str(path).encode(), AT_RECURSIVE, attributes,
                                      len(attributes)), f"mount_setattr {path}")

    def _join(self, pid):
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
        self._check(self.libc.setns(namespace, CLONE_NEWNS), "setns")
        os.close(namespace)

    def _mount(self, state_dir, with_vsock):
        """As ProtectSystem=strict does it: all is read-only but /dev, /proc, /sys and StateDirectory=."""
        folder = str(state_dir).encode()
        self._check(self.libc.unshare(CLONE_NEWNS), "unshare")
        self._check(self.libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
        self._check(self.libc.mount(folder, folder, None, MS_BIND, None), f"mount {state_dir}")
        if with_vsock:
            self._mount_devices()
        self._set_read_only("/", True)
        for path in ("/dev", "/proc", "/sys", state_dir):
            self._set_read_only(path, False)

    def _mount_devices(self):
        """A /dev with the devices that the daemon uses, and /dev/vhost-vsock."""
        names = [name for name in (*STANDARD_DEVICES, "kvm") if os.path.exists(f"/dev/{name}")]
        status = {name: os.stat(f"/dev/{name}") for name in names}
        self._check(self.libc.mount(b"tmpfs", b"/dev", b"tmpfs", 0, b"mode=755"), "mount /dev")
        for name, s in status.items():
            os.mknod(f"/dev/{name}", s.st_mode, s.st_rdev)
            os.chown(f"/dev/{name}", s.st_uid, s.st_gid)
            os.chmod(f"/dev/{name}", s.st_mode & 0o777)
        os.mknod("/dev/vhost-vsock", stat.S_IFCHR | 0o666, VHOST_VSOCK)

    def _number(self, name):
        return self.seccomp.seccomp_syscall_resolve_name(name.encode())

    def _allow(self, rules, number, *arguments):
        array = (Argument * len(arguments))(*arguments)
        add = self.seccomp.seccomp_rule_add_array
        assert add(rules, ctypes.c_uint32(ALLOW), number, len(array), array) == 0

    def _restrict(self):
        """In the child, as the daemon's user, before exec()."""
        assert self.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        # Linux 6.3 and newer; systemd does the same by system call filters.
        self.libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
        rules = ctypes.c_void_p(self.seccomp.seccomp_init(ctypes.c_uint32(REFUSE)))
        for number in self.numbers:
            self._allow(rules, number)
        for family in self.families:
            self._allow(rules, self.socket, Argument(0, EQUAL, family, 0))
        assert self.seccomp.seccomp_load(rules) == 0
