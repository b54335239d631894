# SPDX-License-Identifier: Apache-2.0
"""The torture in short, with fixed seeds: one epoch for each kind of fault."""

import os

import pytest

from torture import KINDS, Epoch, Unfit, report

SECONDS = float(os.environ.get("TEEPOD_TORTURE_SECONDS", "18"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_guarantee_is_violated(kind):
    epoch = Epoch(seed=20, number=KINDS.index(kind), kind=kind)
    try:
        # An epoch without these events tests nothing.
        ledger = epoch.run(SECONDS, needs=("creates acknowledged", "refusals", "keys repeated", "checks", "events followed",
                                           "times all was quiet and balanced"))
    except Unfit as e:
        pytest.skip(str(e))
    report(ledger.counts, ledger.violations)
    assert not ledger.violations, "\n".join([*ledger.violations, f"again: {epoch.command()}"])
