"""What is asked for goes from the cache folder, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from edgekit.compiled import cached, clearing, keys
from edgekit.compiled.keys import place_of
from edgekit.errors import NotFound
from edgekit.package import reading

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


def test_clear_of_a_cache_that_is_not_there_does_nothing(top: Path) -> None:
    assert clearing.clear(everything=True) == clearing.Cleared(str(top), (), (), 0)
    assert not top.exists()


def test_clear_takes_compiled_things_alone(keep: Any, key: Any, top: Path) -> None:
    (top / "weights").mkdir(parents=True)
    (top / "weights" / "cnn").write_bytes(b"x")
    keep(key()).close()
    listed = cached.contents().compiled
    gone = clearing.clear()
    assert [entry.folder for entry in gone.compiled] == [entry.folder for entry in listed]
    assert gone.bytes == listed[0].bytes
    assert (gone.kinds, gone.left) == ((), ())
    assert {path.name for path in top.iterdir()} == {"compiled", "weights"}
    assert list((top / "compiled").iterdir()) == []
    assert (top / "weights" / "cnn").exists()


def test_clear_heeds_every_condition(keep: Any, key: Any, top: Path) -> None:
    keep(key(), days=10).close()
    keep(key("tensorrt-rtx"), days=10).close()
    keep(key(driver="1"), days=1).close()
    gone = clearing.clear(provider="tensorrt", older_than_days=5)
    assert [entry.folder for entry in gone.compiled] == [str(place_of(key()))]
    assert len(cached.contents().compiled) == 2
    assert clearing.clear(older_than_days=20).compiled == ()
    assert len(clearing.clear(provider="tensorrt-rtx").compiled) == 1
    assert len(clearing.clear().compiled) == 1


def test_clear_of_a_package_takes_what_was_built_of_its_variants(
    keep: Any, key: Any, tiny_package: Path, tmp_path: Path
) -> None:
    package = reading.read(tiny_package)
    model = keys.model_sha256({"fp32.onnx": package.files["fp32.onnx"].sha256})
    keep(key(model=model)).close()
    keep(key()).close()
    gone = clearing.clear(package=tiny_package)
    assert [entry.model for entry in gone.compiled] == [model[:16]]
    # The same file on its own is the same model.
    keep(key(model=model)).close()
    assert len(clearing.clear(package=tiny_package / "fp32.onnx").compiled) == 1
    assert len(cached.contents().compiled) == 1
    for nothing in ("none.edgekit", "none.onnx"):
        with pytest.raises(NotFound):
            clearing.clear(package=tmp_path / nothing)


def test_clear_leaves_what_is_in_use_and_takes_what_the_dead_left(
    keep: Any, key: Any, top: Path
) -> None:
    dead = place_of(key()).parent / ".0123.scratch"
    with keep(key()) as using:
        (dead / "files").mkdir(parents=True)
        (dead / "files" / "half").write_bytes(b"x" * 100)
        os.utime(dead, (0, 0))
        os.utime(using.folder.parent, (0, 0))
        gone = clearing.clear()
        assert (using.folder / "a.engine").exists()
        assert not dead.exists()
        assert gone.bytes == gone.compiled[0].bytes + 100
        assert not using.adopt()


def test_clear_of_everything_takes_every_kind_and_nobody_elses(
    keep: Any, key: Any, top: Path
) -> None:
    keep(key()).close()
    for kind in cached.KINDS:
        (top / kind).mkdir()
        (top / kind / "file").write_bytes(b"x" * 10)
    (top / "somebody's.txt").write_bytes(b"x" * 7)
    gone = clearing.clear(everything=True)
    assert [kind.kind for kind in gone.kinds] == list(cached.KINDS)
    assert gone.bytes == gone.compiled[0].bytes + 10 * len(cached.KINDS)
    assert {path.name for path in top.iterdir()} == {"compiled", "somebody's.txt"}


def test_clear_follows_no_link(keep: Any, key: Any, top: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    keep(key()).close()
    (place_of(key()) / "files" / "link").symlink_to(outside)
    linked = place_of(key()).with_name("0" * 16)
    linked.symlink_to(outside)
    (top / "weights").symlink_to(outside)
    (top / "compiled" / "openvino").symlink_to(outside)
    assert len(cached.contents().compiled) == 2
    clearing.clear(everything=True)
    assert (outside / "precious").exists()
    assert not linked.is_symlink()
    assert not place_of(key()).exists()
    assert (top / "weights").is_symlink()


@as_root
def test_clear_leaves_what_another_user_owns(keep: Any, key: Any, top: Path) -> None:
    keep(key()).close()
    (top / "reports").mkdir()
    (top / "reports" / "theirs").touch()
    os.chown(place_of(key()), 12345, 12345)
    os.chown(top / "reports" / "theirs", 12345, 12345)
    (entry,) = cached.contents().compiled
    assert "belongs to another user (number 12345)" in entry.problem
    gone = clearing.clear(everything=True)
    assert (gone.compiled, gone.kinds, gone.bytes) == ((), (), 0)
    assert gone.left == (
        f"{place_of(key())}: it belongs to another user",
        f"{top / 'reports'}: something in it belongs to another user",
    )
    assert (place_of(key()) / "key.json").exists()
    assert (top / "reports" / "theirs").exists()


def test_nothing_behind_a_link_is_touched(top: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("project/tool", f"project/{'ab' * 8}"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "poetry.lock").touch()
    left = elsewhere / "project" / ("ab" * 8) / ".old.scratch"
    left.mkdir()
    os.utime(left, (0, 0))
    top.mkdir()
    (top / "compiled").symlink_to(elsewhere)
    clearing.clear(everything=True)
    assert cached.contents().unfinished_bytes == 0
    assert len(list(elsewhere.rglob("*.lock"))) == 2
    assert left.is_dir()


def test_a_folder_that_no_model_has_stays(keep: Any, key: Any, top: Path) -> None:
    keep(key()).close()
    mine = top / "compiled" / "tensorrt" / "mine"
    mine.mkdir()
    (mine / "poetry.lock").touch()
    clearing.clear()
    assert [path.name for path in mine.iterdir()] == ["poetry.lock"]


def test_a_link_in_place_of_a_scratch_folder_is_not_followed(
    keep: Any, key: Any, top: Path, tmp_path: Path
) -> None:
    keep(key()).close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = place_of(key()).parent / ".x.scratch"
    link.symlink_to(elsewhere)
    os.utime(link, (0, 0), follow_symlinks=False)
    clearing.clear()
    assert list(elsewhere.iterdir()) == []
