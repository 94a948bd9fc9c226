"""What a search starts from: the package, the machine, the budget, and the cases that judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit.budgets import Budget, refuse_unavailable
from edgekit.data import package_data, synthetic
from edgekit.errors import BadValue
from edgekit.measure.feeds import timing_feed
from edgekit.measure.given import given_evaluation
from edgekit.measure.judging import judged_by
from edgekit.measure.subjects import Subject, example, open_subject
from edgekit.package.values import Package, SessionChoice, Variant
from edgekit.providers import ProviderInfo
from edgekit.tensors import Dataset
from edgekit.terms import Metric, Undecided
from edgekit.tune.building import Data
from edgekit.tune.fates import FLOAT
from edgekit.tune.racing import Track
from edgekit.tune.ways import Way, usable_providers

DEFAULT_BUDGETS: dict[Metric, Budget] = {
    "top1": Budget("drop", 0.005),
    "agreement": Budget("agreement", 0.99),
    "closeness": Budget("cosine", 0.99),
}
"""What must be kept where nothing is said: half a point of the right answers, 99 of 100 classes,
or a mean cosine of 0.99 to the original's answers."""
_INTEGERS = ("int8", "int4")
_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a search starts from; nothing of it changes on the way but the package's variants."""

    path: Path
    track: Track
    parent: Variant
    usable: tuple[ProviderInfo, ...]
    evaluation: Dataset
    calibration_cases: int
    data: Data
    speed_key: str
    wall_s: float
    notes: tuple[str, ...]

    @property
    def subject(self) -> Subject:
        """The package, as it was when the search began."""
        return self.track.subject

    @property
    def package(self) -> Package:
        """Its manifest's values."""
        assert self.track.subject.package is not None
        return self.track.subject.package

    @property
    def baseline(self) -> str:
        """What the baseline is, in words: a package may have no float variant."""
        return FLOAT if self.parent.precision not in _INTEGERS else self.parent.name

    def weights(self) -> dict[str, int]:
        """Count the weights that each operator of the float variant reads."""
        from edgekit.graph.weights import weights_by_operator

        return weights_by_operator(self.path / self.parent.model)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants that can win: `edgekit.load` takes the winner unasked, so it must take all
        that the package does, and not some sizes alone."""
        return tuple(variant for variant in self.subject.variants if not variant.sizes)


def prepare(
    path: Path,
    *,
    providers: Sequence[str] = (),
    budgets: Sequence[Budget] = (),
    undecided: Undecided = "reject",
    batch: int | None = None,
    calib_data: str | None = None,
    eval_data: str | None = None,
    made_up: bool = False,
    wall_s: float = 600.0,
) -> Setting:
    """Read and check all that a search needs, before anything long starts.

    Args:
        path: the package.
        providers: those to search on; all that can be used here unless given.
        budgets: what must be kept; by default one that the cases allow, see `DEFAULT_BUDGETS`.
        undecided: whether a variant may win on which the cases don't decide.
        batch: the rows of a timed call.
        calib_data: what to calibrate with, see `edgekit.data.open_data`.
        eval_data: what accuracy is measured on.
        made_up: take made-up values where there are no real ones.
        wall_s: how long loading, or a single run, may take.

    Raises:
        BadValue: it is an .onnx file, a batch that the model doesn't take, a budget that can't be
            had of the cases, there are no cases to measure accuracy on, or no variant that takes
            all sizes.
        UnknownName, ProviderUnavailable: a provider isn't there.
        NotFound, CorruptPackage: the package can't be read.
    """
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        raise BadValue(
            what="what is tuned",
            asked=f"{path}, a plain .onnx file",
            expected=f"a model package; make one with: edgekit export {path}",
        )
    usable = usable_providers(tuple(providers))
    subject = open_subject(path, wall_s=wall_s)
    assert subject.package is not None
    assert subject.graph is not None
    parent = next((variant for variant in subject.variants if not variant.sizes), None)
    if parent is None:
        raise BadValue(
            what=f"a search on {path}",
            asked="done where every variant takes some sizes alone "
            f"({_fixed(subject.variants[0])})",
            expected="the package that they were made in, with the variant that takes all sizes",
        )
    feed, sizes, rows = timing_feed(subject.signature, example(subject), batch=batch)
    given = given_evaluation([subject], eval_data=eval_data, calib_data=calib_data)
    evaluation = given or package_data(path, subject.package, subject.graph, split="test")
    notes = []
    if evaluation is None:
        if not made_up:
            raise BadValue(
                what=f"a search on {path}",
                asked="done without held-out cases, and the package has none",
                expected="--eval-data with real ones (an .npz, a folder, a .parquet, or "
                "file.py:factory), or --synthetic to take made-up values, with all that is "
                "measured so marked",
            )
        like = [case.feed for case in subject.cases]
        evaluation = synthetic(subject.signature, like=like, seed=_SEED, split="test")
    if evaluation.synthetic:
        notes.append("accuracy is measured on made-up values: real ones may be answered otherwise")
    metric = judged_by(
        evaluation, subject.signature, metric=subject.package.metric, budgets=budgets
    )
    labelled = next((case.label is not None for case in evaluation.open()), False)
    if not budgets:
        told = "agreement" if metric == "top1" and not labelled else metric
        budgets = [DEFAULT_BUDGETS[told]]
        notes.append(f"no budget was given: {budgets[0]} is taken")
    refuse_unavailable(budgets, evaluation, metric=metric)
    notes += [
        f"{variant.name} isn't tried: it takes {_fixed(variant)} alone"
        for variant in subject.variants
        if variant.sizes
    ]
    calibration = subject.graph.calibration
    machine = machines.describe()
    return Setting(
        path=path,
        track=Track(
            subject=subject,
            baseline=Way(parent.name, SessionChoice(provider=_of_baseline(parent, usable))),
            feed=feed,
            sizes=sizes,
            batch=rows,
            machine=machine,
            metric=metric,
            wall_s=wall_s,
        ),
        parent=parent,
        usable=usable,
        evaluation=evaluation,
        calibration_cases=calibration.cases if calibration is not None else 32,
        data=Data(tuple(budgets), undecided, calib_data, eval_data, made_up),
        speed_key=machines.speed_key(machine),
        wall_s=wall_s,
        notes=tuple(notes),
    )


def again(setting: Setting) -> Setting:
    """Read the package once more: it has other variants than before."""
    subject = open_subject(setting.path, wall_s=setting.wall_s)
    track = msgspec.structs.replace(setting.track, subject=subject)
    return Setting(**{**vars(setting), "track": track})


def _fixed(variant: Variant) -> str:
    return ", ".join(f"{name} {n}" for name, n in variant.sizes.items())


def _of_baseline(parent: Variant, usable: Sequence[ProviderInfo]) -> str:
    """Name the provider of the baseline: the processor, which is always there, unless the search
    is on others alone; then the first of them that takes the variant."""
    names = [p.name for p in usable if not p.unfit(parent.facts, parent.precision)]
    usual = SessionChoice().provider
    return usual if usual in names or not names else names[0]
