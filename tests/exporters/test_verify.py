from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import FactoryFailed, RunFailed, VerificationFailed
from edgekit.package.values import OutputCloseness, Verification
from edgekit.tensors import Array, Dim, Feed, Signature, TensorSpec, dtype_named
from exporters.answers import answers
from exporters.arrays import to_numpy
from exporters.bounds import RULE_DOUBLE, RULE_SINGLE
from exporters.exportable import Exportable
from exporters.original import Original
from exporters.verify import verify

Answers = dict[str, Array]
BATCH = Dim("batch", 1, 64)
SIZES = [{"batch": 2}, {"batch": 1}, {"batch": 17}]
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (BATCH, 4)),),
    (
        TensorSpec("scores", "float32", (Dim("batch", 0), 3)),
        TensorSpec("best", "int64", (Dim("batch", 0),)),
        TensorSpec("high", "bool", (Dim("batch", 0), 3)),
    ),
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores = self.linear(x)
        return {"scores": scores, "best": scores.argmax(-1), "high": scores > 0}


def original_of(module: nn.Module, x: Tensor) -> Original:
    return Original(Exportable(module, (x,), input_names=["x"]))


X = torch.linspace(-1, 1, 8).reshape(2, 4)
NET = original_of(Net(), X)


def verified(
    change: Callable[[Answers, Feed], Mapping[str, Array]],
    original: Original = NET,
    signature: Signature = SIGNATURE,
    **given: Any,
) -> tuple[tuple[OutputCloseness, ...], Verification]:
    """Verify an export that answers as the original does, but for `change`."""

    def exported(feed: Feed) -> Mapping[str, Array]:
        return change({k: v.copy() for k, v in answers(original, feed).items()}, feed)

    example = {"x": to_numpy(original.example["x"])}
    return verify(original, exported, signature, **{"example": example, "sizes": SIZES} | given)


def put(output: str, value: Callable[[Array], Any]) -> Callable[[Answers, Feed], Answers]:
    return lambda got, feed: {**got, output: value(got[output])}


def one_element(change: Callable[[Any], Any]) -> Callable[[Array], Array]:
    def changed(array: Array) -> Array:
        array.flat[-1] = change(array.flat[-1])
        return array

    return changed


def test_an_export_that_answers_as_its_original_passes_and_is_measured() -> None:
    closenesses, verification = verified(lambda got, feed: got)
    assert [c.output for c in closenesses] == ["scores", "best", "high"]
    assert verification == Verification(sizes=tuple(SIZES), draws=2, rule=RULE_DOUBLE)
    scores, best, high = closenesses
    assert 0 < scores.max_abs_error < 1e-6
    assert scores.max_abs_error <= scores.tolerance.absolute < 1e-4
    assert scores.cosine > 0.999999
    assert scores.sqnr_db is not None
    assert scores.sqnr_db > 100
    assert best.max_abs_error == high.max_abs_error == best.tolerance.absolute == 0
    assert best.sqnr_db is None


@pytest.mark.parametrize(
    ("change", "output", "problem"),
    [
        (put("scores", lambda a: a * np.float32(1.001)), "scores", r"\d+ of 6 elements.*allowed"),
        (put("scores", one_element(lambda v: v + 1e-3)), "scores", "1 of 6 elements.*0.001 away"),
        (put("scores", lambda a: a[None]), "scores", r"shape is \[1, 2, 3\] and the .* \[2, 3\]"),
        (put("scores", lambda a: a.reshape(3, 2)), "scores", r"its shape is \[3, 2\]"),
        (put("scores", lambda a: a.astype(np.float64)), "scores", "its type is float64 and the"),
        (put("best", lambda a: a.astype(np.int32)), "best", "its type is int32 and the original's"),
        (put("scores", one_element(lambda v: np.nan)), "scores", "1 of 6 elements.*got nan"),
        (put("scores", one_element(lambda v: np.inf)), "scores", "1 of 6 elements.*got inf"),
        (put("best", one_element(lambda v: v + 1)), "best", "1 of 2 elements.*1 away"),
        (put("high", one_element(lambda v: ~v)), "high", "1 of 6 elements"),
        (lambda got, feed: {k: v for k, v in got.items() if k != "best"}, "best", "it is missing"),
    ],
)
def test_a_wrong_answer_is_named_by_output_sizes_and_difference(
    change: Callable[[Answers, Feed], Answers], output: str, problem: str
) -> None:
    with pytest.raises(VerificationFailed, match=f"output {output} at batch=2: .*{problem}"):
        verified(change)


@pytest.mark.parametrize("size", [1, 17])
def test_an_export_that_is_wrong_at_one_size_alone_is_caught(size: int) -> None:
    def change(got: Answers, feed: Feed) -> Answers:
        return {**got, "scores": got["scores"] + np.float32(0.01 * (len(feed["x"]) == size))}

    with pytest.raises(VerificationFailed, match=f"output scores at batch={size}: "):
        verified(change)


def test_an_export_that_is_wrong_on_drawn_values_alone_is_caught() -> None:
    real = NET.example["x"].numpy()

    def change(got: Answers, feed: Feed) -> Answers:
        known = all(row in real for row in feed["x"])
        return {**got, "scores": got["scores"] + np.float32(0 if known else 0.01)}

    with pytest.raises(VerificationFailed):
        verified(change)


def test_an_export_that_is_wrong_on_a_real_case_alone_is_caught() -> None:
    special = {"x": np.full((1, 4), 0.5, np.float32)}

    def change(got: Answers, feed: Feed) -> Answers:
        return {**got, "scores": got["scores"] + np.float32((feed["x"] == 0.5).all())}

    verified(change, real=[{"x": special["x"] + 1}])
    with pytest.raises(VerificationFailed, match="output scores at evaluation case 1: "):
        verified(change, real=[{"x": special["x"] + 1}, special])


def test_an_export_that_fails_to_run_at_a_size_is_a_wrong_export() -> None:
    def change(got: Answers, feed: Feed) -> Answers:
        if len(feed["x"]) == 17:
            raise RunFailed(package="net", problem="Reshape: cannot reshape")
        return got

    with pytest.raises(VerificationFailed, match="batch=17: Reshape: cannot reshape"):
        verified(change)


def test_an_output_dimension_that_is_said_to_be_fixed_must_be() -> None:
    _, *others = SIGNATURE.outputs
    wrong = Signature(SIGNATURE.inputs, (TensorSpec("scores", "float32", (2, 3)), *others))
    with pytest.raises(VerificationFailed, match="batch=1: axis 0 is said to be 2 at any size and"):
        verified(lambda got, feed: got, signature=wrong)


def test_the_bound_is_ten_times_what_the_original_is_off_an_element_at_a_time() -> None:
    """The element that the original itself computes badly may be off, and no other."""

    class Cancels(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            # In float32 the large number swallows the small one's last digits, in the first column.
            large = torch.tensor([1e4, 0, 0, 0], dtype=x.dtype)
            return (x + large) - large

    original = original_of(Cancels(), torch.rand(2, 4))
    signature = Signature(SIGNATURE.inputs, (TensorSpec("output", "float32", (Dim("b", 0), 4)),))
    feed = {"x": original.example["x"].numpy()}
    off = np.abs(answers(original, feed)["output"] - feed["x"])[:, 0]
    assert off.min() > 1e-6

    def moved(column: int, factor: float) -> Callable[[Answers, Feed], Answers]:
        def change(got: Answers, feed: Feed) -> Answers:
            error = got["output"][:, 0].astype(np.float64) - feed["x"][:, 0]
            exact = feed["x"].astype(np.float64)
            exact[:, column] += factor * error
            return {"output": exact.astype(np.float32)}

        return change

    verified(moved(0, 8), original, signature, sizes=[{}])
    with pytest.raises(VerificationFailed, match=r"worst at \[\d, 0\]"):
        verified(moved(0, 12), original, signature, sizes=[{}])
    with pytest.raises(VerificationFailed, match=r"worst at \[\d, 1\]"):
        verified(moved(1, 8), original, signature, sizes=[{}])


ONE = Signature(SIGNATURE.inputs, (TensorSpec("output", "float32", (Dim("batch", 0), 4)),))


class Fixed(nn.Module):
    """Can't run in double: it multiplies with a matrix of float32 that isn't a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = [torch.eye(4)]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix[0]


def test_a_module_that_cannot_run_in_double_falls_back_and_says_so() -> None:
    original = original_of(Fixed(), X)
    closenesses, verification = verified(lambda got, feed: got, original, ONE)
    assert verification.rule == RULE_SINGLE
    assert "can't run in double" in verification.rule
    assert closenesses[0].tolerance.relative == 1e-3
    assert closenesses[0].tolerance.absolute == pytest.approx(1e-5)
    verified(put("output", lambda a: a * np.float32(1.0009)), original, ONE)
    with pytest.raises(VerificationFailed):
        verified(put("output", lambda a: a * np.float32(1.0012)), original, ONE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_coarse_types_that_cannot_run_in_double_may_be_off_by_their_own_units(
    dtype: torch.dtype,
) -> None:
    module = Fixed()
    module.matrix = [torch.eye(4, dtype=dtype)]
    original = original_of(module, X.to(dtype))
    array = to_numpy(original.example["x"])
    signature = Signature((TensorSpec("x", dtype_named(array.dtype.name), (2, 4)),), ())
    given: dict[str, Any] = {"sizes": [{}], "example": {"x": array}}

    def times(factor: float) -> Callable[[Answers, Feed], Answers]:
        return put("output", lambda a: (a.astype(np.float64) * factor).astype(a.dtype))

    unit = torch.finfo(dtype).eps
    _, verification = verified(times(1 + 2 * unit), original, signature, **given)
    assert verification.rule == RULE_SINGLE
    with pytest.raises(VerificationFailed):
        verified(times(1 + 20 * unit), original, signature, **given)


def test_an_asked_tolerance_replaces_the_rule_and_is_recorded() -> None:
    off = put("scores", lambda a: a + np.float32(0.01) * np.abs(a).max())
    with pytest.raises(VerificationFailed):
        verified(off)
    with pytest.raises(VerificationFailed):
        verified(off, tolerance=0.009)
    closenesses, verification = verified(off, tolerance=0.011)
    assert verification.rule == "|exported - original| <= 0.011 x largest value (asked for)"
    assert closenesses[0].tolerance.absolute > 0.01
    with pytest.raises(VerificationFailed, match="output best"):
        verified(put("best", lambda a: a + 1), tolerance=1.0)


class Overflows(nn.Module):
    """Infinite in float32 where x is 1, not in double; NaN where it is 0 in both."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 1e38) * 1e3 * (0 * x / x + 1)


def test_nan_and_infinity_must_coincide() -> None:
    original = original_of(Overflows(), torch.tensor([[1.0, 0.0, 1e-9, 1e-8]]))
    got = answers(original, {"x": original.example["x"].numpy()})["output"][0]
    assert np.isposinf(got[0])
    assert np.isnan(got[1])
    assert np.isfinite(got[2:]).all()
    closenesses, verification = verified(lambda got, feed: got, original, ONE, sizes=[{}])
    assert verification.rule == RULE_DOUBLE
    assert closenesses[0].max_abs_error <= closenesses[0].tolerance.absolute < 1e37
    for column, wrong in ((0, 3e38), (0, -np.inf), (1, 0.0), (2, np.inf), (3, np.nan)):

        def change(got: Answers, feed: Feed, column: int = column, wrong: float = wrong) -> Answers:
            got["output"][:, column] = wrong
            return got

        with pytest.raises(VerificationFailed):
            verified(change, original, ONE, sizes=[{}])


def test_empty_outputs_compare_by_shape() -> None:
    class Empty(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :0]

    original = original_of(Empty(), X)
    signature = Signature(SIGNATURE.inputs, (TensorSpec("output", "float32", (BATCH, 0)),))
    verified(lambda got, feed: got, original, signature)
    with pytest.raises(VerificationFailed, match="its shape is"):
        verified(put("output", lambda a: a[:0]), original, signature)


def test_an_original_that_fails_at_a_size_says_which_and_what_to_do() -> None:
    class Even(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(x.shape[0] // 2, 2, 4)

    original = original_of(Even(), X)
    with pytest.raises(FactoryFailed, match=r"at batch=1 raised RuntimeError.*narrow the range"):
        verified(lambda got, feed: got, original, Signature(SIGNATURE.inputs, ()))


# ---- random outputs ---------------------------------------------------------------------------

RANDOM = Signature(
    SIGNATURE.inputs,
    (
        TensorSpec("scores", "float32", (Dim("batch", 0), 3), random=True),
        *SIGNATURE.outputs[1:],
    ),
)


def redrawn(got: Answers, feed: Feed) -> Answers:
    drawn = np.asarray(np.random.default_rng().random(got["scores"].shape, np.float32))
    return {**got, "scores": drawn}


def test_a_random_output_is_compared_by_shape_and_type_alone() -> None:
    worst, _ = verified(redrawn, NET, RANDOM)
    assert [entry.output for entry in worst] == ["best", "high"]
    with pytest.raises(VerificationFailed, match="its shape is"):
        verified(lambda g, f: {**g, "scores": redrawn(g, f)["scores"][:, :2]}, NET, RANDOM)
    with pytest.raises(VerificationFailed, match="its type is float64"):
        verified(put("scores", lambda a: np.random.rand(*a.shape)), NET, RANDOM)


# ---- values that the example doesn't show -----------------------------------------------------


def test_values_beyond_the_example_are_compared_where_no_range_is_stated() -> None:
    example = {"x": np.full((2, 4), 0.5, np.float32)}

    def wrong_below_zero(got: Answers, feed: Feed) -> Answers:
        return {**got, "scores": got["scores"] + (feed["x"].min() < 0)}

    with pytest.raises(VerificationFailed, match=r"values twice as far out .*state their range"):
        verified(wrong_below_zero, example=example)
    stated = TensorSpec("x", "float32", (BATCH, 4), (0.0, 1.0))
    verified(wrong_below_zero, NET, Signature((stated,), SIGNATURE.outputs), example=example)


def test_values_that_the_original_refuses_are_no_reason_to_refuse_its_export() -> None:
    class Positive(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.min() < 0:
                raise ValueError("positive numbers only")
            return x * 2

    original = original_of(Positive(), X.abs())
    signature = Signature(SIGNATURE.inputs, (TensorSpec("output", "float32", (BATCH, 4)),))
    fed: list[float] = []

    def watched(got: Answers, feed: Feed) -> Answers:
        fed.append(float(feed["x"].min()))
        return got

    worst, held = verified(watched, original, signature)
    assert [entry.output for entry in worst] == ["output"]
    assert held.sizes == tuple(SIZES)
    # Only what the original answers is put to its export.
    assert min(fed) >= 0
