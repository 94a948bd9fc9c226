from __future__ import annotations

from pathlib import Path

import pytest

from exporters.labels import label_of, package_stem


@pytest.mark.parametrize(
    ("target", "label", "stem"),
    [
        ("cnn", "cnn", "cnn"),
        ("/home/alice/net.py:make", "net.py:make", "net"),
        ("../net.py:make", "net.py:make", "net"),
        ("nets.small:make", "nets.small:make", "small"),
        ("/home/alice/saved.pt2", "saved.pt2", "saved"),
        ("timm:resnet50.a1_in1k", "timm:resnet50.a1_in1k", "resnet50.a1_in1k"),
        ("hf:org/a-model", "hf:org/a-model", "a-model"),
        ("hf:odd name", "hf:odd name", "odd-name"),
    ],
)
def test_a_label_tells_no_folder_and_a_stem_is_a_file_name(
    target: str, label: str, stem: str
) -> None:
    assert label_of(target) == label
    assert package_stem(target) == stem


def test_a_checkpoint_is_called_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for target in (f"hf:{folder}", "hf:.", "hf:../checkpoint/"):
        assert label_of(target) == "hf:checkpoint"
        assert package_stem(target) == "checkpoint"
