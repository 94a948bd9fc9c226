"""`edgekit tune` through its command: tables, JSON, limits, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgekit.package import choices
from edgekit.report import documents
from edgekit.tune import Tuned, making
from edgekit.tune.steps import Step

pytest.importorskip("onnx", reason="variants are made with onnx")

Captured = pytest.CaptureFixture[str]
Here = Callable[..., int]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search make one variant, and every race be as short as it may be."""
    from edgekit.measure.plan import Plan
    from edgekit.tune import racing

    step = Step("int8-dynamic", "int8-dynamic", "cpu", "it has 1 MatMul")
    monkeypatch.setattr(making, "worth_making", lambda parent, usable, **_: ([step], []))
    monkeypatch.setattr(
        racing,
        "plan_of",
        lambda stage, *, last, wall_s: Plan(
            starts=2, rounds=1, turn_s=0.005, warm_up_s=0.005, wall_s=wall_s, seed=stage
        ),
    )


def test_a_search_ends_with_a_table_and_what_to_type_next(
    tiny_package: Path, here: Here, short: None, capsys: Captured
) -> None:
    assert here("tune", tiny_package, "--min-cosine", "0.9") == 0
    out = capsys.readouterr().out
    assert "fp32 · cpu" in out
    assert "a cosine of at least 0.9" in out
    assert "Chosen: " in out
    assert f"edgekit slim {tiny_package} --variant tuned" in out
    assert choices.machines(tiny_package)
    assert here("tune", tiny_package, "--min-cosine", "0.9", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.validate(printed, json.loads(documents.schema("tune")))
    assert printed["tuned"]["notes"][0].startswith("found before on this machine")
    assert printed["outline"] is None


def test_a_dry_run_lists_and_makes_nothing(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    before = sorted(entry.name for entry in tiny_package.iterdir())
    assert here("tune", tiny_package, "--dry-run", "--min-cosine", "0.9") == 0
    out = capsys.readouterr().out
    assert "to make" in out
    assert "Nothing was made." in out
    assert sorted(entry.name for entry in tiny_package.iterdir()) == before
    assert here("tune", tiny_package, "--dry-run", "--min-cosine", "0.9", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.validate(printed, json.loads(documents.schema("tune")))
    assert printed["tuned"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--time-limit", "soon"], "expected a time above 0: 120s, 2m, 90"),
        (["--time-limit", "0s"], "expected a time above 0"),
        (["--provider", "cdua"], "There is no execution provider 'cdua'"),
        (["--max-drop", "0.5"], "--max-drop 0.5pp"),
        (["-o", "other.edgekit"], "which is a package"),
        (["--batch", "99"], "99"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_starts(
    arguments: list[str], said: str, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("tune", tiny_package, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_provider_that_is_not_there_is_an_error(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("tune", tiny_package, "--provider", "cuda") == 1
    assert "cuda" in capsys.readouterr().err


def test_an_onnx_file_is_packed_first_and_gone_on_with(
    tiny_onnx: Callable[..., Path],
    here: Here,
    short: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny_onnx()
    assert here("tune", model, "--dry-run", "--synthetic") == 2
    assert "which isn't exported yet" in capsys.readouterr().err
    assert here("tune", model, "--synthetic") == 0
    assert "made-up values" in capsys.readouterr().out
    assert (tmp_path / "tiny.edgekit").is_dir()
    assert here("tune", model, "--synthetic") == 0
    assert "found before on this machine" in capsys.readouterr().out
    other = tiny_onnx("other")
    assert here("tune", other, "--synthetic", "-o", "tiny.edgekit") == 2
    assert "where there is another package" in capsys.readouterr().err


def test_the_library_has_the_defaults(
    tiny_package: Path, here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    import edgekit.tune

    asked: dict[str, Any] = {}

    def tune(path: Path, **options: Any) -> Tuned:
        asked.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(edgekit.tune, "tune", tune)
    assert here("tune", tiny_package, "--time-limit", "1.5m") == 130
    assert asked.pop("time_limit_s") == 90
    assert asked.pop("progress") is not None
    assert asked == {
        "providers": (),
        "budgets": [],
        "synthetic": False,
        "keep_all": False,
        "fresh": False,
    }


def test_a_device_without_torch_can_search(
    tiny_package: Path, edgekit: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['torch'] = None\nsys.modules['exporters'] = None\n"
    )
    done = edgekit(
        *("tune", tiny_package, "--min-cosine", "0.9", "--time-limit", "8s"),
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "Chosen: " in done.stdout
