"""The speed table: ratios within one run on one machine, against raw onnxruntime and installed peers.

    make bench                      everything, about ten minutes on two cores
    python -m tests.benchmarks lime memory     only rows whose name contains a word
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from tests.benchmarks import (
    anchors_bench,
    cem_bench,
    gradient_bench,
    http_bench,
    integrated_bench,
    kserve_bench,
    lime_bench,
    oip_bench,
    overhead_rows,
    pda_bench,
    peers,
    promises,
    remote_bench,
    shap_bench,
    speed,
    streak_bench,
)
from tests.benchmarks.row import Row

ROWS: tuple[tuple[str, Callable[[], list[Row]]], ...] = (
    ("lime 1000 small", speed.lime_small),
    ("occlusion 626 small", speed.occlusion_small),
    ("lime 200 resnet", speed.lime_resnet),
    ("concurrent 8", speed.concurrent),
    ("cached again", speed.cached),
    ("overhead", overhead_rows.overhead),
    ("fairness", promises.fairness),
    ("memory", promises.memory),
    ("reproducible", promises.reproducible),
    ("ready", promises.ready),
    ("lime rows", lime_bench.rows),
    ("kernel_shap", shap_bench.rows),
    ("peers", peers.peers),
    ("streak", streak_bench.rows),
    ("anchors", anchors_bench.rows),
    ("cem", cem_bench.rows),
    ("prediction difference and rise", pda_bench.rows),
    ("remote endpoint", remote_bench.rows),
    ("http", http_bench.rows),
    ("kserve", kserve_bench.rows),
    ("gradient", gradient_bench.rows),
    ("integrated gradients", integrated_bench.rows),
    ("oip behind mlserver", oip_bench.rows),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only rows whose name contains one of these")
    words = parser.parse_args().words
    console = Console()
    table = Table("what", "measured", "must", "", title="whybox, speed and promises", title_justify="left")
    failed = 0
    for name, measure in ROWS:
        if words and not any(word in name for word in words):
            continue
        console.print(f"measuring {name} ...", style="dim")
        for row in measure():
            failed += not row.kept
            table.add_row(row.what, row.measured, row.must, "" if row.kept else "MISSED")
            console.print(f"  {row.what}: {row.measured}", style="dim")
    console.print(table)
    return 1 if failed else 0



if __name__ == "__main__":
    sys.exit(main())
