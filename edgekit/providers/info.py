"""What an execution provider's file says about it.

These values hold functions, so they are never stored; what is stored is the `SessionChoice` that
`translate` takes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from edgekit.errors import BadValue
from edgekit.package.values import GraphFacts, QuantRules, SessionChoice, Target
from edgekit.tensors import Signature
from edgekit.terms import Scheme


class Diagnosis(msgspec.Struct, frozen=True):
    """Whether a provider can be used here, and if not: why, what there is, what to do.

    `cause` is half a sentence without a full stop. `cause`, `needed` and `mend` are empty where
    the provider is usable; `found` says what was looked at either way. `also` are further causes,
    which stay when the first is mended.
    """

    usable: bool
    cause: str
    found: str
    needed: str
    mend: str
    also: tuple[str, ...] = ()


class Library(msgspec.Struct, frozen=True):
    """A shared library that a provider loads: ``libcudart.so`` of version 13.

    `version` is the one in the name of its file. `distribution` is the package that brings it,
    empty for what comes with a driver or is installed by hand.
    """

    file: str
    version: str
    distribution: str = ""

    @property
    def soname(self) -> str:
        """The name under which the loader looks for it on Linux."""
        return f"{self.file}.{self.version}"


class Option(msgspec.Struct, frozen=True):
    """An option: what it does, the values that it takes, and what edgekit sets it to and why.

    A value is one of `words`, or a whole number from `low` to `high`, or text that matches
    `pattern`. `default` None leaves ONNX Runtime's own.
    """

    says: str
    words: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    pattern: str = ""
    default: str | None = None
    why: str = ""

    def takes(self, value: object) -> bool:
        """Tell whether this is a value that has an effect, and the one that it names."""
        if not isinstance(value, str):
            return False
        if self.words:
            return value in self.words
        if self.low is not None and self.high is not None:
            # No plus sign, no spaces, no leading zeros, no other script's digits.
            plain = re.fullmatch(r"0|-?[1-9][0-9]{0,19}", value)
            return plain is not None and self.low <= int(value) <= self.high
        return re.fullmatch(self.pattern, value) is not None

    @property
    def expected(self) -> str:
        """The values that it takes, in words."""
        if self.words:
            return " or ".join(filter(None, (", ".join(self.words[:-1]), self.words[-1])))
        if self.low is not None:
            return f"a whole number from {self.low} to {self.high}"
        return f"text like {self.pattern}"


Options = Mapping[str, Option]
"""Options by name."""


class Plugin(msgspec.Struct, frozen=True):
    """Where a plug-in provider's library lies: at a path, else in the package that brings it.

    Of its devices only those are taken whose metadata says what `only` does.
    """

    distribution: str
    library: str = ""
    only: dict[str, str] = {}


class Occasion(msgspec.Struct, frozen=True):
    """What a provider is told of a model, beside the choice of how to run it.

    `sizes` are those that the model's dimensions have in its recorded cases. `folder` is where the
    provider may keep what it builds; None where it is to keep nothing. `context` is the file into
    which the model is to be written as it was compiled (an EP context model), the rest beside it;
    None where it is written already or not wanted.
    """

    signature: Signature | None = None
    sizes: tuple[dict[str, int], ...] = ()
    folder: str | None = None
    context: str | None = None


class OrtSettings(msgspec.Struct, frozen=True):
    """A session choice in ONNX Runtime's own words.

    `providers` is `InferenceSession(providers=[...])`, the asked one first; those behind it may
    take nodes that it leaves. Where `plugin` is set the first is a plug-in: the session gets it by
    `SessionOptions.add_provider_for_devices(edgekit.providers.plugin.devices(...), options)` and
    no list of providers. `graph_optimization_level` is a member's name of ONNX Runtime's
    `GraphOptimizationLevel`. Nodes run one after the other (ORT_SEQUENTIAL, ORT's default).
    """

    providers: tuple[tuple[str, dict[str, str]], ...]
    intra_op_num_threads: int
    inter_op_num_threads: int
    graph_optimization_level: str
    config_entries: dict[str, str]
    plugin: Plugin | None = None


def as_stored(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Say that a provider computes in the precision that the model is stored in."""
    del choice, environment
    return precision


def not_told(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Claim no precision of a provider that may compute in another one, and tells nobody."""
    del choice, precision, environment
    return ""


def takes_everything(facts: GraphFacts) -> str:
    """Refuse no model."""
    del facts
    return ""


DISABLED = "optimization.disable_specified_optimizers"
"""The session option that names rewrites of the graph which are left out."""


def no_precautions(precision: str) -> dict[str, str]:
    """Need no session option to run any precision."""
    del precision
    return {}


def nothing_unmet(choice: SessionChoice, capabilities: Mapping[str, str]) -> str:
    """Take any choice, whatever the device says of itself."""
    del choice, capabilities
    return ""


def same_surroundings(choice: SessionChoice) -> dict[str, str]:
    """Ask for no environment variable."""
    del choice
    return {}


def one_way(choice: SessionChoice, facts: GraphFacts, threads: int) -> tuple[SessionChoice, ...]:
    """Know of no other way to run that could be faster."""
    del choice, facts, threads
    return ()


def nothing_known(scheme: Scheme, target: Target) -> QuantRules | str:
    """Know no way to compute in integers, and take floats of any width."""
    del target
    return QuantRules() if scheme == "fp16" else "nothing is known of how it computes in them"


@dataclass(frozen=True, kw_only=True)
class ProviderInfo:
    """An execution provider: its names, what brings it, what it needs, and what is asked of it.

    Attributes:
        name: ours, and the file's, with hyphens for underscores.
        ort_name: ONNX Runtime's.
        extra: the extra of edgekit-onnx that installs it; empty where there is none.
        summary: the hardware that it is for.
        packages: the distributions that must be there for it.
        precisions: those that it computes in, not those that it merely accepts and casts.
        tried: that edgekit's own tests or benchmarks ran a model on it.
        libraries: the shared libraries that it loads, with the versions that it was linked to.
        options: its own options.
        device: ONNX Runtime's word for a memory of its own, where arrays can stay between calls;
            empty where it works in the processor's.
        companions: our names of providers that may take the nodes that it leaves, besides `cpu`.
        profile_form: the name of its options for the smallest, usual and largest shapes, with
            {bound} for min, opt and max; empty where it needs none.
        builds: that loading a model means compiling it, so that what was built is worth keeping.
        plugin: where its library comes from, if it is a plug-in.
        diagnosed: tell whether it can be used here; see `diagnose`.
        translated: say a choice in ONNX Runtime's words; see `translate`.
        computing: say which precision it computes in; see `computes`.
        precautions: the session options without which a precision isn't run safely, or fast.
        refuses: say why a model must not be run on it, empty where it may.
        without: precisions for which it has no kernels, so that a model in them isn't even loaded.
        unmet: of a plug-in, say why a choice can't be had on a device, given what that says of
            itself (an `OrtEpDevice`'s metadata); empty where it can.
        environment: the environment variables that a choice needs, which only a worker may set.
        quantized: say what a scheme's numbers must look like on it, or why it isn't for it; see
            `quant_rules`.
        computings: options under which it computes a float model in other numbers than by itself,
            which a search for the fastest way to run tries where the device has them.
        alternatives: given a choice, what is in the model, and the threads that there are, other
            ways to run with the same numbers, which may be faster or slower and which such a search
            tries.
    """

    name: str
    ort_name: str
    extra: str
    summary: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...]
    tried: bool
    diagnosed: Callable[[ProviderInfo], Diagnosis]
    translated: Callable[[ProviderInfo, SessionChoice, Occasion], OrtSettings]
    libraries: tuple[Library, ...] = ()
    options: Options = field(default_factory=dict)
    device: str = ""
    companions: tuple[str, ...] = ()
    profile_form: str = ""
    builds: bool = False
    plugin: Plugin | None = None
    computing: Callable[[SessionChoice, str, Mapping[str, str]], str] = as_stored
    precautions: Callable[[str], dict[str, str]] = no_precautions
    refuses: Callable[[GraphFacts], str] = takes_everything
    without: tuple[str, ...] = ()
    unmet: Callable[[SessionChoice, Mapping[str, str]], str] = nothing_unmet
    environment: Callable[[SessionChoice], dict[str, str]] = same_surroundings
    quantized: Callable[[Scheme, Target], QuantRules | str] = nothing_known
    computings: tuple[Mapping[str, str], ...] = ()
    alternatives: Callable[[SessionChoice, GraphFacts, int], tuple[SessionChoice, ...]] = one_way

    def diagnose(self) -> Diagnosis:
        """Tell whether the provider can be used here, and if not, why and what to do."""
        return self.diagnosed(self)

    def unfit(self, facts: GraphFacts, precision: str) -> str:
        """Say why a variant must not be run on it, empty where it may."""
        if precision in self.without:
            return f"it has no kernels for {precision}"
        return self.refuses(facts)

    def careful(self, choice: SessionChoice, precision: str) -> SessionChoice:
        """Add the precautions that a model's precision needs; what was asked for stands.

        Rewrites of the graph that either leaves out are both left out.
        """
        needed, asked = self.precautions(precision), choice.session_options
        options = {**needed, **asked}
        if DISABLED in needed and DISABLED in asked:
            both = dict.fromkeys(f"{needed[DISABLED]};{asked[DISABLED]}".split(";"))
            options[DISABLED] = ";".join(both)
        return msgspec.structs.replace(choice, session_options=options)

    def computes(
        self, choice: SessionChoice, precision: str, *, environment: Mapping[str, str] = os.environ
    ) -> str:
        """Say which precision a choice makes it compute in, given the model's own; empty where that
        can't be told. `environment` is that of the process which runs it."""
        return self.computing(choice, precision, environment)

    def translate(self, choice: SessionChoice, occasion: Occasion | None = None) -> OrtSettings:
        """Say a choice in ONNX Runtime's words, for a model of which `occasion` tells.

        Raises:
            UnknownName, BadValue: an option, or its value, isn't one that takes effect.
        """
        return self.translated(self, choice, occasion or Occasion())

    def quant_rules(self, scheme: Scheme, target: Target) -> QuantRules:
        """Say what a scheme's numbers must look like on this provider.

        Raises:
            BadValue: the provider doesn't compute in them, or only slower than in float.
        """
        rules = self.quantized(scheme, target)
        if isinstance(rules, str):
            raise BadValue(
                what=f"a target of {scheme}", asked=f"{self.name}: {rules}", expected="another"
            )
        return rules
