"""Tiny checkpoints of transformers, made on the spot."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the original and its export model are given same words one is"
)
TINY = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}

SaveCheckpoint = Callable[..., Path]


@pytest.fixture(scope="session")
def save_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> SaveCheckpoint:
    """Save a model of a class of transformers with a config of the given entries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its imports are its own affair
        transformers = pytest.importorskip("transformers", reason="the extra hf brings it")
    import torch

    def save(made: str, config: str, **entries: Any) -> Path:
        torch.manual_seed(1)
        folder: Path = tmp_path_factory.mktemp("checkpoint") / "tiny"
        getattr(transformers, made)(getattr(transformers, config)(**entries)).save_pretrained(
            folder
        )
        return folder

    return save


@pytest.fixture(scope="session")
def bert(save_checkpoint: SaveCheckpoint) -> Path:
    """A classifier of two layers of 32 with a WordPiece tokenizer. Shared: copy before a change."""
    folder = save_checkpoint(
        "BertForSequenceClassification",
        "BertConfig",
        **TINY,
        max_position_embeddings=40,
        id2label={0: "bad", 1: "good", 2: "neither"},
    )
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate(WORDS.split())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
