"""Put a report together as one HTML file: no request, no style or script but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

import edgekit
from edgekit import machine as machines
from edgekit.report.evidence import Known
from edgekit.report.figures import size
from edgekit.report.html.sections import sections
from edgekit.report.html.svg import Sheet, rendered
from edgekit.report.text import printable
from edgekit.report.verdict import headline

_HERE = Path(__file__).parent


def page(known: Known) -> str:
    """Write the report of what is known of a package, the same for the same evidence.

    Everything that comes from the package is escaped, and the page's own policy allows no style,
    script or address that isn't in it.
    """
    told = sections(known)
    sheet = Sheet()
    drawn = {
        part.drawing.name: tuple(Markup(svg) for svg in rendered(part.drawing, sheet))
        for section in told
        for part in section.parts
        if part.drawing is not None
    }
    style = f"{_file('page.css')}{sheet.css()}\n"
    script = _file("page.js")
    evidence = _in_script(msgspec.json.encode(known))
    return _template().render(
        policy=_policy(style, script),
        version=edgekit.__version__,
        package=known.package.name,
        machine="" if known.machine is None else machines.summary(known.machine),
        headline=headline(known),
        sections=told,
        drawn=drawn,
        style=Markup(style),
        script=Markup(script),
        evidence=Markup(evidence),
        bytes=size(len(evidence)),
        file=f"{file_name(known)}.measured.json",
    )


def file_name(known: Known) -> str:
    """Make a plain file name of a package's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", known.package.name).strip("-.") or "package"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # No control character of a name's reaches the page; newlines are no harm there.
        finalize=_printable,
        trim_blocks=True,
    )
    environment.filters["figures"] = _unbroken
    return environment.get_template("page.html")


def _unbroken(cell: str) -> Markup:
    """Let a line break nowhere in a figure but in front of its interval."""
    escaped = str(Markup.escape(printable(cell))).replace(" ", "&nbsp;")
    return Markup(re.sub(r"&nbsp;(?=[\[(])", " ", escaped))


def _printable(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Allow nothing but this very style sheet and this very script."""
    hashed = {
        kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for kind, text in {"style": style, "script": script}.items()
    }
    return (
        f"default-src 'none'; style-src 'sha256-{hashed['style']}'; "
        f"script-src 'sha256-{hashed['script']}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _in_script(content: bytes) -> str:
    """Write JSON so that nothing in it can end the element that it stands in."""
    escaped = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    return re.sub("[<>&]", lambda found: escaped[found[0]], content.decode())
