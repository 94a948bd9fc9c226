from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from edgekit.doctor.files import changed
from edgekit.installed import Owner, owners


def line(name: str, content: bytes, *, size: int | None = None) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content) if size is None else size}"


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    info = tmp_path / "some_thing-1.0.dist-info"
    info.mkdir()
    (tmp_path / "thing").mkdir()
    return Owner("some-thing", "1.0", info)


def test_code_below_the_package_is_compared_and_nothing_else(owner: Owner, tmp_path: Path) -> None:
    for file in ("a.py", "b.so.1.31", "c.txt"):
        (tmp_path / "thing" / file).write_bytes(b"right")
    lines = [
        line("thing/a.py", b"right"),
        line("thing/b.so.1.31", b"right"),
        line("thing/c.txt", b"wrong"),  # a text that somebody edited
        line("other/d.py", b"right"),
        "thing/__pycache__/a.cpython-311.pyc,,",
        '"thing/with, comma.py",,',
        "some_thing-1.0.dist-info/RECORD,,",
    ]
    (owner.metadata / "RECORD").write_text("\n".join(lines))
    assert changed(owner, "thing") == (2, ())


def test_other_content_other_size_and_a_missing_file_are_told(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "thing/same_size.so").write_bytes(b"wrong")
    (tmp_path / "thing/longer.py").write_bytes(b"right and more")
    lines = [line(f"thing/{name}", b"right") for name in ("same_size.so", "longer.py", "gone.dll")]
    (owner.metadata / "RECORD").write_text("\n".join(lines))
    assert changed(owner, "thing").files == (
        "thing/same_size.so",
        "thing/longer.py",
        "thing/gone.dll",
    )


@pytest.mark.parametrize(
    ("torn", "told"),
    [
        ("thing/a\0b.py,sha256=x,1", "thing/a\0b.py"),
        ('thing/a.py,"' + "x" * 200_000, "some_thing-1.0.dist-info/RECORD"),
    ],
    ids=["a name that is none", "no end of a field"],
)
def test_a_torn_list_of_files_is_told(owner: Owner, torn: str, told: str) -> None:
    (owner.metadata / "RECORD").write_text(torn)
    assert changed(owner, "thing").files == (told,)


def test_the_numpy_that_is_installed_here_is_as_it_was() -> None:
    (numpy,) = owners("numpy", beginning=("numpy",))
    compared = changed(numpy, "numpy/lib")
    assert compared.looked_at > 10
    assert compared.files == ()
