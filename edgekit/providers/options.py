"""From a `SessionChoice` to what ONNX Runtime takes, for all providers alike.

ONNX Runtime accepts any session configuration key and any value, and does nothing, silently, where
it doesn't know them. So keys and values pass a list of those that are known to take effect; a test
finds each in the library and reads it back from a session. The list holds nothing that writes or
reads a file, since choices also come with packages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekit.errors import BadValue, UnknownName
from edgekit.machine import threads_available
from edgekit.package.values import SessionChoice
from edgekit.providers.info import OrtSettings
from edgekit.terms import GraphLevel, Idle, members

Allowed = Mapping[str, str]
"""Options by name, each with a regular expression that its whole value must match."""

FLAG = "0|1"
NUMBER = "[0-9]{1,9}"

SESSION_OPTIONS: Allowed = {
    "mlas.use_lut_gemm": FLAG,
    "optimization.constant_folding_max_output_size_in_bytes": NUMBER,
    "optimization.disable_specified_optimizers": "[A-Za-z0-9_]+(;[A-Za-z0-9_]+)*",
    "optimization.enable_cast_chain_elimination": FLAG,
    "optimization.enable_gelu_approximation": FLAG,
    "session.disable_aot_function_inlining": FLAG,
    "session.disable_double_qdq_remover": FLAG,
    "session.disable_prepacking": FLAG,
    "session.disable_qdq_constant_folding": FLAG,
    "session.disable_quant_qdq": FLAG,
    "session.dynamic_block_base": NUMBER,
    "session.enable_dq_matmulnbits_fusion": FLAG,
    "session.enable_quant_qdq_cleanup": FLAG,
    "session.force_spinning_stop": FLAG,
    "session.graph_optimizations_loop_level": "0|1|2",
    "session.intra_op.spin_backoff_max": NUMBER,
    "session.qdq_matmulnbits_accuracy_level": "0|1|2|3|4",
    "session.qdq_matmulnbits_block_size": "-1|[0-9]{1,4}",
    "session.qdqisint8allowed": FLAG,
    "session.record_ep_graph_assignment_info": FLAG,
    "session.set_denormal_as_zero": FLAG,
    "session.x64quantprecision": FLAG,
}
"""Session configuration keys that a choice may set. What `idle`, `threads` and `graph_level` say
has no second place here."""

_IDLE: dict[Idle, dict[str, str]] = {
    "spin": {"session.intra_op.allow_spinning": "1"},
    "brief": {
        "session.intra_op.allow_spinning": "1",
        "session.intra_op.spin_duration_us": "200",
    },
    "sleep": {"session.intra_op.allow_spinning": "0"},
}

_GRAPH_LEVELS: dict[GraphLevel, str] = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}


def translate(choice: SessionChoice, *, name: str, ort_name: str, allowed: Allowed) -> OrtSettings:
    """Say a choice in ONNX Runtime's words. `allowed` are the provider's own options.

    Raises:
        UnknownName: an option that isn't on the list, with the nearest that is; or an unknown
            word for `idle` or `graph_level`.
        BadValue: a value that its option doesn't take, or a choice made for another provider.
    """
    if choice.provider != name:
        raise BadValue(what="The choice's provider", asked=repr(choice.provider), expected=name)
    _known("graph level", choice.graph_level, GraphLevel)
    _known("word for idle", choice.idle, Idle)
    check("session option", choice.session_options, allowed=SESSION_OPTIONS)
    check(f"option of the provider {name}", choice.provider_options, allowed=allowed)
    return OrtSettings(
        provider=(ort_name, dict(choice.provider_options)),
        intra_op_num_threads=threads(choice),
        inter_op_num_threads=1,
        graph_optimization_level=_GRAPH_LEVELS[choice.graph_level],
        config_entries={**_IDLE[choice.idle], **choice.session_options},
    )


def threads(choice: SessionChoice) -> int:
    """Return the number of threads of a choice, by default as many as this process may use."""
    if choice.threads is None:
        return threads_available()
    if choice.threads < 1:
        raise BadValue(what="threads", asked=str(choice.threads), expected="1 or more")
    return choice.threads


def check(kind: str, options: Mapping[str, str], *, allowed: Allowed) -> None:
    """Refuse options that aren't on a list, and values that they don't take.

    Raises:
        UnknownName: an option isn't on the list.
        BadValue: a value isn't one that the option takes.
    """
    for key, value in options.items():
        if key not in allowed:
            raise UnknownName(kind=kind, asked=key, available=sorted(allowed), action=_place(key))
        if not isinstance(value, str) or not re.fullmatch(allowed[key], value):
            raise BadValue(
                what=f"The {kind} {key}", asked=repr(value), expected=f"text like {allowed[key]}"
            )


def _place(key: str) -> str:
    """Say where an option is to be set that isn't set here."""
    if "spin" in key and key.startswith("session."):
        return f"How idle threads behave is set by idle: {', '.join(members(Idle))}."
    return ""


def _known(what: str, word: str, closed_set: object) -> None:
    if word not in members(closed_set):
        raise UnknownName(kind=what, asked=str(word), available=list(members(closed_set)))
