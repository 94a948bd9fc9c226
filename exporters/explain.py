"""Why torch could not export a module, in words for the one who wrote the module."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from edgekit.blame import first_cause, users_line
from edgekit.errors import ExportFailed, VerificationFailed


class _Known(NamedTuple):
    """A kind of exception ("" is any), a pattern in its text, what it means, what to do about it.

    What the pattern's group caught goes into the sentences.
    """

    kind: str
    pattern: str
    problem: str
    workaround: str = ""


_CHOOSE = (
    "Choose with torch.where or torch.cond; a mere check of values can stand behind "
    "`if not torch.compiler.is_compiling()`."
)
_KNOWN = (
    _Known(
        "GuardOnDataDependentSymNode",
        "",
        "its code decides by the value of a tensor, which an export can't follow",
        _CHOOSE,
    ),
    _Known(
        "Unsupported",
        "Data-dependent branching",
        "its code decides by the value of a tensor, which an export can't follow",
        _CHOOSE,
    ),
    _Known(
        "",
        r"Unsupported attribute type.*SymbolicTensor",
        "the number of groups of a convolution depends on a size",
        "Keep that dimension fixed: leave it out of --dynamic.",
    ),
    _Known(
        "",
        "grouped_mm_fallback",
        "torch has no translation of its grouped product of experts",
        "Multiply all experts at once: -p experts_implementation=batched_mm.",
    ),
    _Known(
        "DispatchError",
        r"No ONNX function found for <OpOverload\(op='([\w.]+)'",
        "torch has no translation of {} into ONNX",
    ),
    _Known(
        "UnsupportedOperatorError",
        r"Exporting the operator '([\w:]+)' to ONNX opset version (?:\d+)",
        "it has no translation of {} into ONNX",
    ),
    _Known("SymbolicValueError", r"^(.*?)(?: \[Caused by|$)", "{}"),
    _Known(
        "AssertionError",
        "only 4D query, key, and value are supported",
        "torch translates attention over [batch, head, time, width] alone",
        "Give query, key and value a head's axis, x[:, None], and take it away again.",
    ),
    _Known(
        "TypeError",
        "failed to unpack the object",
        "packed sequences can't be captured, because their lengths are values",
        "Run the padded sequence, and take the last valid step with gather.",
    ),
    _Known(
        "RuntimeError",
        "CustomObjArgument",
        "a random generator of its own can't be exported",
        "Draw outside, and hand the numbers over as an input.",
    ),
    _Known(
        "TypeError",
        r"forward\(\) takes \d+ positional arguments but \d+ were given",
        "a scripted part inside it can't be captured",
        "Use the module itself instead of what torch.jit.script made of it.",
    ),
    _Known(
        "NotImplementedError",
        "Cannot access storage of TensorWrapper",
        "gradients inside forward can't be captured",
        "Write the derivative out.",
    ),
    _Known(
        "UserError",
        r"You marked (\w+) as dynamic but your code specialized it to be a constant",
        "its code turns the size {} into a fixed number",
        "Keep it symbolic: x.shape[0] and not int(x.shape[0]), flatten(1), split by size and not "
        "chunk; nn.RNN, nn.LSTM or nn.GRU for a loop over time.",
    ),
    _Known(
        "UserError",
        r"Not all values of (\w+) = .* satisfy the generated guard",
        "its code takes another way at some sizes of {}",
        "Ask for a narrower range, or make the code the same at every size.",
    ),
)


_INSTEAD = {
    "_cdist_forward": "Take the norm of x[:, None] - y[None].",
    "kthvalue": "Take it from a sort or a topk.",
    "masked_select": "Write x[mask].",
    "median": "Take it from a sort.",
    "mode": "Count with a comparison of all pairs, or leave it to the app.",
    "prod": "Take the exp of a sum of logarithms, with the signs apart.",
    "searchsorted": "Count with a comparison: (sorted[None] < x[:, None]).sum(-1).",
}
"""What to write for an operator that has no translation, by its name."""


def failure(error: BaseException, label: str) -> ExportFailed:
    """Find the first cause, what it means, and the line of the user's code that torch blames."""
    cause = first_cause(error)
    kind, text = type(cause).__name__, str(cause)
    problem, workaround = _in_words(kind, text)
    return ExportFailed(
        target=label,
        problem=problem,
        where=users_line(error),
        workaround=workaround,
        details="".join(traceback.format_exception(error)),
    )


def _in_words(kind: str, text: str) -> tuple[str, str]:
    for known in _KNOWN:
        fits = known.kind in ("", kind)
        found = re.search(known.pattern, text, re.DOTALL) if fits else None
        if found:
            operator = found[1].rpartition(".")[2] if found.groups() else ""
            workaround = known.workaround or _INSTEAD.get(operator, "")
            return known.problem.format(*found.groups()), workaround
    # TorchDynamo explains itself to its own developers from the second line on.
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = lines[: 1 if kind == "Unsupported" else 2]
    return (f"{kind}: {' '.join(kept)[:400]}" if kept else kind), ""


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
