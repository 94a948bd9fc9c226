"""From a `SessionChoice` to what ONNX Runtime takes, for all providers alike.

ONNX Runtime accepts any session configuration key and any value, and does nothing, silently, where
it doesn't know them. So keys and values pass a list of those that are known to take effect; a test
finds each in the library and reads it back from a session. The list holds nothing that writes or
reads a file, since choices also come with packages.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import BadValue, UnknownName
from edgekit.machine import threads_available
from edgekit.package.values import SessionChoice
from edgekit.providers.info import Occasion, Option, Options, OrtSettings, ProviderInfo
from edgekit.terms import GraphLevel, Idle, members

INT32 = 2**31 - 1
MEMORY = 2**63 - 1
"""The largest number of bytes that can be asked for."""


def flag(says: str, *, default: str | None = None, why: str = "") -> Option:
    """Describe an option that is off or on."""
    return Option(says, words=("0", "1"), default=default, why=why)


def number(
    says: str, *, low: int = 0, high: int = INT32, default: str | None = None, why: str = ""
) -> Option:
    """Describe an option that takes a whole number."""
    return Option(says, low=low, high=high, default=default, why=why)


def word(says: str, words: tuple[str, ...], *, default: str | None = None, why: str = "") -> Option:
    """Describe an option that takes one of a few words."""
    return Option(says, words=words, default=default, why=why)


SESSION_OPTIONS: Options = {
    "mlas.use_lut_gemm": flag("multiply 4-bit weights through look-up tables"),
    "optimization.constant_folding_max_output_size_in_bytes": number(
        "fold no constant that grows larger than this"
    ),
    "optimization.disable_specified_optimizers": Option(
        "leave out these rewrites of the graph", pattern="[A-Za-z0-9_]+(;[A-Za-z0-9_]+)*"
    ),
    "optimization.enable_cast_chain_elimination": flag("take out casts that undo each other"),
    "optimization.enable_gelu_approximation": flag("compute Gelu by its approximation"),
    "session.disable_aot_function_inlining": flag("keep functions whole until they are placed"),
    "session.disable_double_qdq_remover": flag("keep one pair of Q and DQ behind another"),
    "session.disable_prepacking": flag("keep weights as they are stored"),
    "session.disable_qdq_constant_folding": flag("keep Q and DQ of constants"),
    "session.disable_quant_qdq": flag("run Q and DQ one by one"),
    "session.dynamic_block_base": number("hand out work in ever smaller blocks"),
    "session.enable_dq_matmulnbits_fusion": flag("fuse DQ and MatMul of 4-bit weights"),
    "session.enable_quant_qdq_cleanup": flag("take out Q and DQ that are left"),
    "session.force_spinning_stop": flag("let threads sleep as soon as a call ends"),
    "session.graph_optimizations_loop_level": word("rewrite again", ("0", "1", "2")),
    "session.intra_op.spin_backoff_max": number("longest pause between two looks for work"),
    "session.qdq_matmulnbits_accuracy_level": number("precision of 4-bit products", high=4),
    "session.qdq_matmulnbits_block_size": number("rows that share a scale", low=-1, high=9999),
    "session.qdqisint8allowed": flag("allow int8 activations"),
    "session.set_denormal_as_zero": flag("take the smallest numbers for zero"),
    "session.x64quantprecision": flag("prefer exact int8 products over fast ones"),
}
"""Session configuration keys that a choice may set. What `idle`, `threads` and `graph_level` say
has no second place here, nor what edgekit always sets: that placement is recorded."""

RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"

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


def translate(provider: ProviderInfo, choice: SessionChoice, occasion: Occasion) -> OrtSettings:
    """Say a choice in ONNX Runtime's words, the provider's own defaults below what was asked for.

    This is all that a provider needs which makes nothing of the model's sizes.

    Raises:
        UnknownName: an option that isn't on the list, with the nearest that is; or an unknown
            word for `idle` or `graph_level`.
        BadValue: a value that its option doesn't take, or a choice made for another provider.
    """
    if choice.provider != provider.name:
        raise BadValue(
            what="The choice's provider", asked=repr(choice.provider), expected=provider.name
        )
    _known("graph level", choice.graph_level, GraphLevel)
    _known("word for idle", choice.idle, Idle)
    check("session option", choice.session_options, allowed=SESSION_OPTIONS)
    check(
        f"option of the provider {provider.name}",
        choice.provider_options,
        allowed=provider.options,
    )
    defaults = {
        name: option.default
        for name, option in provider.options.items()
        if option.default is not None
    }
    return OrtSettings(
        providers=((provider.ort_name, {**defaults, **choice.provider_options}),),
        intra_op_num_threads=threads(choice),
        inter_op_num_threads=1,
        graph_optimization_level=_GRAPH_LEVELS[choice.graph_level],
        config_entries={
            RECORD_PLACEMENT: "1",
            **_IDLE[choice.idle],
            **choice.session_options,
            **_context(occasion),
        },
        plugin=provider.plugin,
    )


def _context(occasion: Occasion) -> dict[str, str]:
    """Ask for an EP context model, what was compiled in files of its own beside it."""
    if occasion.context is None:
        return {}
    return {
        "ep.context_enable": "1",
        "ep.context_embed_mode": "0",
        "ep.context_file_path": occasion.context,
    }


def threads(choice: SessionChoice) -> int:
    """Return the number of threads of a choice, by default as many as this process may use."""
    if choice.threads is None:
        return threads_available()
    if not isinstance(choice.threads, int) or choice.threads < 1:
        raise BadValue(
            what="threads", asked=repr(choice.threads), expected="a whole number, 1 or more"
        )
    return choice.threads


def check(kind: str, options: Mapping[str, str], *, allowed: Options) -> None:
    """Refuse options that aren't on a list, and values that they don't take.

    Raises:
        UnknownName: an option isn't on the list.
        BadValue: a value isn't one that the option takes.
    """
    for key, value in options.items():
        if key not in allowed:
            raise UnknownName(kind=kind, asked=key, available=sorted(allowed), action=_place(key))
        if not allowed[key].takes(value):
            raise BadValue(
                what=f"The {kind} {key}", asked=repr(value), expected=allowed[key].expected
            )


def _place(key: str) -> str:
    """Say where an option is to be set that isn't set here."""
    if "spin" in key and key.startswith("session."):
        return f"How idle threads behave is set by idle: {', '.join(members(Idle))}."
    return ""


def _known(what: str, word: str, closed_set: object) -> None:
    if word not in members(closed_set):
        raise UnknownName(kind=what, asked=str(word), available=list(members(closed_set)))
