"""Drawings belong to their page: its colours, its style sheet, its ids."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib
import pytest
from matplotlib.figure import Figure

from edgekit.report.html.charts.labels import Named, label_points
from edgekit.report.html.charts.rows import Line, row_axes, short, shortened
from edgekit.report.html.svg import INKS, Drawing, Sheet, Size, rendered


def drawing(name: str = "one", label: str = "a") -> Drawing:
    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=INKS["first"], gid="line")
        axes.text(0, 0, f"{label} narrow" if narrow else label, color=INKS["ink"])

    return Drawing(
        name, "Title", "What it shows", draw, Size(400, 200), Size(200, 200), {"line": "tip"}
    )


def test_colours_are_the_pages_variables_and_styles_its_classes() -> None:
    sheet = Sheet()
    wide, narrow = rendered(drawing(), sheet)
    assert "style=" not in wide + narrow
    assert "<style" not in wide + narrow
    assert "stroke:var(--first)" in sheet.css()
    assert "fill:var(--ink)" in sheet.css()
    assert not any(colour in sheet.css() for colour in INKS.values())
    assert "font-family" not in sheet.css()
    used = set(re.findall(r'class="(p\d+)"', wide + narrow))
    assert used == set(re.findall(r"^\.(p\d+)\{", sheet.css(), re.MULTILINE))


def test_two_drawings_share_no_id_and_refer_to_their_own() -> None:
    sheet = Sheet()
    made = [*rendered(drawing("one"), sheet), *rendered(drawing("two"), sheet)]
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in made]
    assert len(set().union(*ids)) == sum(map(len, ids))
    for svg, own in zip(made, ids, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) <= set(own)


def test_a_drawing_says_what_it_shows() -> None:
    root = ET.fromstring(rendered(drawing(), Sheet())[0])
    title, description, *_ = list(root)
    assert (title.text, description.text) == ("Title", "What it shows")
    assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], description.attrib["id"]]
    tips = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert tips == ["Title", "tip"]


@pytest.mark.parametrize("label", ["$\\frac$", "<script>", "\u4f60\u597d", "a & b"])
def test_any_label_is_text(label: str) -> None:
    root = ET.fromstring(rendered(drawing(label=label), Sheet())[0])
    assert label in [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_settings_of_the_users_own_change_nothing() -> None:
    plain = rendered(drawing(), Sheet())
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "lines.linewidth": 9}):
        assert rendered(drawing(), Sheet()) == plain


def test_labels_never_lie_on_one_another() -> None:
    figure = Figure(figsize=(6, 4), dpi=72)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [Named(f"a label of point {n}", 0.5 + n / 1000, 0.5) for n in range(40)]
    label_points(axes, points, letters=40)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert 4 <= len(boxes) < 40  # those that find no room are left to the table
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_a_row_names_what_it_shows_and_cuts_what_is_too_long() -> None:
    figure = Figure(figsize=(5, 2), dpi=72)
    axes = row_axes(figure, [Line("short", "1 ms"), Line("long " * 40, "2 ms", strong=True)], 60)
    texts = [text.get_text() for text in axes.texts]
    assert texts[:2] == ["short", "1 ms"]
    assert texts[2].endswith("…")
    assert len(texts[2]) < 60


@pytest.mark.parametrize(
    ("value", "written"), [(0.05, "0.05"), (1.0, "1"), (30.0, "30"), (1000.0, "1,000")]
)
def test_a_tick_has_no_idle_zeros(value: float, written: str) -> None:
    assert short(value) == written


def test_a_name_is_cut_and_cleaned() -> None:
    assert shortened("abc", 8) == "abc"
    assert shortened("a\x1bb\nc" * 5, 10) == "a\\x1bb ca…"
