"""Every failure that edgekit answers for, each with a sentence of its own.

    EdgekitError                   exit code 1 unless said otherwise
    ├── UsageError                 2: what was asked for cannot be meant
    │   ├── UnknownName                a variant, provider or parameter that isn't there
    │   ├── BadValue                   a value that does not fit what it is for
    │   └── WouldOverwrite             the output exists, or isn't ours to replace
    ├── MissingExtra               a package that an optional part of edgekit needs is not installed
    ├── ForeignExporters           another package named `exporters` hides ours
    ├── PackageError
    │   ├── NotFound                   no such file or folder
    │   ├── CorruptPackage             the manifest, or what it says, cannot be true
    │   ├── HashMismatch               a file is not the one that was packed
    │   └── NothingMeasured            a report was asked for and there is nothing to tell
    ├── ModelFileError             an .onnx file that cannot be read or that ONNX Runtime refuses
    ├── InputError                 also a ValueError: a fed array does not fit the model's input
    ├── RunFailed                  ONNX Runtime failed on an input that fits
    ├── ModelClosed                a model was called after it was closed
    ├── NotTuned                   what was chosen by tuning was asked for, and can't be had here
    ├── ProviderUnavailable        an execution provider that isn't there, and how to get it
    ├── ProviderUnfit              a model that a provider must not be given
    ├── NodesElsewhere             3: nodes run on another provider than the only one allowed
    ├── ExportError
    │   ├── FactoryFailed              the user's code raised, exited or gave something else
    │   ├── ExportFailed               torch could not turn the module into ONNX
    │   ├── NoWayWorked                every way to export it failed, each for its reason
    │   ├── UnrolledLoop               a recurrent module became its steps, one after another
    │   ├── OpsetUnavailable           the asked opset could not be reached exactly
    │   ├── DimensionLost              a dimension that was to stay dynamic became static
    │   └── VerificationFailed         the exported model answers differently from the original
    ├── OriginalUnavailable        the PyTorch original cannot stand beside its package here
    ├── WorkerError
    │   ├── WorkerDied                 a child process ended without an answer
    │   └── WorkerTimeout              a child process did not answer in time
    ├── StorageError               the disk is full, or not writable
    └── GateFailed                 3: a measurement was asked for a verdict and said no

A class writes its sentence from facts that call sites pass by keyword; the facts are plain JSON
values, so that an error crosses from a worker to its parent whole (`to_wire`, `from_wire`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar


class EdgekitError(Exception):
    """A failure that has a sentence: what was asked, what there is, what to type next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        # What pickle does by itself calls the class with the sentence, which no class here takes.
        return from_wire, to_wire(self)


def to_wire(error: EdgekitError) -> tuple[str, dict[str, Any]]:
    """Turn an error into its class's name and facts, for a pipe or a log."""
    writes_its_sentence = type(error).__init__ is not EdgekitError.__init__
    facts = error.facts if writes_its_sentence else {"sentence": str(error), **error.facts}
    return type(error).__name__, facts


def from_wire(name: str, facts: Mapping[str, Any]) -> EdgekitError:
    """Make an error again from what `to_wire` gave."""
    error_class = globals().get(name)
    if not (isinstance(error_class, type) and issubclass(error_class, EdgekitError)):
        return EdgekitError(f"{name}: {dict(facts)}")
    return error_class(**facts)


def _nearest(asked: str, available: Iterable[str]) -> str:
    import difflib  # 3 ms that a loaded model shouldn't pay for

    close = difflib.get_close_matches(asked, list(available), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


class UsageError(EdgekitError):
    exit_code = 2


class UnknownName(UsageError):
    def __init__(
        self, *, kind: str, asked: str, available: list[str], of: str = "", action: str = ""
    ) -> None:
        super().__init__(
            f"There is no {kind} {asked!r}{f' {of}' if of else ''}; there is: {_listed(available)}."
            + _nearest(asked, available)
            + (f" {action}" if action else ""),
            kind=kind,
            asked=asked,
            available=available,
            of=of,
            action=action,
        )


class BadValue(UsageError):
    def __init__(self, *, what: str, asked: str, expected: str) -> None:
        super().__init__(
            f"{what} cannot be {asked}: expected {expected}.",
            what=what,
            asked=asked,
            expected=expected,
        )


class WouldOverwrite(UsageError):
    def __init__(self, *, path: str, is_package: bool) -> None:
        super().__init__(
            f"{path} exists. Add --overwrite to replace it, or choose another output with -o."
            if is_package
            else f"{path} exists and is not a model package, so it is never replaced. "
            "Choose another output with -o.",
            path=path,
            is_package=is_package,
        )


class MissingExtra(EdgekitError):
    def __init__(self, *, module: str, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs the Python package {module!r}, which is not installed here. "
            f"Install it with: pip install 'edgekit-onnx[{extra}]'",
            module=module,
            extra=extra,
            what=what,
        )


class ForeignExporters(EdgekitError):
    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"Another package named 'exporters' hides edgekit's own: {path}. Run from another "
            "folder, or rename or uninstall that package.",
            path=path,
        )


class PackageError(EdgekitError):
    pass


class NotFound(PackageError):
    def __init__(self, *, path: str, expected: str = "a model package or an .onnx file") -> None:
        super().__init__(
            f"{path} does not exist; expected {expected}.", path=path, expected=expected
        )


class CorruptPackage(PackageError):
    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(
            f"{path} is not a model package that can be trusted: {problem}. Export or copy it "
            "again.",
            path=path,
            problem=problem,
        )


class HashMismatch(PackageError):
    def __init__(self, *, path: str, file: str, expected: str, found: str) -> None:
        super().__init__(
            f"{file} in {path} is not the file that was packed: its SHA-256 should begin with "
            f"{expected[:12]} and begins with {found[:12]}. Copy or export the package again.",
            path=path,
            file=file,
            expected=expected,
            found=found,
        )


class NothingMeasured(PackageError):
    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"Nothing is known of {path} yet but its manifest: nothing was measured of its files "
            f"as they are now. Run 'edgekit bench {path}' or 'edgekit tune {path}' first.",
            path=path,
        )


class ModelFileError(EdgekitError):
    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(
            f"{path} cannot be used as an ONNX model: {problem}", path=path, problem=problem
        )


class InputError(EdgekitError, ValueError):
    def __init__(self, *, problem: str) -> None:
        super().__init__(problem, problem=problem)


class RunFailed(EdgekitError):
    def __init__(self, *, package: str, problem: str) -> None:
        super().__init__(
            f"{package} failed while running: {problem}", package=package, problem=problem
        )


class ModelClosed(EdgekitError):
    def __init__(self, *, package: str) -> None:
        super().__init__(
            f"The model {package} was closed; load it again with edgekit.load().", package=package
        )


class NotTuned(EdgekitError):
    """`cause` is half a sentence without a full stop, `mend` whole ones."""

    def __init__(self, *, path: str, cause: str, mend: str) -> None:
        super().__init__(
            f"{path} has no tuned variant that can be taken here: {cause}. {mend}",
            path=path,
            cause=cause,
            mend=mend,
        )


class ProviderUnavailable(EdgekitError):
    """`also` are further causes, which stay when the first is mended."""

    def __init__(self, *, provider: str, cause: str, mend: str, also: Sequence[str] = ()) -> None:
        further = f" (also: {'; '.join(also)})" if also else ""
        super().__init__(
            f"The execution provider {provider!r} cannot be used here: {cause}{further}. {mend}",
            provider=provider,
            cause=cause,
            mend=mend,
            also=list(also),
        )


class ProviderUnfit(EdgekitError):
    def __init__(self, *, provider: str, variant: str, reason: str) -> None:
        super().__init__(
            f"{variant} isn't run on {provider!r}: {reason}. "
            + ("Ask" if provider == "cpu" else "Run it on 'cpu', or ask")
            + " for another variant.",
            provider=provider,
            variant=variant,
            reason=reason,
        )


class NodesElsewhere(EdgekitError):
    """`elsewhere` counts nodes by provider and operator."""

    exit_code = 3

    def __init__(self, *, model: str, provider: str, elsewhere: dict[str, dict[str, int]]) -> None:
        listed = "; ".join(
            f"{name}: {', '.join(f'{n} {operator}' for operator, n in operators.items())}"
            for name, operators in elsewhere.items()
        )
        total = sum(sum(operators.values()) for operators in elsewhere.values())
        super().__init__(
            f"{total} of the nodes of {model} {'runs' if total == 1 else 'run'} elsewhere than on "
            f"{provider!r}, the only provider that is allowed ({listed}). Leave out --strict, or "
            "export the model without those operators.",
            model=model,
            provider=provider,
            elsewhere=elsewhere,
        )


class ExportError(EdgekitError):
    pass


class FactoryFailed(ExportError):
    def __init__(self, *, target: str, problem: str, where: str = "") -> None:
        super().__init__(
            f"{target} {problem}" + (f" (at {where})" if where else ""),
            target=target,
            problem=problem,
            where=where,
        )


class ExportFailed(ExportError):
    """`details` is what torch said in full, for a report."""

    def __init__(
        self, *, target: str, problem: str, where: str = "", workaround: str = "", details: str = ""
    ) -> None:
        self.reason = (
            problem
            + (f" (at {where})" if where else "")
            + (f". {workaround}" if workaround else "")
        ).rstrip(".")
        super().__init__(
            f"{target} could not be exported to ONNX: {self.reason}.",
            target=target,
            problem=problem,
            where=where,
            workaround=workaround,
            details=details,
        )


class NoWayWorked(ExportError):
    """`reasons` holds a strategy's name and what it failed for, in the order they were tried."""

    def __init__(self, *, target: str, reasons: list[tuple[str, str]], report: str = "") -> None:
        (first, why), *others = reasons
        also = _others_in_words(why, others)
        super().__init__(
            f"{target} could not be exported to ONNX. {first}: {why}.{also}"
            + (f" The full report is in {report}." if report else ""),
            target=target,
            reasons=reasons,
            report=report,
        )


def _others_in_words(first: str, others: list[tuple[str, str]]) -> str:
    """Tell what the other ways failed for, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for strategy, reason in others:
        by_reason.setdefault(reason, []).append(strategy)
    told = [
        f"{', '.join(names)} for the same reason"
        if reason == first
        else f"{names[0]}: {reason}"
        if len(names) == 1
        else f"{' and '.join(names)}: {reason}"
        for reason, names in by_reason.items()
    ]
    return f" The others failed too ({'; '.join(told)})." if told else ""


class UnrolledLoop(ExportError):
    def __init__(self, *, target: str, operators: list[str]) -> None:
        listed = " and ".join(operators)
        super().__init__(
            f"torch writes out the steps of {target}'s {listed}, as many as the example has, "
            f"instead of ONNX's operator {listed}.",
            target=target,
            operators=operators,
        )


class OpsetUnavailable(ExportError):
    def __init__(self, *, asked: int, got: int) -> None:
        super().__init__(
            f"Opset {asked} was asked for and torch gave opset {got} instead. Leave --opset "
            "out for the default, or ask for another.",
            asked=asked,
            got=got,
        )


class DimensionLost(ExportError):
    def __init__(self, *, tensor: str, axis: int, asked: str, got: str) -> None:
        super().__init__(
            f"Axis {axis} of {tensor} was to stay dynamic ({asked}) and the exported model fixed "
            f"it to {got}. The module's code probably uses that size as a number; keep it symbolic "
            "(x.shape[0], flatten(1)), or export without --dynamic for it.",
            tensor=tensor,
            axis=axis,
            asked=asked,
            got=got,
        )


class VerificationFailed(ExportError):
    def __init__(self, *, output: str, sizes: str, problem: str) -> None:
        super().__init__(
            f"The exported model answers differently from the original: output {output} at "
            f"{sizes}: {problem}. Nothing was written.",
            output=output,
            sizes=sizes,
            problem=problem,
        )


class OriginalUnavailable(EdgekitError):
    def __init__(self, *, reason: str) -> None:
        super().__init__(reason, reason=reason)


class WorkerError(EdgekitError):
    pass


class WorkerDied(WorkerError):
    def __init__(self, *, what: str, how: str, last_words: str = "") -> None:
        super().__init__(
            f"{what}: its process {how}" + (f". It last said: {last_words}" if last_words else "."),
            what=what,
            how=how,
            last_words=last_words,
        )


class WorkerTimeout(WorkerError):
    def __init__(self, *, what: str, limit_s: float) -> None:
        super().__init__(
            f"{what}: no answer within {limit_s:g} s, so its process was ended. Give it longer "
            "with --time-limit.",
            what=what,
            limit_s=limit_s,
        )


class StorageError(EdgekitError):
    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(f"{path} could not be written: {problem}.", path=path, problem=problem)


class GateFailed(EdgekitError):
    exit_code = 3

    def __init__(self, *, verdicts: list[str]) -> None:
        super().__init__("; ".join(verdicts), verdicts=verdicts)
