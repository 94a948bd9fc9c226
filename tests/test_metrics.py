from __future__ import annotations

import math
from fractions import Fraction

import hypothesis.extra.numpy as hnp
import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit import metrics
from edgekit.errors import BadValue, InputError
from edgekit.metrics import SQNR_FLOOR_DB, UNBOUNDED, closeness, wilson, within

any_floats = hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))


def test_closeness_of_equal_arrays_is_exact() -> None:
    x = np.array([[1.5, np.nan], [np.inf, -np.inf]], np.float16)
    assert closeness(x, x.copy()) == metrics.Closeness(0.0, 0.0, 1.0, None)


def test_closeness_computes_each_measure_by_its_formula() -> None:
    got, expected = np.array([3.0, 4.5, 0.0]), np.array([3.0, 4.0, 0.0])
    found = closeness(got, expected)
    assert found.max_abs_error == 0.5
    assert found.max_rel_error == 0.125
    assert found.cosine == pytest.approx(27.0 / (5.0 * math.sqrt(29.25)))
    assert found.sqnr_db == pytest.approx(10 * math.log10(25 / 0.25))


def test_closeness_floors_the_relative_error_by_the_largest_element() -> None:
    found = closeness(np.array([8.0, 1e-9]), np.array([8.0, 0.0]))
    assert found.max_rel_error == pytest.approx(1e-9 / (8.0 * metrics.RELATIVE_FLOOR))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("swapped", [False, True])
def test_closeness_is_unbounded_where_only_one_side_is_not_finite(
    bad: float, swapped: bool
) -> None:
    pair = (np.array([1.0, bad]), np.array([1.0, 2.0]))
    found = closeness(*(pair[::-1] if swapped else pair))
    assert found == metrics.Closeness(UNBOUNDED, UNBOUNDED, 0.0, SQNR_FLOOR_DB)


def test_closeness_tells_infinities_of_different_sign_apart() -> None:
    assert closeness([np.inf], [-np.inf]).max_abs_error == UNBOUNDED


def test_closeness_leaves_coinciding_infinities_out_of_the_sums() -> None:
    found = closeness([np.inf, np.nan, 1.0], [np.inf, np.nan, 2.0])
    assert (found.max_abs_error, found.max_rel_error) == (1.0, 0.5)
    assert found.sqnr_db == pytest.approx(20 * math.log10(2))


def test_closeness_where_the_expected_output_is_zero_is_noise_alone() -> None:
    found = closeness([1e-3, 0.0], [0.0, 0.0])
    assert found == metrics.Closeness(1e-3, UNBOUNDED, 0.0, SQNR_FLOOR_DB)


def test_closeness_sees_integers_that_float64_cannot_tell_apart() -> None:
    found = closeness(np.array([2**62 + 1]), np.array([2**62]))
    assert found.max_abs_error == 1.0
    assert found.sqnr_db is not None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1))
@example(-1, 2**64 - 1)
def test_closeness_of_integers_is_their_exact_distance(signed: int, unsigned: int) -> None:
    found = closeness(np.array([signed], np.int64), np.array([unsigned], np.uint64))
    assert found.max_abs_error == pytest.approx(float(abs(signed - unsigned)), rel=1e-15)
    assert (found.max_abs_error == 0) == (signed == unsigned)


@given(st.data(), any_floats)
def test_closeness_of_anything_survives_json(data: st.DataObject, expected: np.ndarray) -> None:
    got = data.draw(hnp.arrays(np.float64, expected.shape))
    found = closeness(got, expected)
    assert msgspec.json.decode(msgspec.json.encode(found), type=metrics.Closeness) == found
    assert found.max_abs_error >= 0
    assert -1 <= found.cosine <= 1
    assert (found.sqnr_db is None) == (found.max_abs_error == 0)


def test_closeness_reads_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")
    got = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    assert closeness(got, np.array([1.0, 2.5], np.float32)).max_abs_error == 0.5


@pytest.mark.parametrize(
    "got", [np.zeros((2, 1)), np.array(["a", "b"]), np.zeros(2, complex), np.zeros(2, "V2")]
)
def test_closeness_refuses_other_shapes_and_what_is_not_a_number(got: np.ndarray) -> None:
    with pytest.raises(InputError):
        closeness(got, np.zeros(2))


def test_within_bounds_each_element_by_absolute_plus_relative() -> None:
    expected = np.array([0.0, 100.0])
    assert within(expected + np.array([0.5, 1.5]), expected, absolute=0.5, relative=0.01) is None
    found = within(expected + np.array([0.6, 1.9]), expected, absolute=0.5, relative=0.01)
    assert found is not None
    assert (found.count, found.total, found.index) == (2, 2, (1,))
    assert (found.got, found.expected) == (101.9, 100.0)


def test_within_takes_a_bound_for_each_element() -> None:
    bounds = np.array([1.0, 0.1])
    assert within([1.0, 0.0], [0.0, 0.0], absolute=bounds, relative=0) is None
    found = within([0.0, 1.0], [0.0, 0.0], absolute=bounds, relative=0)
    assert found is not None
    assert found.index == (1,)


def test_within_holds_integers_and_booleans_to_equality() -> None:
    expected = np.array([[1, 2], [3, 4]])
    assert within(expected.astype(np.int32), expected, absolute=0, relative=0) is None
    found = within(expected + np.array([[0, 0], [1, 0]]), expected, absolute=10.0, relative=10.0)
    assert str(found) == (
        "1 of 4 elements are out of tolerance, the worst at [1, 0]: got 4, expected 3, 1 away"
    )
    assert within([True], [False], absolute=10.0, relative=0) is not None


def test_within_asks_nan_and_inf_to_coincide() -> None:
    special = np.array([np.nan, np.inf, -np.inf])
    assert within(special, special.copy(), absolute=0, relative=0) is None
    for index in range(3):
        changed = special.copy()
        changed[index] = 0.0
        for pair in ((changed, special), (special, changed)):
            found = within(*pair, absolute=1e300, relative=1.0)
            assert found is not None
            assert found.index == (index,)
            assert "away" not in str(found)


def test_within_accepts_empty_arrays_and_scalars() -> None:
    assert within(np.zeros((0, 3)), np.zeros((0, 3)), absolute=0, relative=0) is None
    found = within(np.float32(1), np.float32(2), absolute=0, relative=0)
    assert found is not None
    assert found.index == ()


@pytest.mark.parametrize("tolerance", [-1.0, math.nan])
def test_within_refuses_a_tolerance_that_bounds_nothing(tolerance: float) -> None:
    with pytest.raises(BadValue, match="tolerance"):
        within([1.0], [1.0], absolute=tolerance, relative=0)
    with pytest.raises(BadValue, match="tolerance"):
        within([1.0], [1.0], absolute=0, relative=tolerance)


@given(st.data(), any_floats, st.floats(0, 10), st.floats(0, 1))
def test_within_agrees_with_numpy_isclose(
    data: st.DataObject, expected: np.ndarray, absolute: float, relative: float
) -> None:
    got = data.draw(
        st.one_of(st.just(expected + absolute / 2), hnp.arrays(np.float64, expected.shape))
    )
    with np.errstate(all="ignore"):
        fine = np.isclose(got, expected, atol=absolute, rtol=relative, equal_nan=True)
    found = within(got, expected, absolute=absolute, relative=relative)
    assert (0 if found is None else found.count) == np.count_nonzero(~fine)
    if found is not None:
        assert not fine[found.index]


def test_predictions_take_the_first_of_the_highest_scores() -> None:
    scores = np.array([[0.1, 0.9], [0.5, 0.5]], np.float32)
    assert metrics.predictions(scores).tolist() == [1, 0]
    assert metrics.predictions({"logits": scores, "other": -scores}).tolist() == [1, 0]
    assert metrics.predictions(np.zeros((2, 3, 5))).shape == (2, 3)


def test_predictions_of_nan_are_right_for_nobody() -> None:
    ids = metrics.predictions(np.array([[0.0, np.nan], [0.0, 1.0]]))
    assert ids.tolist() == [-1, 1]
    assert metrics.agreement(ids, ids).value == 0.5


@pytest.mark.parametrize("outputs", [np.zeros(3), np.zeros((2, 0)), {}, np.array([["a"]])])
def test_predictions_refuse_what_holds_no_classes(
    outputs: np.ndarray | dict[str, np.ndarray],
) -> None:
    with pytest.raises(InputError):
        metrics.predictions(outputs)


def test_accuracy_and_agreement_count_equal_classes() -> None:
    found = metrics.accuracy([1, 2, 3, 4], [1, 2, 3, 0])
    assert (found.value, found.n) == (0.75, 4)
    assert metrics.agreement([1, 2], [1, 2]).value == 1.0
    with pytest.raises(InputError):
        metrics.accuracy([1, 2], [1])


def test_wilson_gives_the_published_intervals() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = wilson(successes, n)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_wilson_knows_nothing_from_no_trials() -> None:
    assert wilson(0, 0) == metrics.Estimate(0.0, 0.0, 1.0, 0, "Wilson 95 %")


@given(st.integers(1, 5000), st.fractions(0, 1), st.floats(0.5, 0.999))
def test_wilson_contains_its_value_and_mirrors(n: int, share: Fraction, confidence: float) -> None:
    successes = round(share * n)
    found = wilson(successes, n, confidence=confidence)
    mirrored = wilson(n - successes, n, confidence=confidence)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_wilson_refuses_impossible_counts() -> None:
    for successes, n in ((-1, 3), (4, 3)):
        with pytest.raises(BadValue):
            wilson(successes, n)
    with pytest.raises(BadValue):
        wilson(1, 2, confidence=1.0)


def test_other_form_says_what_differs_and_looks_at_no_value() -> None:
    expected = np.zeros((2, 3), np.float32)
    assert metrics.other_form(np.full((2, 3), np.nan, ">f4"), expected) == ""
    assert metrics.other_form(np.zeros((2, 3)), expected) == (
        "it is float64 [2, 3] and should be float32 [2, 3]"
    )
    assert metrics.other_form(np.zeros((), np.float32), expected) == (
        "it is float32 [] and should be float32 [2, 3]"
    )
