"""What `edgekit sensitivity` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.package.values import Target
from edgekit.quantize.searching.evaluation import Noise, in_db
from edgekit.quantize.searching.ranking import Row, Sensitivity
from edgekit.report.sensitivity import ranked

TextOf = Callable[..., str]


def row(name: str, nsr: float | None, share: float | None, **facts: Any) -> Row:
    noise = None if nsr is None else Noise(nsr, in_db(nsr), 1 - nsr)
    given: dict[str, Any] = {"nodes": (name,), "operators": {"MatMul": 1}, "cost_us": None}
    given |= {"cost_share": None, "local_sqnr_db": 30.0, "local_known": True} | facts
    return Row(name=name, noise=noise, share=share, **given)


@pytest.fixture
def found() -> Sensitivity:
    return Sensitivity(
        package="net",
        variant="fp32",
        scheme="int8-static",
        target=Target(arch="x86_64"),
        by="node",
        rows=(
            row("far[0]", 0.01, 0.9, cost_us=12.34, cost_share=0.1),
            row("near", 0.001, 0.09, cost_us=-2500.0, cost_share=-0.02),
            row("still", 0.0, 0.0, local_sqnr_db=None, cost_us=321.6, cost_share=0.5),
            row("unknown", None, None, local_known=False, local_sqnr_db=None),
        ),
        whole=Noise(0.02, in_db(0.02), 0.98),
        nodes=4,
        kept={},
        carriers=("far[0]",),
        without=Noise(0.001, 30.0, 0.9995),
        float_us=20_000.0,
        quantized_us=123.4,
        cases=8,
        dataset="digits",
        calibrated_on=256,
        synthetic=False,
        notes=("something else",),
    )


def test_rows_are_ranked_and_the_carrier_is_named_with_its_price(
    found: Sensitivity, text_of: TextOf
) -> None:
    lines = text_of(ranked, "my net.edgekit", found).splitlines()
    assert lines[0] == (
        "my net.edgekit  fp32 in int8-static for any x86-64 processor: 4 nodes, each node alone "
        "over 8 digits"
    )
    assert lines[1] == (
        "All of them together: SQNR 17.0 dB, cosine 0.980000 to the float variant's answers. "
        "Nodes take 20.0 ms a run in float, 123 µs quantized."
    )
    cells = [line.split() for line in lines[3:7]]
    assert cells[0] == [
        *("1", "far[0]", "MatMul", "20.0", "0.990000", "30.0", "90.0", "%"),
        *("+12.3", "µs", "(+10.0", "%)"),
    ]
    assert cells[1][-4:] == ["-2.50", "ms", "(-2.0", "%)"]
    assert cells[2][3:6] == ["exact", "1.000000", "exact"]
    assert cells[2][-4:] == ["+322", "µs", "(+50.0", "%)"]
    assert cells[3][2:] == ["MatMul", "–", "–", "–", "–"]
    assert lines[-3] == "Note: something else."
    assert lines[-2] == (
        "far[0] carries 90 % of the loss. With it in float: SQNR 30.0 dB, cosine 0.999500 to the "
        "float variant's answers, for +12.3 µs a run (+10.0 %)."
    )
    assert lines[-1] == (
        "Next: edgekit quantize 'my net.edgekit' --scheme int8-static --keep-float 'far[0]'"
    )


def test_several_carriers_are_in_one_sentence_and_all_in_the_command(
    found: Sensitivity, text_of: TextOf
) -> None:
    names = tuple(f"n{index}" for index in range(10))
    rows = tuple(row(name, 0.01, 0.1, nodes=(name, f"{name}b")) for name in names)
    many = msgspec.structs.replace(found, rows=rows, carriers=names[:9], by="group")
    text = text_of(ranked, "net.edgekit", many, width=80)
    assert "n0, n1, n2, n3, n4, n5, n6, n7 and 1 more carry 90 %" in " ".join(text.split())
    command = text.splitlines()[-1]  # in one line, however narrow, so that it can be copied
    assert command.startswith("Next: edgekit quantize net.edgekit --scheme int8-static ")
    assert command.count("--keep-float") == 18
    assert "each group alone" in " ".join(text.split())


def test_options_that_count_come_again(found: Sensitivity, text_of: TextOf) -> None:
    def shown(console: Any, path: str, value: Sensitivity) -> None:
        ranked(console, path, value, again=["--target portable", "--synthetic"])

    assert "--scheme int8-static --target portable --synthetic --keep" in text_of(
        shown, "net.edgekit", found
    )


def test_a_spread_loss_blames_no_node(found: Sensitivity, text_of: TextOf) -> None:
    spread = msgspec.structs.replace(found, carriers=(), without=None)
    lines = text_of(ranked, "net.edgekit", spread).splitlines()
    assert lines[-2] == "The loss is spread: no few nodes carry it."
    assert lines[-1] == "Next: edgekit quantize net.edgekit --scheme int8-static"


def test_where_nothing_is_lost_that_is_said(found: Sensitivity, text_of: TextOf) -> None:
    exact = msgspec.structs.replace(
        found,
        rows=(row("a", 0.0, None),),
        carriers=(),
        without=None,
        whole=Noise(0.0, None, 1.0),
        float_us=None,
    )
    text = text_of(ranked, "net.edgekit", exact)
    assert "All of them together: the float variant's answers exactly.\n" in text
    assert "Quantizing them loses nothing here." in text


def test_the_rest_is_counted(found: Sensitivity, text_of: TextOf) -> None:
    def shown(console: Any, path: str, value: Sensitivity) -> None:
        ranked(console, path, value, top=2)

    text = text_of(shown, "net.edgekit", found)
    assert "… and 2 more: --top 4, or --json" in text
    assert "still" not in text


def test_made_up_values_are_said_to_be(found: Sensitivity, text_of: TextOf) -> None:
    made_up = msgspec.structs.replace(found, synthetic=True, dataset="made-up cases")
    first = text_of(ranked, "net.edgekit", made_up).splitlines()[0]
    assert first.endswith("over 8 made-up cases")
