"""Which public architectures does edgekit export rightly, and which does torch's exporter alone?

    python -m benchmarks.coverage

Every architecture of `benchmarks.architectures` goes through `exporters.export_target`, and beside
it through `torch.onnx.export` as its documentation shows it, each in a process of its own that also
judges what came out (see `benchmarks.judged_export`). What was done is kept after each, and a later
run with the same versions goes on from there. It needs the environment that `make zoo` makes, and
takes about two hours on two cores; `--markdown` prints what was found for docs/coverage.md and
needs nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path
from typing import get_args

import msgspec

from benchmarks.coverage_table import markdown
from benchmarks.coverage_values import Conditions, Entry, Judged, Result, Side
from benchmarks.paired import RESULTS, write_result
from edgekit import machine

NAME = "coverage"
CONSTRAINTS = Path(__file__).parents[1] / "constraints-zoo.txt"
DECIDING = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
)
"""The distributions that decide what an export gives."""
LIMIT_S = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone, done before or not")
    parser.add_argument("--jobs", type=int, default=2, help="architectures at a time (2)")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds an export may take")
    parser.add_argument("--fresh", action="store_true", help="forget what was done before")
    parser.add_argument("--markdown", action="store_true", help="print what was found, run nothing")
    options = parser.parse_args()
    if options.markdown:
        print(markdown(read(RESULTS / f"{NAME}.json")))
        return 0
    unfit = what_differs()
    if unfit:
        parser.error(
            f"this needs the environment that `make zoo` makes (constraints-zoo.txt): {unfit}"
        )
    from benchmarks import architectures

    names = architectures.names()
    if unknown := sorted(set(options.only or ()) - set(names)):
        parser.error(f"no such architecture: {', '.join(unknown)}; there are {', '.join(names)}")
    conditions = Conditions(versions=versions(), isa=list(machine.describe().isa))
    entries = {} if options.fresh else done_before(conditions, RESULTS / f"{NAME}.json")
    wanted = options.only or [name for name in names if not finished(entries.get(name))]
    print(f"{len(wanted)} architectures to do, {len(entries)} done before", file=sys.stderr)
    threads = max(1, machine.threads_available() // options.jobs)
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {
            pool.submit(both, name, options.limit_s, threads=threads): name for name in wanted
        }
        for done, future in enumerate(as_completed(running), 1):
            name = running[future]
            entries[name] = future.result()
            keep(conditions, {known: entries[known] for known in names if known in entries})
            print(f"{done}/{len(wanted)} {name}: {in_words(entries[name])}", file=sys.stderr)
    return 1 if any(entry.edgekit.outcome == "wrong" for entry in entries.values()) else 0


def both(name: str, limit_s: float, *, threads: int) -> Entry:
    """Export one architecture both ways, one after the other."""
    edgekit, bare = (run(side, name, limit_s, threads=threads) for side in get_args(Side))
    return Entry(edgekit=edgekit, bare=bare)


def run(side: Side, name: str, limit_s: float, *, threads: int) -> Judged:
    """Export and judge in a fresh interpreter, on the CPU, with no network and no cache."""
    with tempfile.TemporaryDirectory(prefix="edgekit-coverage-") as cache:
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "EDGEKIT_CACHE": cache,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(threads),
            "TMPDIR": cache,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.judged_export", side, name],
                env=environment,
                capture_output=True,
                timeout=limit_s,
                check=True,
            )
        except subprocess.TimeoutExpired:
            return Judged("out of time", seconds=limit_s)
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            return Judged("died", problem=f"exit code {error.returncode}: {''.join(last)[:300]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Judged)


def what_differs() -> str:
    """Say in what this environment isn't the one of constraints-zoo.txt; nothing if it is."""
    found = versions()
    for name, pinned in pins(CONSTRAINTS.read_text(encoding="utf-8")).items():
        if name in DECIDING and found.get(name) != pinned:
            return f"{name} {pinned} is needed and {found.get(name, 'none')} is installed"
    return ""


def pins(constraints: str) -> dict[str, str]:
    """Read `name==version` lines."""
    lines = (line.partition("==") for line in constraints.splitlines() if "==" in line)
    return {name: version for name, _, version in lines}


def versions() -> dict[str, str]:
    """Name the installed versions that decide what an export gives, builds of one aside."""
    found = {}
    for name in DECIDING:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return found


def keep(conditions: Conditions, entries: dict[str, Entry]) -> None:
    """Write what was done so far."""
    write_result(NAME, msgspec.to_builtins(Result(conditions, entries)))


def read(path: Path) -> Result:
    """Read what was kept."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def done_before(conditions: Conditions, path: Path) -> dict[str, Entry]:
    """Read the entries of an earlier run under the same conditions; none if they differ."""
    if not path.exists():
        return {}
    try:
        before = read(path)
    except msgspec.DecodeError as error:
        print(f"{path} cannot be read and is written anew: {error}", file=sys.stderr)
        return {}
    return before.entries if before.conditions == conditions else {}


def finished(entry: Entry | None) -> bool:
    """Tell whether there is nothing to do again: an export that died says nothing of itself."""
    return entry is not None and "died" not in (entry.edgekit.outcome, entry.bare.outcome)


def in_words(entry: Entry) -> str:
    """Say in a line what became of both ways."""
    return f"edgekit {_outcome(entry.edgekit)}, torch.onnx.export {_outcome(entry.bare)}"


def _outcome(judged: Judged) -> str:
    how = f" by {judged.strategy}" if judged.strategy else ""
    took = f" in {judged.seconds:.0f} s" if judged.seconds is not None else ""
    return f"{judged.outcome}{how}{took}" + (f" ({judged.problem})" if judged.problem else "")


if __name__ == "__main__":
    sys.exit(main())
