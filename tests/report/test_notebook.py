"""Results as tables in a notebook: right HTML, and every name in it text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from edgekit.measure.compare import Compared
from edgekit.measure.results import Quality
from edgekit.metrics import Closeness
from edgekit.package.values import Choice, SessionChoice
from edgekit.quantize.making import Quantized
from edgekit.report.evidence import Known
from edgekit.report.notebook import in_html
from edgekit.runtime.explanation import Explanation
from edgekit.tensors import RunFacts


class Cells(HTMLParser):
    """Reads the texts of table cells, and fails on an element that isn't closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.elements: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.elements.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def compared() -> Compared:
    facts = RunFacts("cpu", "fp32", 2)
    return Compared(
        a="a",
        b="b",
        a_facts=facts,
        b_facts=facts,
        machine="here",
        metric="closeness",
        dataset="cases",
        split="test",
        cases=8,
        synthetic=False,
        outputs={"y": Closeness(1e-3, 1e-2, 0.9999, 40.0), "noise": None},
        accuracy=None,
        quality=Quality("cases", 8, "key"),
    )


def shown(known: Known) -> dict[str, Any]:
    assert known.tuned is not None
    variant = known.package.variants[1]
    choice = Choice("int8-static", SessionChoice(), "the fastest here")
    return {
        "int8-static · cpu · 1 thread": known.tuned,
        "0.120": known.benches[0],
        "Numbers are turned into integers.": known.explained,
        "head": known.sensitivities[0],
        "1.0e-03": compared(),
        "the fastest here": Explanation("cnn", choice, "cpu", 1),
        "0.432 MB": Quantized(
            variant, 432_000, 1_690_000, 3, {}, 256, 8, {}, None, None, "", "", ""
        ),
    }


def test_every_result_shows_itself_as_a_table(known: Known) -> None:
    for cell, result in shown(known).items():
        found = Cells(result._repr_html_())
        assert cell in found.cells
        assert found.elements <= {
            *("p", "strong", "table", "thead", "tbody", "tr", "th", "td"),
        }


def test_names_stay_text(known: Known) -> None:
    hostile = "<script>alert(1)</script>"
    row = msgspec.structs.replace(known.sensitivities[0].rows[0], name=hostile)
    found = msgspec.structs.replace(known.sensitivities[0], rows=(row,), package=hostile)
    read = Cells(found._repr_html_())
    assert hostile in read.cells
    assert "script" not in read.elements


def test_what_is_no_result_is_refused() -> None:
    with pytest.raises(TypeError, match="int is no result"):
        in_html(1)
