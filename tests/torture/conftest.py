# SPDX-License-Identifier: Apache-2.0
"""conftest.py - where the black box's helpers are."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox")]

from node import PROGRAM  # noqa: E402


def pytest_sessionstart(session):
    if not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} is not there: tests/run.sh torture builds it")
