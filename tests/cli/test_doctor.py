"""`edgekit doctor`: of one provider, its exit codes and its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import graphics, providers
from edgekit.graphics import Graphics

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphics, "look", lambda **_: Graphics(none_because="it is a test"))


def test_one_provider_that_can_be_used_is_told_alone(
    here: Here, capsys: Captured, document: Document
) -> None:
    assert here("doctor", "--provider", "cpu") == 0
    out = capsys.readouterr().out
    assert out.startswith("cpu (CPUExecutionProvider)")
    assert "cpu can be used here." in out
    assert "cuda" not in out
    assert here("doctor", "--provider", "cpu", "--json") == 0
    report = document("doctor", capsys.readouterr().out)
    assert (report.provider, report.usable) == ("cpu", True)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_one_provider_that_cannot_be_used_ends_with_one(
    name: str, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("doctor", "--provider", name) == 1
    out = capsys.readouterr().out
    assert "no NVIDIA GPU can be seen from here" in out
    assert f"{name} can't be used here" in out
    assert here("doctor", "--provider", name, "--json") == 1
    assert not document("doctor", capsys.readouterr().out).usable


def test_every_provider_can_be_asked_about(here: Here, capsys: Captured) -> None:
    for name in providers.names():
        assert here("doctor", "--provider", name) in (0, 1)
        captured = capsys.readouterr()
        assert captured.out.startswith(f"{name} ({providers.find(name).ort_name})")
        assert not captured.err


@pytest.mark.usefixtures("no_gpu")
def test_one_cause_is_told_once(here: Here, capsys: Captured) -> None:
    assert here("doctor") == 0
    out = capsys.readouterr().out
    assert out.count("no NVIDIA GPU can be seen from here") == 1


def test_a_provider_that_nobody_knows_is_refused(here: Here, capsys: Captured) -> None:
    assert here("doctor", "--provider", "cda") == 2
    assert "Did you mean 'cuda'?" in capsys.readouterr().err


def test_a_plugin_is_asked_about_by_its_library(
    here: Here, capsys: Captured, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.so"
    assert here("doctor", "--provider", "some_ep", "--provider-library", gone) == 1
    assert "there is no file" in capsys.readouterr().out
    assert here("doctor", "--provider-library", gone) == 2
    assert "needs --provider" in capsys.readouterr().err
    assert here("doctor", "--provider", "cpu", "--provider-library", gone) == 2
    assert "no plug-in" in capsys.readouterr().err
