"""Differences between two profiles: each node is counted once, under the right reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.graph.loaded import LoadedNode  # noqa: E402
from edgekit.graph.sized import Sized, SizedNode  # noqa: E402
from edgekit.graph.work import Work  # noqa: E402
from edgekit.measure.roofline.limits import Peaks  # noqa: E402
from edgekit.measure.slowness.ledger import Entry, added_nodes, ledger  # noqa: E402
from edgekit.measure.slowness.reasons import (  # noqa: E402
    memory_bound,
    reasons_of,
    too_small,
)
from edgekit.measure.slowness.running import (  # noqa: E402
    RanNode,
    RanVariant,
    with_owners,
    without_the_profile,
)
from edgekit.measure.slowness.sentences import Difference  # noqa: E402
from edgekit.runtime.kernels import Kernel  # noqa: E402

CPU = "CPUExecutionProvider"


def parsed(text: str) -> Any:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> g {text}')


SOURCE = parsed(
    "(float[2,2] x, float[2,2] W) => (float[2,2] y) "
    "{ [first] a = MatMul(x, W) [act] r = Relu(a) [norm] n = Softmax(r) [second] y = MatMul(n, W) }"
)
WHOLE = parsed(
    "(float[2,2] x, float[2,2] W, float[] s, uint8[] z) => (float[2,2] y) "
    "{ [in_q] xq = QuantizeLinear(x, s, z) [first] aq = QLinearMatMul(xq, s, z, W, s, z, s, z) "
    "[act_d] ad = DequantizeLinear(aq, s, z) [act] r = Relu(ad) [norm] n = Softmax(r) "
    "[norm_q] nq = QuantizeLinear(n, s, z) [lay] nt = Transpose(nq) "
    "[second] yq = QLinearMatMul(nt, s, z, W, s, z, s, z) [out_d] y = DequantizeLinear(yq, s, z) }"
)


def ran(
    model: Any, times: dict[str, float], *, beside: float = 0.0, elsewhere: tuple[str, ...] = ()
) -> RanVariant:
    """Give the nodes of a graph as they ran: those that are named, with the times given."""
    nodes = []
    for node in model.graph.node:
        if node.name not in times:
            continue
        whole = node.op_type in ("QuantizeLinear", "QLinearMatMul", "Transpose")
        came_whole = node.op_type in ("DequantizeLinear", "QLinearMatMul", "Transpose")
        kinds = "uint8" if came_whole else "float32", "uint8" if whole else "float32"
        sized = SizedNode(
            node.name,
            node.op_type,
            inputs=tuple(Sized(kinds[0], (2, 2)) for _ in node.input),
            outputs=(Sized(kinds[1], (2, 2)),),
        )
        kernel = Kernel(
            node.name,
            node.op_type,
            "Other" if node.name in elsewhere else CPU,
            times[node.name],
            1,
            [],
            [],
        )
        outputs = ["r"] if node.name == "first" and "act" not in times else list(node.output)
        loaded = LoadedNode(sized, tuple(node.input), tuple(outputs))
        nodes.append(RanNode(kernel, loaded, times[node.name], Work(1000, 16)))
    return with_owners(RanVariant(tuple(nodes), beside), SOURCE, _FILES[id(model)])


_FILES: dict[int, Path] = {}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> None:
    for name, model in (("source", SOURCE), ("whole", WHOLE)):
        _FILES[id(model)] = tmp_path / f"{name}.onnx"
        onnx.save(model, _FILES[id(model)])


BEFORE = {"first": 50.0, "norm": 20.0, "second": 40.0}
AFTER = {
    **{"in_q": 5.0, "first": 30.0, "act_d": 4.0, "act": 9.0, "norm": 26.0, "norm_q": 3.0},
    **{"lay": 7.0, "second": 55.0, "out_d": 2.0},
}


def entries(
    before: dict[str, float], after: dict[str, float], **how: Any
) -> dict[tuple[str, tuple[str, ...]], float]:
    found = ledger(SOURCE, ran(SOURCE, before), ran(WHOLE, after, **how), ort_name=CPU)
    return {(one.kind, one.nodes): one.us for one in found}


def test_every_difference_is_counted_once_and_all_of_it() -> None:
    found = entries(BEFORE, AFTER, beside=6.0)
    assert found == {
        ("reordering", ("lay",)): 7.0,
        # Relu is in the parent's MatMul, Softmax has a kernel in both: an island in float.
        ("float island", ("act", "act_d", "norm_q")): 4.0 + 9.0 + 3.0,
        ("conversions", ("in_q", "out_d")): 7.0,
        ("slower kernel", ("first",)): 30.0 - 50.0,
        ("other", ("norm",)): 6.0,
        ("slower kernel", ("second",)): 15.0,
        ("small nodes", ()): 6.0,
    }
    assert sum(found.values()) == sum(AFTER.values()) + 6 - sum(BEFORE.values())


def test_nodes_on_another_provider_come_first() -> None:
    found = entries(BEFORE, AFTER, elsewhere=("second", "lay"))
    assert found[("another provider", ("lay", "second"))] == 62.0
    assert sum(found.values()) == sum(AFTER.values()) - sum(BEFORE.values())


def test_what_a_model_could_do_without_is_told() -> None:
    before, after = ran(SOURCE, BEFORE), ran(WHOLE, AFTER)
    found = added_nodes(SOURCE, before, after)
    assert {after.nodes[place].kernel.name for place in found} == {
        *("in_q", "act_d", "act", "norm_q", "lay", "out_d")
    }
    assert added_nodes(SOURCE, before, before) == frozenset()


def test_reasons_say_what_it_costs_the_most_expensive_first() -> None:
    before, after = ran(SOURCE, BEFORE), ran(WHOLE, AFTER, beside=6.0)
    difference = Difference(sum(AFTER.values()) + 6, sum(BEFORE.values()), "int8", "fp32", 6)
    found, gained = reasons_of(ledger(SOURCE, before, after, ort_name=CPU), difference)
    assert [reason.sentence for reason in found] == [
        "Relu and Softmax stay in float between integers, in 1 place: 3 nodes that fp32 hasn't, "
        "2 conversions among them, take 16.0 µs.",
        "QLinearMatMul takes longer than MatMul in fp32: 55.0 µs instead of 40.0 µs in 1 node "
        "(second).",
        "1 node lays values out anew (Transpose): 7.0 µs, in fp32 less than 1 µs.",
        "2 nodes that fp32 hasn't turn numbers into integers and back, and to the right scale "
        "(QuantizeLinear, DequantizeLinear): 7.0 µs.",
        "Softmax, the same kernel in both, takes longer here than in fp32: 26.0 µs instead of "
        "20.0 µs in 1 node (norm).",
        "What a run takes beside its kernels is 6.0 µs more than in fp32: every node costs a "
        "little by itself, and these are 6 more.",
    ]
    assert gained == 20.0
    told = sum(reason.us or 0.0 for reason in found) - gained
    assert told == pytest.approx(difference.variant_us - difference.parent_us)


def test_little_alone_is_no_reason() -> None:
    some = [
        Entry("other", 1.5, ("a",), ("Add",), parent_us=5.0),
        Entry("slower kernel", -30.0, ("b",), ("QLinearConv",), parent_us=50.0),
    ]
    assert reasons_of(some, Difference(171.5, 200.0, "int8", "fp32")) == ([], 28.5)


def test_what_only_the_machine_did_stands_last() -> None:
    some = [
        Entry("small nodes", 900.0, ()),
        Entry("conversions", 50.0, ("q",), ("QuantizeLinear",), conversions=1),
    ]
    found, _ = reasons_of(some, Difference(1150.0, 200.0, "int8", "fp32", 1))
    assert [one.kind for one in found] == ["conversions", "small nodes"]
    assert "so the machine was held up meanwhile" in found[-1].sentence


def test_what_the_same_kernel_takes_more_here_and_less_there_is_chance() -> None:
    some = [
        Entry("other", us, (name,), ("Conv",), parent_us=50.0)
        for name, us in (("a", 30.0), ("b", -29.0), ("c", 40.0), ("d", -20.0))
    ]
    found, gained = reasons_of(some, Difference(221.0, 200.0, "int8", "fp32"))
    assert [(one.us, one.nodes) for one in found] == [(21.0, ("c", "a", "d", "b"))]
    assert gained == 0


def test_what_is_too_little_to_tell_apart_is_still_counted() -> None:
    before, after = ran(SOURCE, BEFORE), ran(WHOLE, {**AFTER, "lay": 0.01, "second": 540.0})
    difference = Difference(619.01, 110.0, "int8", "fp32")
    found, gained = reasons_of(ledger(SOURCE, before, after, ort_name=CPU), difference)
    assert sum(one.us or 0.0 for one in found) - gained == pytest.approx(509.01)
    assert found[-1].sentence.startswith("Smaller differences add up to ")


PEAKS = Peaks("cpu", 1, 100.0, 400.0, 10.0, 1, 10.0, False, {1: 10.0}, "made up")


def product(us: float, work: Work) -> RanVariant:
    kernel = Kernel("m", "MatMulNBits", CPU, us, 1, [], [])
    return RanVariant((RanNode(kernel, LoadedNode(SizedNode("m", "MatMulNBits")), us, work),), 0.0)


@pytest.mark.parametrize(
    ("us", "work", "bound"),
    [
        (120.0, Work(1000, 10**6), True),  # 100 µs of bytes
        (1000.0, Work(1000, 10**6), False),  # far from it
        (120.0, Work(10**7, 1000), False),  # 100 µs of computing
    ],
)
def test_only_what_comes_near_to_memory_is_bound_by_it(us: float, work: Work, bound: bool) -> None:
    found = memory_bound(product(us, work), PEAKS)
    assert (found is not None) == bound
    assert found is None or found.us is None


def test_nodes_that_are_mostly_their_call_are_told() -> None:
    assert too_small(product(3.0, Work(1000, 16)), PEAKS) is not None
    assert too_small(product(30.0, Work(1000, 16)), PEAKS) is None
    assert too_small(product(3.0, Work(2 * 10**5, 16)), PEAKS) is None


def test_what_a_profile_adds_is_taken_off_again() -> None:
    own, beside = without_the_profile([1.0, 10.0, 10.0], 15.0)
    assert own == pytest.approx([0.0, 7.5, 7.5])
    assert beside == 0
    assert without_the_profile([1.0, 4.0], 7.0) == ([1.0, 4.0], 2.0)
    assert without_the_profile([], 7.0) == ([], 7.0)
