"""Race engines on one model: fresh processes, rounds in random order, a process an engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers_child import Child, Engine, EngineFailed
from benchmarks.peers_values import Kept, Raced, Row
from edgekit.measure.bench import QUIET_S

FEWEST, MOST = 5, 100
"""Calls a turn."""


class Plan(msgspec.Struct, frozen=True):
    """How much to measure, as `edgekit.measure.plan.Plan` says it."""

    starts: int = 6
    rounds: int = 4
    turn_s: float = 0.06
    warm_up_s: float = 0.2
    limit_s: float = 300.0


class Cases(msgspec.Struct, frozen=True):
    """What goes in: `feed` for timed calls, `held_out` to judge answers by, with labels or none."""

    feed: Path
    held_out: Path
    labels: Sequence[int] | None = None


def race(
    model: str,
    engines: Sequence[Engine],
    cases: Cases,
    *,
    plan: Plan,
    folder: Path,
    seed: int = 0,
    tell: Callable[[str], None] = print,
) -> Raced:
    """Time all engines on one model; the first is the original, which answers are held to.

    An engine that fails anywhere is left out with all that was measured of it.
    """
    shuffle = Random(seed)
    left_out: dict[str, str] = {}
    starts: dict[str, list[list[list[int]]]] = {one.label: [] for one in engines}
    versions: dict[str, dict[str, str]] = {}
    calls: dict[str, int] = {}
    answers: dict[str, Path] = {}
    for start in range(plan.starts):
        tell(f"{model}: start {start + 1} of {plan.starts}, {len(engines) - len(left_out)} engines")
        with contextlib.ExitStack() as stack:
            children = []
            for one in shuffle.sample(list(engines), len(engines)):
                if one.label not in left_out:
                    log = folder / f"{_slug(one.label)}.log"
                    children.append(stack.enter_context(Child(one, log=log, limit_s=plan.limit_s)))

            def trying(child: Child, do: Callable[[Child], None]) -> None:
                if child.engine.label in left_out:
                    return
                try:
                    do(child)
                except EngineFailed as error:
                    left_out[child.engine.label] = str(error)
                    tell(f"  left out: {child.engine.label}: {error}")

            def begin(child: Child) -> None:
                one = child.engine
                child.tell("open", engine=one.opener, feed=str(cases.feed), **one.told)

            def opened(child: Child) -> None:
                versions[child.engine.label] = child.hear()["versions"]

            def warm(child: Child) -> None:
                name = child.engine.label
                time.sleep(QUIET_S)
                some = child.ask("run", calls=3, warm_ups=2)["ns"]
                call_s = max(min(some), 1) / 1e9
                # The same number in every start, so that all rounds weigh alike.
                calls.setdefault(name, int(min(max(plan.turn_s / call_s, FEWEST), MOST)))
                child.ask("run", calls=0, warm_ups=int(min(max(plan.warm_up_s / call_s, 1), 1000)))
                starts[name].append([])

            def turn(child: Child) -> None:
                name = child.engine.label
                time.sleep(QUIET_S)
                many = calls[name]
                timed = child.ask("run", calls=many, warm_ups=max(3, many // 5))["ns"]
                starts[name][-1].append(timed)

            def answer(child: Child) -> None:
                output = folder / f"{_slug(child.engine.label)}.npy"
                child.ask("answer", cases=str(cases.held_out), output=str(output))
                answers[child.engine.label] = output

            # They may open at the same time: nothing is timed before the last one stands.
            for child in children:
                trying(child, begin)
            for child in children:
                trying(child, opened)
            for child in children:
                trying(child, warm)
            for _ in range(plan.rounds):
                for child in shuffle.sample(children, len(children)):
                    trying(child, turn)
            if start == 0:
                for child in children:
                    trying(child, answer)
    judged = _judged(engines[0].label, answers, cases.labels)
    rows = [
        Row(
            one.label,
            one.ours,
            versions[one.label],
            starts[one.label],
            judged.get(one.label),
            _said(one),
        )
        for one in engines
        if one.label not in left_out
    ]
    return Raced(model, rows, left_out)


def judge(
    answers: NDArray[np.float32],
    original: NDArray[np.float32],
    labels: Sequence[int] | None = None,
) -> Kept:
    """Hold answers [cases, classes] against labels where there are some, else the original's."""
    if labels is not None:
        known = np.asarray(labels)
        right, before = ((a.argmax(-1) == known).mean() for a in (answers, original))
        return Kept(len(answers), drop_pp=float(100 * (before - right)))
    ours, theirs = (a.reshape(len(a), -1).astype(np.float64) for a in (answers, original))
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    products = (ours * theirs).sum(axis=1)
    # An answer that isn't finite, or is all zeros, is as far off as can be.
    told = np.isfinite(products) & (lengths > 0)
    cosines = np.divide(products, lengths, out=np.zeros(len(products)), where=told)
    return Kept(len(answers), cosine=float(cosines.mean()))


def _judged(
    original: str, answers: Mapping[str, Path], labels: Sequence[int] | None
) -> dict[str, Kept]:
    if original not in answers:
        return {}
    first = np.load(answers[original])
    return {label: judge(np.load(path), first, labels) for label, path in answers.items()}


def _said(engine: Engine) -> str:
    """Say what an engine was told, paths and sizes of this machine left out."""
    options = engine.told.get("options") or {}
    said = [f"{name}={value}" for name, value in options.items()]
    return ", ".join([*said, *([engine.note] if engine.note else [])])


def _slug(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label)
