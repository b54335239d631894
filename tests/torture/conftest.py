# SPDX-License-Identifier: Apache-2.0
"""conftest.py - makes the torture's modules importable; the rest is in tests/conftest.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
