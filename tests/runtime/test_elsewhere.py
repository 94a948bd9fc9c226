"""A variant that was measured on another kind of processor says so where it is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import edgekit
from edgekit import machine
from edgekit.package import commit, reading
from edgekit.package.values import GraphFacts, Kept, Target, Variant
from edgekit.runtime.elsewhere import elsewhere

HERE = machine.describe()


def kept(**changes: Any) -> Kept:
    here = Kept("key", HERE.arch, HERE.isa, "digits", 1500, "0" * 64)
    return msgspec.structs.replace(here, **changes)


def variant(**given: Any) -> Variant:
    return Variant("int8", "model", "int8.onnx", "int8", GraphFacts(20, 1, 1, {}), **given)


@pytest.fixture
def measured(tiny_package: Path) -> Callable[..., Path]:
    """Write into the tiny package's variant what it kept, and what it is made for."""

    def write(**changes: Any) -> Path:
        package = reading.read(tiny_package)
        changed = msgspec.structs.replace(package.variants[0], **changes)
        commit.commit(tiny_package, msgspec.structs.replace(package, variants=(changed,)), {})
        return tiny_package

    return write


@pytest.mark.parametrize(
    "given",
    [{}, {"kept": kept()}, {"kept": kept(), "target": Target(arch=HERE.arch, isa=HERE.isa[:1])}],
    ids=["float", "measured here", "made for this one"],
)
def test_nothing_is_said_where_nothing_differs(given: dict[str, Any]) -> None:
    assert elsewhere(variant(**given), provider="cpu") == ""


def test_another_processor_is_named() -> None:
    said = elsewhere(variant(kept=kept(isa=("avx2", "never"))), provider="cpu")
    assert "measured on another kind of processor" in said
    assert f"{HERE.arch} with avx2, never" in said
    assert "edgekit check" in said
    assert "aarch99" in elsewhere(variant(kept=kept(arch="aarch99", isa=())), provider="cpu")


def test_another_provider_is_named() -> None:
    said = elsewhere(variant(kept=kept()), provider="cuda")
    assert "measured on the provider cpu, and it runs on cuda here" in said


def test_a_processor_that_lacks_what_it_is_made_for_is_told_so() -> None:
    target = Target(arch=HERE.arch, isa=("never_there",))
    said = elsewhere(variant(kept=kept(), target=target), provider="cpu")
    assert said.startswith("it is made for processors with never_there, which this")
    assert said.endswith("its answers may differ from those that were measured: run edgekit check")


def test_a_processor_without_vnni_is_told_of_a_variant_for_vnni(tmp_path: Path) -> None:
    if HERE.arch != "x86_64":
        pytest.skip("VNNI is a set of x86's")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("model name : Haswell\nflags : avx avx2 fma\n")
    made = variant(target=Target(arch="x86_64", isa=("avx512_vnni",)), kept=kept())
    said = elsewhere(made, provider="cpu", root=tmp_path)
    assert said.startswith("it is made for processors with VNNI, which this processor lacks")


def test_loading_warns_once_and_the_model_explains_and_checks_say_it(
    measured: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    package = measured(kept=kept(isa=("never",)))
    with caplog.at_level(logging.WARNING, logger="edgekit"), edgekit.load(package) as model:
        told = model.explain()
        report = model.check()
    (warning,) = caplog.messages
    assert warning.startswith("tiny/fp32: what it kept of the accuracy was measured on another")
    assert told.elsewhere
    assert told.elsewhere in warning
    assert str(told).endswith(told.elsewhere)
    assert report.note == told.elsewhere
    # What decides is how far the answers are, not where they were measured.
    assert report.passed


def test_a_model_that_was_measured_here_says_nothing(
    measured: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, logger="edgekit"),
        edgekit.load(measured(kept=kept())) as model,
    ):
        assert model.explain().elsewhere == ""
        assert model.check().note == ""
    assert caplog.messages == []
