# SPDX-License-Identifier: Apache-2.0
"""table.py - results as a table and as JSON: one row per measurement, with its limit or baseline, the peer and its bound.

A bound is always one of the ratio to a baseline of the same run: an absolute one would miss on a slower machine with nothing
wrong. An absolute value is shown without a bound.
"""

import json
import os
import platform
import subprocess
from pathlib import Path

HEAD = ("measurement", "value", "peer", "baseline", "ratio", "bound", "")


class Table:
    def __init__(self):
        self.rows = []
        self.machine = machine()  # before the run puts load on it

    def add(self, name, value, unit, baseline=None, against="", peer=None, most=None, least=None, spread=None):
        """@most and @least are bounds of value/baseline. @peer: the same measurement of the peer, or None."""
        if not baseline and (most is not None or least is not None):
            raise ValueError(f"{name}: a bound needs a baseline of the same run")
        ratio = value / baseline if baseline else None
        self.rows.append({"measurement": name, "value": value, "unit": unit, "baseline": baseline, "against": against,
                          "ratio": ratio, "peer": peer, "beside_peer": beside(value, peer, unit), "at_most": most,
                          "at_least": least, "spread": spread, "verdict": verdict(ratio, most, least)})

    def print(self):
        lines = [HEAD] + [self._line(row) for row in self.rows]
        width = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
        for n, line in enumerate(lines):
            cells = [line[0].ljust(width[0])] + [cell.rjust(width[i]) for i, cell in enumerate(line) if 0 < i < 6] + [line[6]]
            print("  ".join(cells).rstrip(), flush=True)
            if n == 0:
                print("  ".join("-" * w for w in width[:6]))

    def print_summary(self, seconds):
        held, missed = (sum(row["verdict"] == word for row in self.rows) for word in ("ok", "missed"))
        print(f"\n{held} bounds held, {missed} missed; {seconds:.0f} s")
        compared = [row for row in self.rows if row["beside_peer"]]
        if compared:
            slower = [name for row, name in zip(self.rows, self._full_names()) if row["beside_peer"] == "worse"]
            print(f"beside the peer: {len(compared) - len(slower)} lines better, {len(slower)} worse"
                  + "".join(f"\n  worse: {name}" for name in slower))

    def _full_names(self):
        """An indented line belongs to the last one that is not."""
        names, above = [], ""
        for row in self.rows:
            name = row["measurement"]
            above = above if name.startswith(" ") else name
            names.append(f"{above}: {name.strip()}" if name.startswith(" ") else name)
        return names

    @staticmethod
    def _line(row):
        bound = f"<= {row['at_most']:g}" if row["at_most"] is not None else f">= {row['at_least']:g}" if row["at_least"] is not None else ""
        return (row["measurement"], amount(row["value"], row["unit"]),
                amount(row["peer"], row["unit"]) if row["peer"] else "",
                f"{row['against']} {amount(row['baseline'], row['unit'])}" if row["baseline"] else "",
                f"{row['ratio']:.2f}" if row["ratio"] is not None else "", bound, row["verdict"])

    def save(self, path, seconds):
        text = {"machine": self.machine, "seconds": round(seconds, 1), "rows": self.rows}
        Path(path).write_text(json.dumps(text, indent=1) + "\n")


def verdict(ratio, most, least):
    if most is None and least is None:
        return ""
    return "ok" if (most is None or ratio <= most) and (least is None or ratio >= least) else "missed"


def beside(value, peer, unit):
    """A rate is better if it is higher; a time or a size if it is lower."""
    if not peer:
        return ""
    return "better" if (value >= peer if unit == "/s" else value <= peer) else "worse"


def amount(value, unit):
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def machine():
    def first_line(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
    return {"cpus": os.cpu_count(), "kernel": platform.release(), "load_before": round(os.getloadavg()[0], 2),
            "qemu": first_line("qemu-system-x86_64", "--version"), "file_system": first_line("stat", "-f", "-c", "%T", disk_folder())}


def disk_folder():
    return os.environ.get("TEEPOD_BENCH_DIR", "/var/tmp")
