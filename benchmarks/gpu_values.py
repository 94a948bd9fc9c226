"""What `benchmarks.gpu` keeps, a step at a time, so that a run that is cut off loses one step."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgekit.errors import BadValue
from edgekit.measure.quality import furthest
from edgekit.measure.results import Bench, LeftOut, Measurement
from edgekit.terms import Memory

SCHEMA_VERSION = 1


class FirstStart(msgspec.Struct, frozen=True):
    """A start before anything was timed: whatever is compiled or built on the way is in it.

    `copies` are nodes that copy between memories, counted apart; None where nobody did.
    """

    import_ms: float
    load_ms: float
    first_call_ms: float
    copies: int | None = None


class Asked(msgspec.Struct, frozen=True):
    """What a row's processes were told: provider options, environment, and PyTorch's mode."""

    precision: str
    environment: dict[str, str]
    provider_options: dict[str, str] = {}
    mode: str = ""


class Conditions(msgspec.Struct, frozen=True):
    """What must be the same for starts to be counted together."""

    provider: str
    gpu: str | None
    driver: str | None
    cpu: str
    versions: dict[str, str]
    files: dict[str, str]
    rounds: int
    turn_s: float


class Unit(msgspec.Struct, frozen=True):
    """One model at one batch with arrays in one memory: all rows, interleaved in one bench.

    `ways` are those that were asked for. `tried` and `asked` are by row, `left_out` says of each
    missing row why. `bench` has the raw samples of the parts that are done, None before the first.
    """

    model: str
    batch: int
    arrays: Memory
    conditions: Conditions
    ways: tuple[str, ...] = ()
    tried: dict[str, FirstStart] = {}
    asked: dict[str, Asked] = {}
    left_out: dict[str, str] = {}
    bench: Bench | None = None

    @property
    def starts(self) -> int:
        """How many starts of every row are done."""
        return len(self.bench.measurements[0].starts) if self.bench else 0


class EngineStarts(msgspec.Struct, frozen=True):
    """The first start of a compiled model, in an empty folder, and the second, which finds it.

    `read_ms` is how long it takes to read the `files` that were kept, `size_bytes` altogether.
    """

    model: str
    gpu: str | None
    driver: str | None
    versions: dict[str, str]
    first: FirstStart
    second: FirstStart
    read_ms: float
    files: int
    size_bytes: int


class Results(msgspec.Struct, frozen=True):
    """Everything that was measured, by model, batch and memory; `problems` are of whole models.

    `engines` holds what was measured of a model's starts, or why nothing could be.
    """

    benchmark: str = "gpu"
    schema_version: int = SCHEMA_VERSION
    tf32: str = ""
    problems: dict[str, str] = {}
    engines: dict[str, EngineStarts | str] = {}
    units: dict[str, Unit] = {}


def key(model: str, batch: int, arrays: Memory) -> str:
    """Name a unit."""
    return f"{model} · batch {batch} · {arrays}"


def read(path: Path) -> Results:
    """Read what was kept; nothing where there is no file.

    Raises:
        BadValue: it isn't a file of this benchmark's.
    """
    if not path.exists():
        return Results()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.DecodeError as error:
        raise BadValue(
            what="the file of earlier results",
            asked=f"{path} ({error})",
            expected="one that benchmarks.gpu wrote, or none",
        ) from error


def keep(path: Path, results: Results) -> None:
    """Write what was done so far, a line a unit; a reader sees the old file or the new one."""
    whole = msgspec.to_builtins(results)
    units = whole.pop("units")
    encode = msgspec.json.encode
    lines = [b"%s: %s" % (encode(name), encode(value)) for name, value in whole.items()]
    inner = b",\n".join(b"%s: %s" % (encode(k), encode(unit)) for k, unit in units.items())
    lines.append(b'"units": {\n%s\n}' % inner if units else b'"units": {}')
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_bytes(b"{\n" + b",\n".join(lines) + b"\n}\n")
    written.replace(path)


def joined(before: Bench, after: Bench) -> Bench:
    """Put two parts of one bench together; a row that failed in either is left out of both."""
    known = {one.label: one for one in after.measurements}
    gone = {left.label: left.reason for left in (*before.left_out, *after.left_out)}
    return msgspec.structs.replace(
        after,
        plan=msgspec.structs.replace(after.plan, starts=before.plan.starts + after.plan.starts),
        measurements=[
            _joined(one, known[one.label]) for one in before.measurements if one.label in known
        ],
        left_out=[LeftOut(label, reason) for label, reason in gone.items()],
        notes=list(dict.fromkeys([*before.notes, *after.notes])),
    )


def _joined(before: Measurement, after: Measurement) -> Measurement:
    outputs = before.against_original.keys() | after.against_original.keys()
    both = (before.against_original, after.against_original)
    worst = {}
    for output in sorted(outputs):
        first, *others = [side[output] for side in both if output in side]
        worst[output] = furthest(first, others[0] if others else None)
    return msgspec.structs.replace(
        after,
        starts=[*before.starts, *after.starts],
        against_original=worst,
        mismatch=before.mismatch or after.mismatch,
        quality=before.quality or after.quality,
    )
