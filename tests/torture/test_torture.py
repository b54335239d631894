# SPDX-License-Identifier: Apache-2.0
"""The torture in short, with fixed seeds: an epoch of each kind of chaos."""

import os

import pytest

from torture import KINDS, Epoch, Unfit, report

SECONDS = float(os.environ.get("TEEPOD_TORTURE_SECONDS", "18"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_promise_breaks(kind):
    epoch = Epoch(seed=20, number=KINDS.index(kind), kind=kind)
    try:
        ledger = epoch.run(SECONDS)
    except Unfit as e:
        pytest.skip(str(e))
    report(ledger.counts, ledger.violations)
    assert not ledger.violations, "\n".join([*ledger.violations, f"again: {epoch.command()}"])
    # An epoch in which nothing happened would prove nothing.
    for what in ("creates acknowledged", "refusals", "keys repeated", "checks", "events followed", "times all was quiet and balanced"):
        assert ledger.counts[what] > 0, f"no {what}: {dict(ledger.counts)}"
