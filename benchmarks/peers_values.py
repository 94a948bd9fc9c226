"""What `benchmarks.peers` keeps of a machine: raw samples, answers judged, versions."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from benchmarks.paired import RESULTS
from edgekit import machine
from edgekit.machine import Machine

SCHEMA_VERSION = 1


class Kept(msgspec.Struct, frozen=True):
    """What is left of the answers to held-out cases.

    Where there are labels, `drop_pp` is how many percentage points fewer than the original's
    answers are right; elsewhere `cosine` is the mean over cases, to the original's answers.
    """

    cases: int
    drop_pp: float | None = None
    cosine: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One engine on one model: `starts` are of rounds, those of durations in ns."""

    label: str
    ours: bool
    versions: dict[str, str]
    starts: list[list[list[int]]]
    kept: Kept | None = None
    told: str = ""


class Raced(msgspec.Struct, frozen=True):
    """All engines on one model, interleaved; `left_out` says of each missing one why."""

    model: str
    rows: list[Row]
    left_out: dict[str, str]


class Results(msgspec.Struct, frozen=True):
    """What one machine gave."""

    machine: Machine
    threads: int
    raced: dict[str, Raced] = {}
    benchmark: str = "peers"
    schema_version: int = SCHEMA_VERSION


def path_here(here: Machine) -> Path:
    """Name the file of this kind of processor."""
    slug = re.sub(r"[^a-z0-9]+", "-", machine.summary(here).lower()).strip("-")
    return RESULTS / f"peers-{slug}.json"


def read(path: Path) -> Results:
    """Read what a machine gave."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def keep(path: Path, results: Results) -> None:
    """Write what was measured, a line a row; a reader sees the old file or the new one."""
    encode = msgspec.json.encode
    whole = msgspec.to_builtins(results)
    raced = whole.pop("raced")
    lines = [b"%s: %s" % (encode(name), encode(value)) for name, value in whole.items()]
    models = []
    for name, one in raced.items():
        rows = b",\n".join(encode(row) for row in one.pop("rows"))
        rest = b", ".join(b"%s: %s" % (encode(k), encode(v)) for k, v in one.items())
        models.append(b'%s: {%s, "rows": [\n%s\n]}' % (encode(name), rest, rows))
    lines.append(b'"raced": {\n%s\n}' % b",\n".join(models))
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_bytes(b"{\n" + b",\n".join(lines) + b"\n}\n")
    written.replace(path)
