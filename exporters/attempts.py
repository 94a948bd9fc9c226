"""The ways to export, one after another, until one gives what answers as the original does."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec

from edgekit import cache
from edgekit.errors import (
    ExportError,
    ExportFailed,
    FactoryFailed,
    NoWayWorked,
    OpsetUnavailable,
    UnrolledLoop,
    WorkerDied,
)
from edgekit.terms import ExportStrategy
from exporters.requests import Attempt, ExportOptions

STRATEGIES: tuple[ExportStrategy, ...] = get_args(ExportStrategy)

log = logging.getLogger("edgekit")

Run = Callable[[ExportOptions, Path], Attempt]
_Way = tuple[ExportStrategy, bool]
"""A strategy, and whether it may write out the steps of a recurrent module."""


def in_turn(
    run: Run,
    options: ExportOptions,
    folder: Path,
    *,
    label: str,
    strategy: ExportStrategy | None = None,
) -> Attempt:
    """Try every strategy until one succeeds; its files, and no others, are left in `folder`.

    Only what another way of exporting can mend leads to the next one: a module that fails by
    itself, or a request that can't be meant, fails at once. A recurrent module that a strategy
    would unroll goes to the strategy that has the operator for it, and is unrolled only where
    that one fails.

    Args:
        run: makes one attempt, by options, into a folder of its own.
        options: what is the same for all of them.
        folder: where the files of the one that succeeded go.
        label: what to call the module in errors.
        strategy: the one to try alone.

    Raises:
        NoWayWorked: every one of them failed.
        WorkerDied: the process ended in every one of them.
        What `run` raises, where no other strategy can help.
    """
    ways: list[_Way] = [(strategy, True)] if strategy else [(way, False) for way in STRATEGIES]
    failures: list[tuple[ExportStrategy, ExportError | WorkerDied]] = []
    while ways:
        way, unrolled = ways.pop(0)
        chosen = msgspec.structs.replace(options, strategy=way, unrolled=unrolled)
        try:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                done = run(chosen, Path(own))
                for file in Path(own).iterdir():
                    file.replace(folder / file.name)
        except FactoryFailed:
            raise
        except UnrolledLoop as error:
            log.info("%s: %s", way, error)
            failures.append((way, error))
            ways = _after_unrolled(way, ways)
        except OpsetUnavailable as error:
            # All that go through the dynamo exporter reach the same ones.
            failures.append((way, error))
            ways = [o for o in ways if o[0] == "torchscript"] if way != "torchscript" else []
        except (ExportError, WorkerDied) as error:
            said = any(_reason(error) == _reason(earlier) for _, earlier in failures)
            log.info("%s failed: %s", way, "for the same reason" if said else _reason(error))
            failures.append((way, error))
            ways = [other for other in ways if other[0] != way]
        else:
            return msgspec.structs.replace(done, notes=(*_given_up(failures), *done.notes))
    if all(isinstance(error, WorkerDied) for _, error in failures):
        raise failures[0][1]
    raise NoWayWorked(
        target=label,
        reasons=[(way, _reason(error)) for way, error in failures],
        report=cache.store_report("export", _report(label, failures)),
    )


def _after_unrolled(way: ExportStrategy, ways: list[_Way]) -> list[_Way]:
    """Put the one strategy that has the operators first, and the others, unrolled, behind it."""
    others: list[_Way] = [(w, True) for w, _ in [(way, False), *ways] if w != "torchscript"]
    if way == "torchscript":
        return [*others, ("torchscript", True)]
    return [("torchscript", False), *others]


def _given_up(failures: list[tuple[ExportStrategy, ExportError | WorkerDied]]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for way, error in failures:
        by_reason.setdefault(_reason(error), []).append(way)
    return [f"{', '.join(ways)} given up: {reason}" for reason, ways in by_reason.items()]


def _reason(error: ExportError | WorkerDied) -> str:
    said = error.reason if isinstance(error, ExportFailed) else str(error)
    return said.removesuffix(" Nothing was written.").rstrip(".")


def _report(label: str, failures: list[tuple[ExportStrategy, ExportError | WorkerDied]]) -> str:
    parts = [f"The export of {label} failed in every way that was tried.\n"]
    for way, error in failures:
        parts.append(f"\n=== {way}\n{error}\n")
        if isinstance(error, ExportFailed):
            parts.append(f"\n{error.facts['details']}")
    return "".join(parts)
