"""Every error has its place in the tree, its sentence, and crosses to another process whole."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from typing import Any

import pytest

from edgekit import errors
from edgekit.errors import EdgekitError, from_wire, to_wire

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, EdgekitError)
]

# One set of facts for each class that writes its own sentence, and what the sentence must say.
FACTS: dict[str, tuple[dict[str, Any], str]] = {
    "UnknownName": (
        {
            "kind": "provider",
            "asked": "cudda",
            "available": ["cpu", "cuda"],
            "of": "of it",
            "action": "Do this.",
        },
        "There is no provider 'cudda' of it; there is: cpu, cuda. Did you mean 'cuda'? Do this.",
    ),
    "BadValue": ({"what": "--opset", "asked": "3", "expected": "18 to 23"}, "expected 18 to 23"),
    "WouldOverwrite": ({"path": "a.edgekit", "is_package": True}, "Add --overwrite"),
    "MissingExtra": (
        {"module": "onnx", "extra": "build", "what": "Adopting"},
        "pip install 'edgekit-onnx[build]'",
    ),
    "ForeignExporters": ({"path": "/site/exporters"}, "rename or uninstall"),
    "NotFound": ({"path": "a.edgekit", "expected": "a package"}, "expected a package"),
    "CorruptPackage": ({"path": "a.edgekit", "problem": "it is torn"}, "Export or copy it again"),
    "HashMismatch": (
        {"path": "a", "file": "b.onnx", "expected": "0" * 64, "found": "1" * 64},
        "should begin with 000000000000 and begins with 111111111111. Copy or export",
    ),
    "NothingMeasured": ({"path": "a.edgekit"}, "Run 'edgekit bench a.edgekit' or 'edgekit tune"),
    "ModelFileError": ({"path": "a.onnx", "problem": "it is empty."}, "it is empty."),
    "InputError": ({"problem": "x is missing."}, "x is missing."),
    "RunFailed": ({"package": "cnn", "problem": "no memory"}, "cnn failed while running"),
    "ModelClosed": ({"package": "cnn"}, "load it again with edgekit.load()"),
    "NotTuned": (
        {"path": "a.edgekit", "cause": "it was never tuned", "mend": "Run 'edgekit tune a'."},
        "no tuned variant that can be taken here: it was never tuned. Run 'edgekit tune a'.",
    ),
    "ProviderUnavailable": (
        {
            "provider": "cuda",
            "cause": "there is no GPU",
            "mend": "Buy one.",
            "also": ["libcuda.so.1 cannot be found", "it rains"],
        },
        "cannot be used here: there is no GPU (also: libcuda.so.1 cannot be found; it rains). Buy",
    ),
    "ProviderUnfit": (
        {"provider": "cuda", "variant": "int8", "reason": "it has QLinearConv"},
        "int8 isn't run on 'cuda': it has QLinearConv. Run it on 'cpu'",
    ),
    "NodesElsewhere": (
        {
            "model": "net/fp32",
            "provider": "cuda",
            "elsewhere": {"cpu": {"Shape": 2, "Gather": 1}},
        },
        "3 of the nodes of net/fp32 run elsewhere than on 'cuda', the only provider that is "
        "allowed (cpu: 2 Shape, 1 Gather). Leave out --strict",
    ),
    "FactoryFailed": (
        {"target": "net.py:make", "problem": "raised KeyError", "where": "net.py:3"},
        "net.py:make raised KeyError (at net.py:3)",
    ),
    "ExportFailed": (
        {
            "target": "net.py:make",
            "problem": "no loop",
            "where": "net.py:3",
            "workaround": "Write it out.",
            "details": "Traceback",
        },
        "could not be exported to ONNX: no loop (at net.py:3). Write it out.",
    ),
    "NoWayWorked": (
        {
            "target": "net",
            "reasons": [["dynamo", "no loop"], ["strict", "no loop"], ["torchscript", "frozen"]],
            "report": "/r.txt",
        },
        "net could not be exported to ONNX. dynamo: no loop. The others failed too "
        "(strict for the same reason; torchscript: frozen). The full report is in /r.txt.",
    ),
    "UnrolledLoop": ({"target": "net", "operators": ["GRU", "RNN"]}, "net's GRU and RNN"),
    "OpsetUnavailable": ({"asked": 23, "got": 20}, "Leave --opset out"),
    "DimensionLost": (
        {"tensor": "x", "axis": 0, "asked": "batch:1..", "got": "2"},
        "or export without --dynamic for it",
    ),
    "VerificationFailed": (
        {"output": "y", "sizes": "batch=1", "problem": "off by 1"},
        "Nothing was written",
    ),
    "OriginalUnavailable": ({"reason": "torch is not installed."}, "torch is not installed."),
    "WorkerDied": (
        {"what": "export", "how": "was killed by SIGKILL", "last_words": "Killed"},
        "export: its process was killed by SIGKILL. It last said: Killed",
    ),
    "WorkerTimeout": ({"what": "export", "limit_s": 2.5}, "within 2.5 s"),
    "StorageError": ({"path": "a", "problem": "the disk is full"}, "could not be written"),
    "GateFailed": ({"verdicts": ["p50_ms is 7", "speedup is 1"]}, "p50_ms is 7; speedup is 1"),
}


def example(kind: type[EdgekitError]) -> EdgekitError:
    if kind.__name__ in FACTS:
        return kind(**FACTS[kind.__name__][0])
    return kind("What was asked, what there is, what to type next.", asked=["this", 1])


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: list[tuple[str, str]] = []
    ancestors: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    (?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)\b", line)
        if match and match["name"] in vars(errors):
            depth = len(match["branches"]) // 4
            ancestors[depth:] = [match["name"]]
            drawn.append((match["name"], ancestors[depth - 1] if depth else "Exception"))
    assert sorted(drawn) == sorted((kind.__name__, kind.__bases__[0].__name__) for kind in CLASSES)


def test_the_tree_names_every_exit_code() -> None:
    text = errors.__doc__ or ""
    codes = {kind.__name__: kind.exit_code for kind in CLASSES if "exit_code" in vars(kind)}
    assert codes == {"EdgekitError": 1, "UsageError": 2, "NodesElsewhere": 3, "GateFailed": 3}
    for name, code in codes.items():
        line = next(line for line in text.splitlines() if re.search(rf"\b{name}\b", line))
        assert re.search(rf"\b{code}\b", line)
    assert {kind.exit_code for kind in CLASSES if issubclass(kind, errors.UsageError)} == {2}


def test_every_class_that_writes_a_sentence_is_tried() -> None:
    own = {kind.__name__ for kind in CLASSES if "__init__" in vars(kind)} - {"EdgekitError"}
    assert own == FACTS.keys()


@pytest.mark.parametrize("name", FACTS)
def test_a_sentence_says_what_to_do(name: str) -> None:
    facts, said = FACTS[name]
    error = getattr(errors, name)(**facts)
    assert said in str(error)
    assert error.facts == facts


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_crosses_to_another_process_whole(kind: type[EdgekitError]) -> None:
    error = example(kind)
    name, facts = json.loads(json.dumps(to_wire(error)))
    for other in (from_wire(name, facts), pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert to_wire(other) == to_wire(error)


def test_an_error_of_an_unknown_kind_still_crosses() -> None:
    for name in ("Unheard", "Sequence", "_listed", "Mapping"):
        error = from_wire(name, {"asked": 1})
        assert type(error) is EdgekitError
        assert name in str(error)


def test_optional_facts_leave_no_trace_in_the_sentence() -> None:
    assert str(errors.FactoryFailed(target="a.py:f", problem="gave nothing")) == (
        "a.py:f gave nothing"
    )
    assert str(errors.WorkerDied(what="export", how="ended")) == "export: its process ended."
    assert "Did you mean" not in str(errors.UnknownName(kind="k", asked="zzz", available=["cpu"]))
    assert "there is: none." in str(errors.UnknownName(kind="k", asked="zzz", available=[]))
    assert "never replaced" in str(errors.WouldOverwrite(path="a", is_package=False))


def test_what_is_not_run_on_the_processor_is_not_sent_there() -> None:
    unfit = errors.ProviderUnfit(provider="cpu", variant="bf16", reason="it has no kernels for it")
    assert (
        str(unfit) == "bf16 isn't run on 'cpu': it has no kernels for it. Ask for another variant."
    )


def test_a_wrong_input_is_a_value_error_too() -> None:
    assert isinstance(errors.InputError(problem="x is missing."), ValueError)
