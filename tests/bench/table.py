# SPDX-License-Identifier: Apache-2.0
"""table.py - results as a table and as JSON: one row per measurement, with its baseline and its bound."""

import json
import os
import platform
import subprocess
from pathlib import Path


class Table:
    def __init__(self):
        self.rows = []
        self.machine = machine()  # before the run puts load on it

    def add(self, name, value, unit, baseline=None, against="", ratio=None, most=None, least=None, spread=None, note=""):
        """@ratio defaults to value/baseline. The bound applies to the ratio if there is one, otherwise to the value."""
        if ratio is None and baseline:
            ratio = value / baseline
        held = ratio if ratio is not None else value
        ok = (most is None or held <= most) and (least is None or held >= least)
        self.rows.append({"measurement": name, "value": value, "unit": unit, "baseline": baseline, "against": against,
                          "ratio": ratio, "at_most": most, "at_least": least, "spread": spread, "note": note,
                          "verdict": "" if most is None and least is None else "ok" if ok else "missed"})

    def print(self):
        head = ("measurement", "value", "baseline", "ratio", "bound", "")
        lines = [head] + [self._line(row) for row in self.rows]
        width = [max(len(line[i]) for line in lines) for i in range(len(head))]
        for n, line in enumerate(lines):
            cells = [line[0].ljust(width[0])] + [cell.rjust(width[i]) for i, cell in enumerate(line) if 0 < i < 5] + [line[5]]
            print("  ".join(cells).rstrip(), flush=True)
            if n == 0:
                print("  ".join("-" * w for w in width[:5]))
        for row in self.rows:
            if row["note"]:
                print(f"\n{row['measurement']}: {row['note']}")

    @staticmethod
    def _line(row):
        bound = f"<= {row['at_most']:g}" if row["at_most"] is not None else f">= {row['at_least']:g}" if row["at_least"] is not None else ""
        return (row["measurement"], amount(row["value"], row["unit"]),
                f"{row['against']} {amount(row['baseline'], row['unit'])}" if row["baseline"] else "",
                f"{row['ratio']:.2f}" if row["ratio"] is not None else "", bound, row["verdict"])

    def save(self, path, seconds):
        text = {"machine": self.machine, "seconds": round(seconds, 1), "rows": self.rows}
        Path(path).write_text(json.dumps(text, indent=1) + "\n")


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
