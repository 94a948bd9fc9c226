"""Example inputs for a transformers model: names, sizes, ranges, and real values where possible."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import FactoryFailed
from edgekit.user_code import in_one_line
from exporters.exportable import Normalization
from exporters.requests import TargetRequest
from exporters.sources.checkpoint_files import Checkpoint, normalization_of
from exporters.sources.images import example_images, pixel_range

BATCH = "batch:1..64"
LONGEST = 1024
"""A range of lengths ends here even where a model could take more: attention's cost grows with the
square of the length, and every range is verified up to its end."""

_TEXTS = (
    "The original and the exported model are given the same words, and answer alike.",
    "This one is shorter.",
)
_TOKENS = 16
_SAMPLES = 8000
_PIXELS = 224
_BYTES = 256

Axes = list[str | int | None]


@dataclass
class Inputs:
    """What to call a model with, and what is known of it."""

    example: dict[str, Tensor] = field(default_factory=dict)
    dynamic: dict[str, Axes] = field(default_factory=dict)
    values: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(
        self, name: str, tensor: Tensor, *, axes: Axes, within: tuple[float, float] | None
    ) -> None:
        self.example[name] = tensor
        self.dynamic[name] = axes
        if within is not None:
            self.values[name] = within


def inputs_of(model: Any, checkpoint: Checkpoint, request: TargetRequest) -> Inputs:
    """Make inputs by the model's own names, a batch of two.

    Text comes from the checkpoint's tokenizer where it has one, everything else is drawn.

    Raises:
        FactoryFailed: the model takes something for which nothing can be made up.
    """
    accepted = inspect.signature(model.forward).parameters
    made = Inputs()
    kinds: dict[str, Callable[[Inputs, Any, Checkpoint, Mapping[str, Any]], None]] = {
        "input_ids": _add_text,
        "pixel_values": _add_images,
        "input_values": _add_sound,
        "input_features": _add_spectrograms,
    }
    main = model.main_input_name
    if main not in kinds or main not in accepted:
        raise FactoryFailed(
            target=request.target,
            problem=f"is a {type(model).__name__}, which takes {main}, and nothing is known here "
            "that could stand for it; write a file.py:factory that gives example inputs",
        )
    kinds[main](made, model, checkpoint, accepted)
    if main == "input_ids" and "pixel_values" in accepted:
        _add_images(made, model, checkpoint, accepted, batch="images:1..64")
    if model.config.is_encoder_decoder and "decoder_input_ids" in accepted:
        _add_answer_so_far(made, model)
    return made


def _add_text(
    made: Inputs, model: Any, checkpoint: Checkpoint, accepted: Mapping[str, Any]
) -> None:
    longest = _longest(model)
    if longest is not None and longest > LONGEST:
        made.notes.append(
            f"sequence ends at {LONGEST} of the {longest} positions that the model knows; "
            f"--dynamic input_ids={BATCH},sequence:1..{longest}, and so for the other inputs, "
            "widens it"
        )
        longest = LONGEST
    config = model.config.get_text_config()
    vocabulary = _vocabulary(model, config)
    tokenized = _tokenized(made, checkpoint, vocabulary, min(longest or _TOKENS, 2 * _TOKENS))
    tokens = tokenized.get("input_ids")
    if tokens is None:
        tokens = torch.randint(0, vocabulary, (2, min(_TOKENS, longest or _TOKENS)))
    mask = tokenized.get("attention_mask")
    if mask is None:
        mask = torch.ones_like(tokens)
        mask[1, tokens.shape[1] // 2 + 1 :] = 0
    axes: Axes = [BATCH, f"sequence:1..{longest or ''}"]
    made.add("input_ids", tokens, axes=axes, within=(0, vocabulary - 1))
    if "attention_mask" in accepted:
        made.add("attention_mask", mask, axes=axes, within=(0, 1))
    kinds = getattr(config, "type_vocab_size", None)
    if "token_type_ids" in accepted and (
        kinds > 1 if kinds is not None else "token_type_ids" in tokenized
    ):
        types = tokenized.get("token_type_ids", torch.zeros_like(tokens))
        made.add("token_type_ids", types, axes=axes, within=(0, (kinds or 2) - 1))


def _tokenized(
    made: Inputs, checkpoint: Checkpoint, vocabulary: int, longest: int
) -> dict[str, Tensor]:
    """Turn two sentences into numbers; empty, with a note, where the tokenizer doesn't."""
    if not checkpoint.tokenizer_files():
        return {}
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.name, local_files_only=checkpoint.offline, trust_remote_code=False
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        encoded = dict(
            tokenizer(
                list(_TEXTS),
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
        )
    except Exception as error:  # whatever a tokenizer's files and its libraries raise
        made.notes.append(
            "the example is of drawn numbers, because the checkpoint's tokenizer can't be used "
            f"({type(error).__name__}: {in_one_line(error)})"
        )
        return {}
    largest = int(encoded["input_ids"].max())
    if largest >= vocabulary:
        made.notes.append(
            f"the example is of drawn numbers, because the checkpoint's tokenizer gives {largest} "
            f"and its model knows numbers below {vocabulary}"
        )
        return {}
    return {name: tensor for name, tensor in encoded.items() if isinstance(tensor, Tensor)}


def _vocabulary(model: Any, config: Any) -> int:
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:  # a model of several parts
        table = None
    if isinstance(table, nn.Embedding):
        return table.num_embeddings
    # Some hash characters, or bytes, and have no table of them.
    return int(getattr(config, "vocab_size", _BYTES))


def _longest(model: Any) -> int | None:
    """Find how many positions the model has; None where nothing bounds them.

    RoBERTa and its like count positions from the padding's number on: their table has rows that no
    token ever gets.
    """
    longest: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, part in model.named_modules():
        if (
            name.endswith("position_embeddings")
            and isinstance(part, nn.Embedding)
            and part.padding_idx is not None
        ):
            usable = part.num_embeddings - part.padding_idx - 1
            longest = min(longest or usable, usable)
    return longest if longest is None or longest > 1 else None


def _add_images(
    made: Inputs,
    model: Any,
    checkpoint: Checkpoint,
    accepted: Mapping[str, Any],
    *,
    batch: str = BATCH,
) -> None:
    config = getattr(model.config, "vision_config", model.config)
    size = [getattr(config, "num_channels", 3), *_height_and_width(config)]
    normalization = normalization_of(checkpoint)
    axes: Axes = [batch, None, None, None]
    if normalization is None or _other_channels(normalization, size[0]):
        made.add("pixel_values", torch.rand(2, *size) * 2 - 1, axes=axes, within=None)
    else:
        images = example_images(normalization, size)
        made.add("pixel_values", images, axes=axes, within=pixel_range(normalization))


def _other_channels(normalization: Normalization, channels: int) -> bool:
    return bool({len(normalization.mean), len(normalization.std)} - {1, channels})


def _height_and_width(config: Any) -> tuple[int, int]:
    said = getattr(config, "image_size", None) or _PIXELS
    if isinstance(said, Mapping):
        said = said["height"], said["width"]
    return (said, said) if isinstance(said, int) else (int(said[0]), int(said[1]))


def _add_sound(
    made: Inputs, model: Any, checkpoint: Checkpoint, accepted: Mapping[str, Any]
) -> None:
    config = model.config
    if hasattr(config, "num_mel_bins"):  # a spectrogram, although it is called values
        made.add(
            "input_values",
            torch.randn(2, config.max_length, config.num_mel_bins),
            axes=[BATCH, None, None],
            within=None,
        )
        return
    fewest = 1
    for width, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        fewest = (fewest - 1) * stride + width
    shortest = fewest + _stride(config)  # two frames
    made.add(
        "input_values",
        torch.randn(2, max(_SAMPLES, shortest)),
        axes=[BATCH, f"samples:{shortest}.."],
        within=None,
    )


def _stride(config: Any) -> int:
    total = 1
    for stride in config.conv_stride:
        total *= stride
    return total


def _add_spectrograms(
    made: Inputs, model: Any, checkpoint: Checkpoint, accepted: Mapping[str, Any]
) -> None:
    config = model.config
    frames = 2 * getattr(config, "max_source_positions", 1500)
    made.add(
        "input_features",
        torch.randn(2, config.num_mel_bins, frames),
        axes=[BATCH, None, None],
        within=None,
    )


def _add_answer_so_far(made: Inputs, model: Any) -> None:
    config = model.config.get_text_config(decoder=True)
    longest = getattr(config, "max_target_positions", None) or _longest(model)
    longest = min(longest, LONGEST) if longest else None
    vocabulary = _vocabulary(model, config)
    tokens = torch.randint(0, vocabulary, (2, min(_TOKENS // 2, longest or _TOKENS)))
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is not None and start < vocabulary:
        tokens[:, 0] = start
    axes: Axes = [BATCH, f"answer:1..{longest or ''}"]
    made.add("decoder_input_ids", tokens, axes=axes, within=(0, vocabulary - 1))
