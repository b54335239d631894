# SPDX-License-Identifier: Apache-2.0
"""unit_sandbox.py - what configs/teepod.service forbids the daemon, applied without systemd.

These settings of the unit: SystemCallFilter, RestrictAddressFamilies, MemoryDenyWriteExecute and
NoNewPrivileges. Its folders, devices and namespaces need systemd itself.
"""

import configparser
import ctypes
import errno
import socket
import subprocess

from node import ROOT

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
EQUAL = 4


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
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], stdout=subprocess.PIPE, text=True,
                          check=True)
    names = [line.strip() for line in said.stdout.splitlines() if line.startswith("    ")]
    return set().union(*(expand(name) for name in names if not name.startswith("#")))


def allowed_calls(lines):
    allowed = expand("@default")
    for line in lines:
        named = set().union(*(expand(name) for name in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


class Sandbox:
    def __init__(self):
        """OSError where libseccomp or systemd-analyze is missing."""
        unit = service()
        self.seccomp, self.libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None)
        self.seccomp.seccomp_init.restype = ctypes.c_void_p
        self.families = [getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()]
        self.socket = self._number("socket")
        numbers = map(self._number, allowed_calls(unit["SystemCallFilter"]))
        self.numbers = [number for number in numbers if number >= 0 and number != self.socket]
        self.deny_exec = unit["MemoryDenyWriteExecute"] == ["yes"]
        assert self.deny_exec and unit["NoNewPrivileges"] == ["yes"] and len(self.numbers) > 100

    def _number(self, name):
        return self.seccomp.seccomp_syscall_resolve_name(name.encode())

    def _allow(self, rules, number, *arguments):
        array = (Argument * len(arguments))(*arguments)
        add = self.seccomp.seccomp_rule_add_array
        assert add(rules, ctypes.c_uint32(ALLOW), number, len(array), array) == 0

    def enter(self):
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
