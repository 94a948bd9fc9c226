"""How fast is the reference CNN's package beside PyTorch, eager and compiled, at three batches?

    python -m benchmarks.cnn_latency

Exports the CNN (or takes `--package`), benches it as `edgekit bench` does, and prints the tables.
The result holds the raw samples; turns are shorter than by default, so that it stays small.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.paired import write_result
from edgekit.measure.bench import Plan
from edgekit.measure.packages import bench_packages, open_subject
from edgekit.measure.results import BenchReport
from edgekit.measure.ways import How
from edgekit.report.bench import benched
from edgekit.terms import Against
from exporters import export_target
from exporters.baselines import originals

NAME = "cnn_latency"
AGAINST: list[Against] = ["eager", "compiled"]
WIDTH = 160


def main() -> int:
    plan = Plan()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, help="the exported CNN; by default made afresh")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 64], help="rows a call")
    parser.add_argument("--starts", type=int, default=plan.starts, help="fresh processes each")
    parser.add_argument("--rounds", type=int, default=plan.rounds, help="rounds a start")
    parser.add_argument("--turn-s", type=float, default=0.03, help="seconds a turn (0.03)")
    options = parser.parse_args()
    plan = Plan(starts=options.starts, rounds=options.rounds, turn_s=options.turn_s)
    with tempfile.TemporaryDirectory() as folder:
        package = options.package
        if package is None:
            print("exporting the CNN", file=sys.stderr)
            package = Path(folder) / "cnn.edgekit"
            export_target("cnn", package)
        reports = [bench(package, batch, plan) for batch in options.batch]
    benched(Console(highlight=False, width=WIDTH), reports)
    path = write_result(NAME, {"reports": msgspec.to_builtins(reports)})
    print(f"kept in {path}", file=sys.stderr)
    return 1 if any(row.mismatch for report in reports for row in report.rows) else 0


def bench(package: Path, batch: int, plan: Plan) -> BenchReport:
    """Bench every variant against both ways to run the original."""
    subject = open_subject(package)
    assert subject.package is not None
    candidates, left_out = originals(subject.package, AGAINST, original="cnn")

    def progress(done: int, total: int) -> None:
        print(f"\rbatch {batch}: turn {done} of {total}", end="", file=sys.stderr, flush=True)

    report = bench_packages(
        [subject],
        How(),
        originals=candidates,
        left_out=left_out,
        batch=batch,
        plan=plan,
        progress=progress,
    )
    print(file=sys.stderr)
    return report


if __name__ == "__main__":
    sys.exit(main())
