"""Two networks with weights from real training, as factories for `edgekit export`.

    edgekit export benchmarks/quantize_networks.py:speaker -p folder=build/quantize-real
    edgekit export benchmarks/quantize_networks.py:sentences -p folder=build/quantize-real

`speaker` is the encoder of Resemblyzer 0.1.4: three LSTM layers of 256 over 40 mel bands, a linear
layer, a Relu, length 1 (Wan et al., 2018, "Generalized end-to-end loss for speaker verification").
It hears windows of 1.6 s out of the recordings that the sources of PocketSphinx 5.1.1 bring for
their tests: a reader of audio books to calibrate with, others' commands and digits held out.

`sentences` is all-MiniLM-L6-v2, a BERT of six layers and width 384, with the mean over tokens and
length 1 that sentence-transformers puts behind it. It reads paragraphs of the Python reference,
which every Python has in `pydoc_data.topics`; calibration and held-out ones are of other topics.

`benchmarks.quantize_materials` brings the files into the folder.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.tensors import Case
from exporters.exportable import Exportable

RATE_HZ, BANDS, HIDDEN, LAYERS = 16_000, 40, 256, 3
WINDOW, STEP = 400, 160
FRAMES = 160
"""Of 10 ms: what the encoder was trained to hear at once."""
QUIET_DBFS = -30.0
"""Quieter recordings are made this loud, as for the training."""
CALIBRATION_HOP, HELD_OUT_HOP = 20, 15
LARGEST_INT16 = 32767.0

CALIBRATION_SPEECH = "speech/librivox"
HELD_OUT_SPEECH = "speech/others"

TOKENS = 128
SHORTEST_TOKENS = 40
PARAGRAPHS_A_TOPIC = 4
CALIBRATION_TEXTS, HELD_OUT_TEXTS = 96, 128

Floats = NDArray[np.float32]


class SpeakerEncoder(nn.Module):
    """Mel bands over time → a direction in which a speaker's utterances lie near each other."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, HIDDEN, LAYERS, batch_first=True)
        self.linear = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, mels: Tensor) -> Tensor:
        """Return float32 of [batch, 256], of length 1, for float32 of [batch, time, 40]."""
        _, (hidden, _) = self.lstm(mels)
        raw = torch.relu(self.linear(hidden[-1]))
        direction: Tensor = raw / torch.linalg.vector_norm(raw, dim=1, keepdim=True)
        return direction


class SentenceEncoder(nn.Module):
    """Tokens → BERT → the mean over those that are there → length 1."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float32 of [batch, 384] for int64 tokens and mask of [batch, 128]."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        there = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * there).sum(1) / there.sum(1).clamp(min=1e-9)
        direction: Tensor = nn.functional.normalize(mean, dim=1)
        return direction


def speaker(folder: str) -> Exportable:
    """Make the speaker encoder out of the files in `folder`."""
    module = SpeakerEncoder().eval()
    stored = torch.load(Path(folder) / "speaker.pt", map_location="cpu", weights_only=True)
    weights = {name: stored["model_state"][name] for name in module.state_dict()}
    module.load_state_dict(weights)
    held_out = partial(spoken, Path(folder) / HELD_OUT_SPEECH, HELD_OUT_HOP)
    example = np.concatenate([case.feed["mels"] for case in islice(held_out(), 2)])
    return Exportable(
        module,
        (torch.from_numpy(example),),
        input_names=["mels"],
        output_names=["direction"],
        dynamic={"mels": ("batch:1..8", None, None)},
        evaluation=held_out,
        calibration=partial(spoken, Path(folder) / CALIBRATION_SPEECH, CALIBRATION_HOP),
        dataset="windows of speech",
        name="speaker",
    )


def sentences(folder: str) -> Exportable:
    """Make the sentence encoder out of the files in `folder`."""
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(Path(folder) / "minilm", attn_implementation="eager")
    held_out = partial(read, folder, held_out=True)
    example = [case.feed for case in islice(held_out(), 2)]
    names = ["input_ids", "attention_mask"]
    return Exportable(
        SentenceEncoder(bert).eval(),
        tuple(torch.from_numpy(np.concatenate([feed[name] for feed in example])) for name in names),
        input_names=names,
        output_names=["direction"],
        dynamic=dict.fromkeys(names, ("batch:1..8", None)),
        values={"input_ids": (0, bert.config.vocab_size - 1), "attention_mask": (0, 1)},
        evaluation=held_out,
        calibration=partial(read, folder, held_out=False),
        dataset="paragraphs",
        name="sentences",
    )


def spoken(folder: Path, hop: int) -> Iterator[Case]:
    """Cut recordings into windows that begin `hop` frames after each other, a case each."""
    for path in sorted(folder.iterdir()):
        mels = mel_bands(recording(path))
        for first in range(0, len(mels) - FRAMES + 1, hop):
            yield Case({"mels": mels[None, first : first + FRAMES]})


def recording(path: Path) -> Floats:
    """Read 16-bit samples at 16 kHz, with a header or without, as float32 within -1 and 1."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (
                RATE_HZ,
                1,
                2,
            )
            content = file.readframes(file.getnframes())
    else:
        content = path.read_bytes()
    sound = np.frombuffer(content, "<i2").astype(np.float32) / LARGEST_INT16
    louder_db = QUIET_DBFS - 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)))
    return (sound * np.float32(10 ** (max(louder_db, 0.0) / 20))).astype(np.float32)


def mel_bands(sound: Floats) -> Floats:
    """Return the power in 40 mel bands, [frames, 40] float32, as the encoder was trained on.

    Windows of 25 ms (Hann), one every 10 ms around its middle, zeros before and after.
    """
    padded = np.pad(sound.astype(np.float64), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    bands: Floats = (power @ mel_filters().T).astype(np.float32)
    return bands


def mel_filters() -> NDArray[np.float64]:
    """Return Slaney's triangles (Auditory Toolbox, 1998), [40, 201], each with an area of 1."""
    edges = _hertz(np.linspace(0.0, _mel(RATE_HZ / 2), BANDS + 2))
    lines = np.linspace(0.0, RATE_HZ / 2, WINDOW // 2 + 1)
    low, middle, high = (edges[i : BANDS + i, None] for i in range(3))
    rising, falling = (lines - low) / (middle - low), (high - lines) / (high - middle)
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return triangles * 2.0 / (high - low)


_LINEAR_HZ, _LINEAR_MEL, _LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27.0
"""Below 1 kHz a mel is 66⅔ Hz, above it 27 mels are a factor of 6.4."""


def _mel(hertz: float) -> float:
    if hertz < _LINEAR_HZ:
        return hertz * _LINEAR_MEL / _LINEAR_HZ
    return float(_LINEAR_MEL + np.log(hertz / _LINEAR_HZ) / _LOG_STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LINEAR_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_MEL))
    return np.where(mels < _LINEAR_MEL, mels * _LINEAR_HZ / _LINEAR_MEL, above)


def read(folder: str, *, held_out: bool) -> Iterator[Case]:
    """Tokenize paragraphs of every other topic, a case each, padded to 128 tokens.

    Some stand under several topics: a paragraph belongs to the first of them alone.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(folder) / "minilm")
    left = HELD_OUT_TEXTS if held_out else CALIBRATION_TEXTS
    seen: set[tuple[int, ...]] = set()
    for number, topic in enumerate(sorted(topics)):
        texts = [" ".join(text.split()) for text in topics[topic].split("\n\n")]
        found = [
            tuple(tokenizer(text, truncation=True, max_length=TOKENS)["input_ids"])
            for text in texts
        ]
        long = [tokens for tokens in dict.fromkeys(found) if len(tokens) >= SHORTEST_TOKENS]
        fresh = [tokens for tokens in long if tokens not in seen]
        seen.update(fresh)
        if number % 2 == held_out:
            for tokens in fresh[: min(PARAGRAPHS_A_TOPIC, left)]:
                left -= 1
                yield Case(_padded(tokens, tokenizer.pad_token_id))
        if not left:
            return


def _padded(tokens: tuple[int, ...], padding: int) -> dict[str, NDArray[np.int64]]:
    ids, mask = np.full((1, TOKENS), padding, np.int64), np.zeros((1, TOKENS), np.int64)
    ids[0, : len(tokens)], mask[0, : len(tokens)] = tokens, 1
    return {"input_ids": ids, "attention_mask": mask}
