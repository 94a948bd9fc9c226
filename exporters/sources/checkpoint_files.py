"""The files of a transformers checkpoint: weights, tokenizer, image processing, labels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.terms import Task
from exporters.exportable import Normalization
from exporters.sources import hub

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "chat_template.jinja",
)
_IMAGES = ("preprocessor_config.json", "processor_config.json")
_CLASSIFIES: tuple[Task, ...] = (
    "audio-classification",
    "image-classification",
    "semantic-segmentation",
    "sequence-classification",
    "token-classification",
)
_PLACEHOLDER = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Checkpoint:
    """Where a checkpoint is: a folder here, or a name on the hub with what was downloaded of it."""

    name: str
    """What transformers is asked for."""

    folder: Path | None
    offline: bool

    def file(self, name: str) -> Path | None:
        """Find one of its files on this machine."""
        if self.folder is None:
            found = hub.cached(self.name, (name,))
            return Path(found) if found else None
        path = self.folder / name
        return path if path.is_file() else None

    def has_weights(self) -> bool:
        """Tell whether there are weights on this machine."""
        return any(self.file(name) for name in WEIGHTS)

    def tokenizer_files(self) -> dict[str, bytes]:
        """Read what makes numbers of text, by file name."""
        found = {name: self.file(name) for name in TOKENIZER}
        return {name: path.read_bytes() for name, path in found.items() if path is not None}


def normalization_of(checkpoint: Checkpoint) -> Normalization | None:
    """Read how pixels become `pixel_values`; None where the checkpoint doesn't say."""
    for name in _IMAGES:
        path = checkpoint.file(name)
        said = _json(path) if path is not None else {}
        said = said.get("image_processor") or said
        if "image_mean" in said or "do_rescale" in said or "do_normalize" in said:
            return _normalization(said)
    return None


def _normalization(said: Mapping[str, Any]) -> Normalization:
    normalizes = said.get("do_normalize", True) and said.get("image_mean") is not None
    mean, std = (said["image_mean"], said["image_std"]) if normalizes else (0.0, 1.0)
    return Normalization(
        "pixel_values",
        mean=_numbers(mean),
        std=_numbers(std),
        scale=float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0,
    )


def labels_of(config: Any, task: Task) -> list[str] | None:
    """Return the names of the classes in the order of their scores; None where there are none."""
    named = getattr(config, "id2label", None)
    if task not in _CLASSIFIES or not named:
        return None
    if sorted(named) != list(range(len(named))):
        return None
    labels = [" ".join(str(named[index]).split()) for index in range(len(named))]
    unnamed = all(_PLACEHOLDER.fullmatch(label) for label in labels)
    return None if unnamed or not all(labels) else labels


def _numbers(given: Any) -> tuple[float, ...]:
    return tuple(map(float, given)) if isinstance(given, list | tuple) else (float(given),)


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
