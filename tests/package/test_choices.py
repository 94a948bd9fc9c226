"""Choices on disk: what is read, what no longer holds, and what is left of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit.package import choices, commit, measured, reading

Choose = Callable[..., Path]
KEY = "some-machine-12345678"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


def read(folder: Path, key: str = KEY) -> choices.Chosen | None:
    return choices.chosen_on(folder, reading.read(folder), key)


def test_a_choice_is_read_as_it_was_stored(with_fast: Path, choose: Choose) -> None:
    path = choose(with_fast, key=KEY, by_provider={"cpu": "fp32"}, threads=1)
    assert path == with_fast / "measured" / "choice" / f"{KEY}.json"
    found = read(with_fast)
    assert found is not None
    assert (found.winner.variant, found.winner.session.threads) == ("fast", 1)
    assert found.by_provider["cpu"].variant == "fp32"
    assert {found.winner.speed_key, found.by_provider["cpu"].speed_key} == {KEY}
    assert choices.chosen_elsewhere(with_fast, reading.read(with_fast), here="x") == [found]
    assert choices.chosen_elsewhere(with_fast, reading.read(with_fast), here=KEY) == []


def test_another_variant_changes_nothing_and_its_own_ends_it(
    with_fast: Path, choose: Choose
) -> None:
    choose(with_fast, key=KEY)
    package = reading.read(with_fast)
    first, fast = package.variants
    renamed = msgspec.structs.replace(first, name="float")
    commit.commit(with_fast, msgspec.structs.replace(package, variants=(renamed, fast)), {})
    assert read(with_fast) is not None
    renamed = msgspec.structs.replace(fast, name="faster")
    commit.commit(with_fast, msgspec.structs.replace(package, variants=(first, renamed)), {})
    assert read(with_fast) is None


def test_a_loser_that_is_gone_ends_its_own_part_alone(with_fast: Path, choose: Choose) -> None:
    choose(with_fast, key=KEY, by_provider={"cpu": "fast", "qnn": "fp32"})
    package = reading.read(with_fast)
    first, fast = package.variants
    renamed = msgspec.structs.replace(first, name="float")
    commit.commit(with_fast, msgspec.structs.replace(package, variants=(renamed, fast)), {})
    found = read(with_fast)
    assert found is not None
    assert set(found.by_provider) == {"cpu"}
    assert found.winner.variant == "fast"
    assert found.files == {"fast.onnx": package.files["fast.onnx"].sha256}


def test_what_is_left_of_a_choice_needs_no_guess(with_fast: Path, choose: Choose) -> None:
    package = reading.read(with_fast)
    fp32, fast = package.variants
    cases: dict[tuple[str, str, str], tuple[str, set[str]] | None] = {
        ("fast", "fp32", "fp32"): ("fast", set()),
        ("fp32", "fast", "fp32"): ("fast", {"cpu"}),
        ("fp32", "fast", "fast"): None,
        ("fp32", "fp32", "fp32"): None,
        ("fast", "fast", "fast"): ("fast", {"cpu", "qnn"}),
    }
    only_fast = msgspec.structs.replace(package, variants=(fast,))
    for (winner, cpu, qnn), expected in cases.items():
        choose(with_fast, variant=winner, key=KEY, by_provider={"cpu": cpu, "qnn": qnn})
        chosen = read(with_fast)
        assert chosen is not None
        left = choices.of_variants(chosen, only_fast)
        if expected is None:
            assert left is None
        else:
            assert left is not None
            assert (left.winner.variant, set(left.by_provider)) == expected
            assert left.files == {"fast.onnx": package.files["fast.onnx"].sha256}
    assert fp32.name == "fp32"


@pytest.mark.parametrize("key", ["../fast", "a/b", "", ".hidden", "-o", "x" * 300])
def test_a_key_that_is_no_plain_name_leads_nowhere(
    key: str, with_fast: Path, choose: Choose
) -> None:
    choose(with_fast, key=KEY)
    assert read(with_fast, key) is None
    assert measured.store(with_fast, key, b"{}", kind="choice") is None
    (with_fast / "measured" / "choice" / "a name.json").write_text("{}")
    (with_fast / "measured" / "choice" / ".json").write_text("{}")
    assert choices.machines(with_fast) == [KEY]


def test_a_large_file_is_no_choice(with_fast: Path, choose: Choose) -> None:
    path = choose(with_fast, key=KEY)
    content = path.read_bytes()
    path.write_bytes(content + b" " * (choices.MAX_BYTES - len(content)))
    assert read(with_fast) is not None
    path.write_bytes(content + b" " * (choices.MAX_BYTES + 1 - len(content)))
    assert read(with_fast) is None
