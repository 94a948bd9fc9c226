"""Why torch could not export a module, in words for the one who wrote the module."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from edgekit.errors import ExportFailed, VerificationFailed
from exporters.blame import first_cause, users_line


class _Known(NamedTuple):
    """A kind of exception, words in its text, what it means and what to do about it."""

    kind: str
    words: str
    problem: str
    workaround: str


_KNOWN = (
    _Known(
        "GuardOnDataDependentSymNode",
        "",
        "its code decides by the value of a tensor, which an export can't follow",
        "Choose with torch.where, or with torch.cond.",
    ),
)


def failure(error: BaseException, label: str) -> ExportFailed:
    """Find the first cause, what it means, and the line of the user's code that torch blames."""
    cause = first_cause(error)
    kind, text = type(cause).__name__, str(cause)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    problem = f"{kind}: {' '.join(lines[:2])[:400]}" if lines else kind
    workaround = ""
    for known in _KNOWN:
        if known.kind in ("", kind) and known.words in text:
            problem, workaround = known.problem, known.workaround
            break
    return ExportFailed(
        target=label,
        problem=problem,
        where=users_line(error),
        workaround=workaround,
        details="".join(traceback.format_exception(error)),
    )


@contextlib.contextmanager
def known_disagreement(module: nn.Module) -> Iterator[None]:
    """Add to a wrong answer what is known to make torch itself answer in two ways."""
    try:
        yield
    except VerificationFailed as error:
        encoders = [
            name
            for name, part in module.named_modules()
            if isinstance(part, nn.TransformerEncoder) and part.enable_nested_tensor
        ]
        if not encoders:
            raise
        raise VerificationFailed(
            output=error.facts["output"],
            sizes=error.facts["sizes"],
            problem=f"{error.facts['problem']}. torch's own fast path for nn.TransformerEncoder "
            "answers 0 at padded positions, which its other path doesn't: make it with "
            "enable_nested_tensor=False",
        ) from error
