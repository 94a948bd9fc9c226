"""The race against the peers: its processes, what it judges by, and what its tables say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="graphs are built with onnx")

import onnx

from benchmarks import peers, peers_models, peers_race, peers_tables, peers_values
from benchmarks.peers_child import Child, Engine, EngineFailed
from benchmarks.peers_race import Cases, Plan
from benchmarks.peers_values import Kept, Raced, Results, Row
from edgekit import machine

README = Path(peers.__file__).with_name("README.md")
BRIEF = Plan(starts=2, rounds=2, turn_s=0.001, warm_up_s=0.001, limit_s=60.0)
MS = 1_000_000


def ort(label: str, model: Path, *, ours: bool = False) -> Engine:
    return Engine(label, "ort", sys.executable, {"model": str(model), "threads": 1}, ours)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str], Path]:
    def write(body: str) -> Path:
        text = f'<ir_version: 10, opset_import: ["": 20]> g (float[n,3] x) => (float[n,3] y) {body}'
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(onnx.parser.parse_model(text), path)
        return path

    return write


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    held_out = np.eye(3, dtype=np.float32)
    np.savez(tmp_path / "feed.npz", x=held_out[:1])
    np.savez(tmp_path / "held-out.npz", x=held_out)
    return Cases(tmp_path / "feed.npz", tmp_path / "held-out.npz", [0, 1, 2])


def row(label: str, *ms: float, ours: bool = False, kept: Kept | None = None) -> Row:
    starts = [[[round(one * MS)] * 3] for one in ms]
    return Row(label, ours, {}, starts, kept or Kept(10, drop_pp=0.0))


def raced(*rows: Row, model: str = "cnn") -> Raced:
    return Raced(model, list(rows), {})


def test_all_engines_are_timed_alike_and_one_that_fails_is_left_out(
    save: Callable[[str], Path], cases: Cases, tmp_path: Path
) -> None:
    wrong = save("{ y = Neg(x) }")
    plain = save("{ y = Identity(x) }")
    packed = Engine("edgekit float", "edgekit", sys.executable, {"model": str(plain)}, ours=True)
    engines = [ort("right", plain), ort("wrong", wrong), ort("gone", tmp_path / "none.onnx")]
    said: list[str] = []
    found = peers_race.race(
        "tiny", [*engines, packed], cases, plan=BRIEF, folder=tmp_path, tell=said.append
    )
    assert [one.label for one in found.rows] == ["right", "wrong", "edgekit float"]
    for one in found.rows:
        assert [len(rounds) for rounds in one.starts] == [2, 2]
        calls = {len(turn) for rounds in one.starts for turn in rounds}
        assert len(calls) == 1
        assert min(min(turn) for rounds in one.starts for turn in rounds) > 0
        assert one.versions["onnxruntime"]
    drops = {one.label: one.kept.drop_pp for one in found.rows if one.kept}
    assert drops == {"right": 0.0, "wrong": 100.0, "edgekit float": 0.0}
    assert "none.onnx" in found.left_out["gone"]
    assert any("left out: gone" in line for line in said)


def test_a_process_that_ends_or_says_nothing_is_a_failure(tmp_path: Path) -> None:
    script = tmp_path / "python"
    for body, reason in (("exit 3", "ended"), ("exec sleep 30", "no answer within 0.2 s")):
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        engine = Engine("broken", "ort", str(script), {})
        with (
            Child(engine, log=tmp_path / "log", limit_s=0.2) as child,
            pytest.raises(EngineFailed, match=reason),
        ):
            child.ask("open")


def test_what_a_library_prints_does_not_disturb_the_replies(
    save: Callable[[str], Path], cases: Cases, tmp_path: Path
) -> None:
    talking = tmp_path / "talking.py"
    talking.write_text(
        "import torch\n\nclass Same(torch.nn.Module):\n"
        "    def forward(self, x):\n        return x + 0\n"
        "\ndef make():\n    print('hello')\n    return Same(), (torch.ones(1, 3),)\n"
    )
    told = {"target": f"{talking}:make", "parameters": {}, "seed": 0, "threads": 1}
    pytest.importorskip("torch")
    with Child(
        Engine("talking", "eager", sys.executable, told), log=tmp_path / "log", limit_s=60
    ) as child:
        assert (
            "torch" in child.ask("open", engine="eager", feed=str(cases.feed), **told)["versions"]
        )
    assert "hello" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("answers", "cosine"),
    [
        ([[1.0, 0.0], [0.0, 2.0]], 1.0),
        ([[0.0, 1.0], [0.0, 1.0]], 0.5),
        ([[np.nan, 1.0], [0.0, 0.0]], 0.0),
    ],
)
def test_without_labels_answers_are_held_to_the_original(answers: Any, cosine: float) -> None:
    original = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    kept = peers_race.judge(np.array(answers, np.float32), original)
    assert kept.cosine == pytest.approx(cosine)
    assert kept.drop_pp is None


def test_the_best_peer_is_the_fastest_inside_the_budget() -> None:
    found = peers_tables.beside_best_peer(
        raced(
            row("PyTorch eager", 4.0, 4.0, 4.0),
            row("fast and wrong", 0.5, 0.5, 0.5, kept=Kept(10, drop_pp=0.51)),
            row("peer", 2.0, 2.0, 2.0, kept=Kept(10, drop_pp=0.5)),
            row("edgekit float", 1.0, 1.0, 1.0, ours=True),
            row("edgekit tuned", 1.6, 1.6, 1.6, ours=True),
        )
    )
    assert found is not None
    assert (found.peer.label, found.ours.label) == ("peer", "edgekit tuned")
    assert found.faster.value == pytest.approx(1.25)


def test_the_geometric_mean_weighs_models_alike() -> None:
    def beside(*ratios: float) -> peers_tables.Beside:
        found = peers_tables.beside_best_peer(
            raced(
                row("peer", *ratios),
                row("edgekit float", *[1.0] * len(ratios), ours=True),
            )
        )
        assert found is not None
        return found

    mean = peers_tables.geometric_mean([beside(1.0, 1.0, 1.1), beside(4.0, 4.0, 4.4)])
    assert mean is not None
    assert mean.value == pytest.approx(2.0)
    assert mean.low < 2.0 < mean.high
    assert peers_tables.geometric_mean([]) is None
    assert peers_tables.geometric_mean([beside(1.0, 1.0), beside(1.0, 1.0, 1.0)]) is None


def test_the_table_shows_what_misses_the_budget_and_where_edgekit_loses(tmp_path: Path) -> None:
    cnn = raced(
        row("PyTorch eager", 4.0, 4.0),
        row("peer", 1.0, 1.0),
        row("lossy", 1.0, 1.0, kept=Kept(10, cosine=0.5)),
        row("edgekit float", 2.0, 2.0, ours=True),
    )
    rnn = Raced("rnn", [row("PyTorch eager", 3.0, 3.0)], {"peer": "not installed"})
    results = Results(machine.describe(), 2, {"cnn": cnn, "rnn": rnn})
    text = peers_tables.markdown(results)
    assert "| PyTorch eager | 4 ms | 3 ms |" in text
    assert "| peer | ×4.00 | – |" in text
    assert "| lossy | ~~×4.00~~ (cosine 0.500) | – |" in text
    assert "×0.50 (0.50–0.50) peer" in text
    assert "within the interval on 0 of 1 models" in text
    peers_values.keep(tmp_path / "peers.json", results)
    assert peers_values.read(tmp_path / "peers.json") == results


def test_made_up_images_are_repeatable_and_differ_by_seed() -> None:
    first = peers_models.made_up(14, seed=0, cases=2)
    assert first.shape == (2, 3, 14, 14)
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, peers_models.made_up(14, seed=0, cases=2))
    assert not np.array_equal(first, peers_models.made_up(14, seed=1, cases=2))


def test_the_readme_has_the_tables_of_all_machines() -> None:
    assert peers.all_tables() in README.read_text()


def test_the_project_s_page_shows_what_was_measured() -> None:
    page = README.parents[1].joinpath("README.md").read_text()
    measured = [peers_values.read(path) for path in README.parent.glob("results/peers-*.json")]
    assert any(peers_tables.markdown(results) in page for results in measured)
