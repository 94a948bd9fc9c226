"""The run of `benchmarks.gpu`: which step comes next, and what is kept of it."""

from __future__ import annotations

import sys

import msgspec

from benchmarks import gpu_timing
from benchmarks.gpu_models import Prepared, files_of, prepare, reason_of
from benchmarks.gpu_settings import Settings
from benchmarks.gpu_values import (
    Conditions,
    EngineStarts,
    FirstStart,
    Results,
    Unit,
    joined,
    keep,
    key,
)
from benchmarks.gpu_ways import (
    BASELINE,
    WAYS,
    Way,
    asked,
    candidate,
    how_of,
    label,
    named,
    unusable,
)
from edgekit import machine
from edgekit.errors import EdgekitError
from edgekit.measure.plan import Candidate
from edgekit.measure.results import LeftOut
from edgekit.report.figures import count
from edgekit.terms import Memory
from edgekit.workers import WorkerFault

_TENSORRT = named("tensorrt-fp16")


class Run:
    """A run on its way: what is known so far, written down after every step."""

    def __init__(self, settings: Settings, results: Results) -> None:
        self.results = results
        self._settings = settings
        self._prepared: dict[str, Prepared] = {}
        self._begun: set[str] = set()
        self._machine = machine.describe()

    def go(self) -> int:
        """Do what is to be done until the time is up; return how many units are still open."""
        settings = self._settings
        for model, batch, arrays in settings.units():
            while not settings.out_of_time and self._open(model, batch, arrays):
                self._step(model, batch, arrays)
        for model in settings.models:
            if not settings.out_of_time and _TENSORRT in settings.ways:
                self._engine(model)
        return sum(self._open(*unit) for unit in settings.units())

    def _open(self, model: str, batch: int, arrays: Memory) -> bool:
        """Tell whether there is something to do for a unit."""
        if model in self._begun and model in self.results.problems:
            return False
        unit = self.results.units.get(key(model, batch, arrays))
        return unit is None or self._stale(unit) or not self._finished(unit)

    def _stale(self, unit: Unit) -> bool:
        """Tell whether a unit was measured before this run and doesn't count in it.

        Its package is only held against the one that was timed where there is one at hand: what is
        done needn't be exported again.
        """
        if key(unit.model, unit.batch, unit.arrays) in self._begun:
            return False
        if self._settings.again:
            return True
        prepared = self._prepared.get(unit.model)
        files = unit.conditions.files if prepared is None else files_of(prepared)
        return unit.conditions != self._conditions(files)

    def _finished(self, unit: Unit) -> bool:
        if not {way.name for way in self._settings.ways} <= set(unit.ways):
            return False
        if label(BASELINE, self._settings.provider) in unit.left_out:
            return True
        tried = unit.tried.keys() | unit.left_out.keys()
        rows = [label(named(name), self._settings.provider) for name in unit.ways]
        return all(row in tried for row in rows) and unit.starts >= self._settings.starts

    def _step(self, model: str, batch: int, arrays: Memory) -> None:
        """Do the next step of a unit and write down what came of it."""
        prepared = self._package(model)
        if prepared is None:
            return
        name = key(model, batch, arrays)
        unit = self._unit(prepared, batch, arrays)
        ways = [named(one) for one in unit.ways]
        for way in ways:
            row = label(way, self._settings.provider)
            if row not in unit.tried and row not in unit.left_out:
                self._keep_unit(name, self._tried(unit, way, prepared))
                return
        if unit.starts < self._settings.starts:
            self._keep_unit(name, self._timed(unit, ways, prepared))
        else:
            self._keep_unit(name, unit)

    def _unit(self, prepared: Prepared, batch: int, arrays: Memory) -> Unit:
        """Take a unit up where an earlier run left it, or begin it anew.

        It begins anew under other conditions, and where rows join: rows that were not timed
        together aren't compared.
        """
        name = key(prepared.name, batch, arrays)
        wanted = {way.name for way in self._settings.ways}
        before = self.results.units.get(name)
        fresh = before is None or self._stale(before)
        self._begun.add(name)
        if before is not None and not fresh:
            if wanted <= set(before.ways):
                return before
            wanted |= set(before.ways)
        ways = tuple(way.name for way in WAYS if way.name in wanted)
        return Unit(prepared.name, batch, arrays, self._conditions(files_of(prepared)), ways)

    def _tried(self, unit: Unit, way: Way, prepared: Prepared) -> Unit:
        """Start one row; where the baseline can't run, none of the others is of use."""
        row = label(way, self._settings.provider)
        self._tell(f"{key(unit.model, unit.batch, unit.arrays)}: starting {row}")
        found = self._candidate(way, prepared, unit.arrays)
        if isinstance(found, Candidate):
            told = unit.asked | {row: asked(way, found)}
            unit = msgspec.structs.replace(unit, asked=told)
            started = self._started(way, found, prepared, unit)
            if isinstance(started, FirstStart):
                return msgspec.structs.replace(unit, tried=unit.tried | {row: started})
            found = started
        self._tell(f"  left out: {found.reason}")
        gone = {row: found.reason}
        if way is BASELINE:
            others = [label(named(name), self._settings.provider) for name in unit.ways]
            gone = dict.fromkeys(others, f"the original can't be timed here: {found.reason}")
        return msgspec.structs.replace(unit, left_out=unit.left_out | gone)

    def _started(
        self, way: Way, one: Candidate, prepared: Prepared, unit: Unit
    ) -> FirstStart | LeftOut:
        how = how_of(way, self._settings.provider, unit.arrays)
        counted = way.side == "variant" and not way.options
        try:
            feed, _ = gpu_timing.feed_of(prepared, unit.batch)
        except EdgekitError as error:
            return LeftOut(one.label, reason_of(error))
        return gpu_timing.try_out(
            one,
            feed,
            limit_s=self._settings.row_limit_s,
            provider=how.provider if counted else None,
        )

    def _timed(self, unit: Unit, ways: list[Way], prepared: Prepared) -> Unit:
        """Time one part more of a unit's rows."""
        settings = self._settings
        rows, gone = [], dict(unit.left_out)
        for way in ways:
            row = label(way, settings.provider)
            if row in gone:
                continue
            found = self._candidate(way, prepared, unit.arrays)
            if isinstance(found, LeftOut):
                gone[row] = found.reason
            else:
                rows.append(found)
        unit = msgspec.structs.replace(unit, left_out=gone)
        self._tell(
            f"{key(unit.model, unit.batch, unit.arrays)}: timing {count(len(rows), 'row')}, "
            f"starts {unit.starts + 1} to {unit.starts + settings.plan.starts} of {settings.starts}"
        )
        plan = msgspec.structs.replace(settings.plan, seed=unit.starts, wall_s=settings.row_limit_s)
        # Held-out cases go in one at a time, as the timed calls do at batch 1 alone: PyTorch would
        # compile again for another size. Once is enough, and answers are the same in any memory.
        with_quality = unit.bench is None and unit.batch == 1 and unit.arrays == settings.arrays[0]
        try:
            part = gpu_timing.time_part(unit, rows, prepared, plan, with_quality=with_quality)
        except EdgekitError as error:
            reason = reason_of(error)
            return msgspec.structs.replace(
                unit, left_out=gone | {row.label: reason for row in rows}, bench=None
            )
        whole = part if unit.bench is None else joined(unit.bench, part)
        gone |= {left.label: left.reason for left in whole.left_out}
        if whole.baseline != label(BASELINE, settings.provider):
            reason = gone[label(BASELINE, settings.provider)]
            others = (label(way, settings.provider) for way in ways)
            gone = dict.fromkeys(others, f"the original can't be timed here: {reason}") | gone
            return msgspec.structs.replace(unit, left_out=gone, bench=None)
        return msgspec.structs.replace(unit, left_out=gone, bench=whole)

    def _engine(self, model: str) -> None:
        """Start the model's engine twice in an empty folder, unless that is done."""
        settings, known = self._settings, self.results.engines.get(model)
        now = self._conditions({})
        same = isinstance(known, EngineStarts) and (
            (known.gpu, known.driver, known.versions) == (now.gpu, now.driver, now.versions)
        )
        if same and not settings.again:
            return
        reason = unusable(_TENSORRT, settings.provider, settings.arrays[0], settings.lacking)
        prepared = None if reason else self._package(model)
        if prepared is None:
            self._keep_engine(model, reason or self.results.problems[model])
            return
        self._tell(f"{model}: starting its TensorRT engine twice")
        found: Candidate | LeftOut | EngineStarts
        found = self._candidate(_TENSORRT, prepared, settings.arrays[0])
        if isinstance(found, Candidate):
            feed, _ = gpu_timing.feed_of(prepared, 1)
            found = gpu_timing.start_twice(model, found, feed, limit_s=settings.row_limit_s)
        self._keep_engine(model, found if isinstance(found, EngineStarts) else found.reason)

    def _package(self, model: str) -> Prepared | None:
        """Export a model, or say once why it can't be."""
        if model in self._prepared:
            return self._prepared[model]
        if model in self._begun:
            return None
        self._begun.add(model)
        self._tell(f"{model}: its package")
        problems = dict(self.results.problems)
        problems.pop(model, None)
        try:
            self._prepared[model] = prepare(model, self._settings.packages)
        except (EdgekitError, WorkerFault) as error:
            problems[model] = reason_of(error)
            self._tell(f"  left out: {problems[model]}")
        self._keep(msgspec.structs.replace(self.results, problems=problems))
        return self._prepared.get(model)

    def _candidate(self, way: Way, prepared: Prepared, arrays: Memory) -> Candidate | LeftOut:
        settings = self._settings
        return candidate(
            way, prepared, provider=settings.provider, arrays=arrays, lacking=settings.lacking
        )

    def _conditions(self, files: dict[str, str]) -> Conditions:
        """Say under what is measured now."""
        here, settings = self._machine, self._settings
        return Conditions(
            provider=settings.provider,
            gpu=here.gpu,
            driver=here.driver,
            cpu=here.cpu,
            versions=here.versions,
            files=files,
            rounds=settings.plan.rounds,
            turn_s=settings.plan.turn_s,
        )

    def _keep_engine(self, model: str, found: EngineStarts | str) -> None:
        engines = self.results.engines | {model: found}
        self._keep(msgspec.structs.replace(self.results, engines=engines))

    def _keep_unit(self, name: str, unit: Unit) -> None:
        self._keep(msgspec.structs.replace(self.results, units=self.results.units | {name: unit}))

    def _keep(self, results: Results) -> None:
        self.results = results
        keep(self._settings.output, results)

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
