"""The report in a real browser: it opens offline, and nothing in it complains or asks for more."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import msgspec
import pytest

from edgekit.report.evidence import Known
from edgekit.report.html.page import page

HOSTILE = "<script>window.hurt = 1</script>\"'&$\\frac$</script><!--"


@functools.cache
def page_of(encoded: bytes) -> str:
    """Write a page once for all tests that look at it."""
    return page(msgspec.json.decode(encoded, type=Known))


def html_of(known: Known) -> str:
    return page_of(msgspec.json.encode(known))


def with_names(known: Known, name: str) -> Known:
    """Put a hostile name wherever a package may have one."""
    text = msgspec.json.encode(known).decode()
    quoted = json.dumps(name)[1:-1]
    for harmless in ('"cnn"', '"head"', '"digits"', '"fp32 · cpu"', '"net.py:make"'):
        text = text.replace(harmless, f'"{quoted}"')
    return msgspec.json.decode(text, type=Known)


def test_the_page_asks_for_nothing_and_says_nothing_in_the_console(
    browser: Any, known: Known
) -> None:
    browser.open(html_of(known))
    assert browser.requests() == []
    assert browser.complaints() == []
    anchors = browser.evaluate("[...document.querySelectorAll('main section')].map(s => s.id)")
    assert anchors == [
        *("latency", "front", "accuracy", "why", "roofline", "sensitivity", "rejected", "machine"),
        *("method", "data"),
    ]
    # Its style sheet and its script are the ones that the policy allows.
    assert browser.evaluate("getComputedStyle(document.querySelector('svg.narrow')).display") == (
        "none"
    )
    assert browser.evaluate("document.getElementById('download').hidden") is False


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ('<img src="http://127.0.0.1:9/a.png" alt="">', "http://127.0.0.1:9/a.png"),
        ("<script>console.error('planted')</script>", "planted"),
        ('<p style="color: red">a style of its own</p>', "Content Security Policy"),
    ],
)
def test_a_planted_fault_is_found(planted: str, found: str, browser: Any, bare: Known) -> None:
    text = html_of(bare).replace("</main>", f"{planted}</main>")
    refused = text.replace("Content-Security-Policy", "x-none") if "style" not in planted else text
    browser.open(refused)
    assert found in " ".join([*browser.requests(), *browser.complaints()])


def test_the_policy_refuses_what_is_planted(browser: Any, bare: Known) -> None:
    planted = "<script>window.hurt = 1</script><img src='http://127.0.0.1:9/' onerror='hurt = 1'>"
    browser.open(html_of(bare).replace("</main>", f"{planted}</main>"))
    assert browser.evaluate("window.hurt") is None
    assert any("Content Security Policy" in line for line in browser.complaints())


def test_names_out_of_a_package_stay_text(browser: Any, known: Known) -> None:
    browser.open(html_of(with_names(known, HOSTILE)))
    assert browser.complaints() == []
    assert browser.evaluate("window.hurt") is None
    assert browser.evaluate("document.querySelectorAll('script').length") == 2
    assert HOSTILE in browser.evaluate("document.querySelector('.kicker').innerText")
    rows = browser.evaluate(
        "[...document.querySelectorAll('#latency tbody th')].map(t => t.textContent)"
    )
    assert HOSTILE in rows


def test_the_raw_samples_are_in_it(browser: Any, known: Known) -> None:
    browser.open(html_of(with_names(known, HOSTILE)))
    text = browser.evaluate("document.getElementById('evidence').textContent")
    assert msgspec.json.decode(text, type=Known) == with_names(known, HOSTILE)


def test_the_raw_data_are_handed_over_without_a_request(browser: Any, bare: Known) -> None:
    browser.open(html_of(bare))
    browser.evaluate(
        "URL.createObjectURL = blob => { window.blob = blob; return 'data:,' };"
        "document.getElementById('download').click()"
    )
    text = browser.evaluate("window.blob.text()")
    assert msgspec.json.decode(text, type=Known) == bare
    assert [url for url in browser.requests() if not url.startswith("data:")] == []


def test_it_is_light_and_dark(browser: Any, known: Known) -> None:
    browser.open(html_of(known))
    seen = {}
    for scheme in ("light", "dark"):
        wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=wanted)
        seen[scheme] = browser.evaluate(
            "['body', '#latency svg.wide text'].map(s => getComputedStyle("
            "document.querySelector(s))).map((style, i) => i ? style.fill : style.backgroundColor)"
        )
    browser.call("Emulation.setEmulatedMedia", features=[])
    (light_paper, light_ink), (dark_paper, dark_ink) = seen["light"], seen["dark"]
    assert brightness(light_paper) > brightness(light_ink) + 150
    assert brightness(dark_paper) + 150 < brightness(dark_ink)


def brightness(colour: str) -> float:
    """Read the mean of red, green and blue off what a browser calls a colour."""
    return sum(map(float, colour.strip("rgb()").split(","))) / 3


def test_on_a_phone_nothing_sticks_out(browser: Any, known: Known) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=740,
        deviceScaleFactor=1,
        mobile=True,
    )
    try:
        browser.open(html_of(with_names(known, "a-very-long-name-without-a-space" * 6)))
        # What is wider must lie in a box that scrolls by itself.
        outside = browser.evaluate(
            "[...document.querySelectorAll('body *')].filter(e => "
            "e.getBoundingClientRect().right > 361 && !e.closest('.scroll, nav ul, svg'))"
            ".map(e => `${e.tagName} ${e.textContent.slice(0, 30)}`)"
        )
        assert outside == []
        assert browser.evaluate("document.documentElement.scrollWidth") == 360
        shown = browser.evaluate(
            "[...document.querySelectorAll('figure svg')].filter(s => s.checkVisibility())"
            ".map(s => s.getAttribute('class'))"
        )
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
    assert set(shown) == {"narrow"}


def test_what_is_seen_can_be_heard_and_reached(browser: Any, known: Known) -> None:
    browser.open(html_of(known))
    # Every drawing has a name and a description, and no two elements share an id.
    assert browser.evaluate(
        "[...document.querySelectorAll('svg[role=img]')].every(svg => "
        "svg.getAttribute('aria-labelledby').split(' ').every(id => "
        "document.getElementById(id).textContent))"
    )
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert browser.evaluate("document.querySelectorAll('h1').length") == 1
    levels = browser.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))"
    )
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert browser.evaluate(
        "[...document.querySelectorAll('table')].every(t => t.caption && "
        "[...t.querySelectorAll('th')].every(h => h.scope && h.textContent))"
    )
    focusable = browser.evaluate(
        "[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.ariaLabel)"
    )
    assert focusable


def test_a_printed_page_has_the_wide_drawings_and_no_menu(browser: Any, known: Known) -> None:
    browser.open(html_of(known))
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        shown = browser.evaluate(
            "['nav', '#latency svg.wide', '#latency svg.narrow'].map(s => "
            "getComputedStyle(document.querySelector(s)).display !== 'none')"
        )
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
    assert shown == [False, True, False]
