"""What is in the cache folder is told, all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.compiled import cached, keys
from edgekit.compiled.keys import place_of
from edgekit.errors import NotFound
from edgekit.package import reading


def test_contents_of_a_cache_that_is_not_there_is_empty(top: Path) -> None:
    assert cached.contents() == cached.Contents(str(top), (), 0, ())
    assert not top.exists()


def test_contents_tell_what_was_built_and_whether_it_is_used_here(
    keep: Any, key: Any, top: Path
) -> None:
    keep(key(), days=3, label="cnn · fp32").close()
    keep(key("tensorrt-rtx", driver="1.0")).close()
    good, old = cached.contents().compiled
    assert (good.provider, good.label, good.model) == ("tensorrt", "cnn · fp32", "ab" * 8)
    assert (good.valid, good.problem, good.files) == (True, "", 1)
    assert good.age_s == pytest.approx(3 * 86_400, abs=60)
    assert good.bytes > 1000
    assert good.build_s is not None
    assert good.onnxruntime == key().where.onnxruntime
    assert not old.valid
    assert old.problem == f"driver 1.0, not {key().where.driver or 'none'}"
    assert old.label == ""


def test_contents_tell_that_a_library_is_another_now(keep: Any, key: Any, tmp_path: Path) -> None:
    library = tmp_path / "libnvinfer.so.10"
    library.write_bytes(b"old")
    where = keys.surroundings((), files=[str(library)])
    keep(msgspec.structs.replace(key(), where=where)).close()
    (entry,) = cached.contents().compiled
    assert entry.valid
    library.write_bytes(b"newer")
    (entry,) = cached.contents().compiled
    assert not entry.valid
    assert "libnvinfer.so.10, 3 bytes, not libnvinfer.so.10, 5 bytes" in entry.problem


def test_contents_tell_what_cannot_be_used(keep: Any, key: Any, top: Path) -> None:
    keep(key()).close()
    with (place_of(key()) / "files/a.engine").open("ab") as file:
        file.write(b"more")
    (entry,) = cached.contents().compiled
    assert (entry.valid, entry.problem) == (False, "a.engine is not the file that was kept")
    (place_of(key()) / "key.json").write_text("{}")
    (entry,) = cached.contents().compiled
    assert not entry.valid
    assert "its key.json cannot be read" in entry.problem
    assert (entry.provider, entry.model, entry.build_s) == ("tensorrt", "ab" * 8, None)


def test_contents_tell_what_is_being_used(keep: Any, key: Any, top: Path) -> None:
    with keep(key(), size=5000):
        assert cached.contents().unfinished_bytes >= 5000
    assert cached.contents().unfinished_bytes == 0


def test_contents_explain_the_whole_folder(top: Path) -> None:
    for kind in cached.KINDS:
        (top / kind).mkdir(parents=True)
        (top / kind / "file").write_bytes(b"x" * 10)
    (top / "somebody's.txt").write_bytes(b"x" * 7)
    (top / "linked").symlink_to(top / "weights")
    kinds = cached.contents().kinds
    assert [kind.kind for kind in kinds] == [*cached.KINDS, cached.OTHER]
    assert all((kind.files, kind.bytes) == (1, 10) for kind in kinds[:-1])
    assert kinds[-1].files == 2


def test_every_folder_that_is_kept_there_is_a_kind() -> None:
    project = Path(__file__).parents[2]
    sources = [path for room in ("edgekit", "exporters") for path in (project / room).rglob("*.py")]
    named = re.compile(r'\bfolder\(\) / "(\w+)"')
    kept = {name for path in sources for name in named.findall(path.read_text(encoding="utf-8"))}
    assert {"digits", "peaks", "reports"} <= kept <= cached.KINDS.keys()


def test_models_of_a_package_are_its_variants(tiny_package: Path) -> None:
    sha256 = reading.read(tiny_package).files["fp32.onnx"].sha256
    hashed = keys.model_sha256({"fp32.onnx": sha256})[:16]
    assert cached.models_of(tiny_package) == {"fp32": hashed}
    assert cached.models_of(tiny_package / "fp32.onnx") == {"fp32": hashed}
    with pytest.raises(NotFound):
        cached.models_of(tiny_package / "none.onnx")
