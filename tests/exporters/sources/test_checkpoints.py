from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.errors import (
    BadValue,
    EdgekitError,
    FactoryFailed,
    MissingExtra,
    NotFound,
    UnknownName,
)
from edgekit.terms import Task
from exporters import sources
from exporters.original import Original
from exporters.requests import TargetRequest

SaveCheckpoint = Callable[..., Path]
IMAGES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}


def build(folder: Path, *, task: Task | None = None, **given: Any) -> Any:
    return sources.build(TargetRequest(f"hf:{folder.name}", str(folder.parent), task=task, **given))


@pytest.fixture
def changed(bert: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the BERT checkpoint with other entries in its config.json, and without some files."""

    def change(*without: str, **entries: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(bert, folder)
        for name in without:
            (folder / name).unlink()
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **entries}))
        return folder

    return change


def test_a_folder_gives_its_own_model_by_its_own_names(bert: Path) -> None:
    made = build(bert)
    assert type(made.module).__name__ == "BertForSequenceClassification"
    assert made.name == "tiny"
    assert list(made.inputs()) == ["input_ids", "attention_mask", "token_type_ids"]
    assert made.dynamic["input_ids"] == ["batch:1..64", "sequence:1..40"]
    assert made.values == {
        "input_ids": (0, 59),
        "attention_mask": (0, 1),
        "token_type_ids": (0, 1),
    }
    assert made.labels == ["bad", "good", "neither"]
    assert made.metric == "closeness"
    assert made.module.config.use_cache is False
    answer = Original(made)(made.inputs())
    assert {name: tuple(x.shape) for name, x in answer.items()} == {"logits": (2, 3)}


def test_the_example_is_text_in_the_checkpoint_s_own_numbers(bert: Path) -> None:
    example = build(bert).inputs()
    assert example["input_ids"][0, :4].tolist() == [2, 5, 6, 7]  # [CLS] the original and
    assert example["attention_mask"][1].tolist().count(0) > 0  # the second sentence is shorter


def test_the_tokenizer_s_files_are_kept_as_they_are(bert: Path) -> None:
    kept = build(bert).tokenizer
    assert set(kept) == {"tokenizer.json", "tokenizer_config.json"}
    assert kept["tokenizer.json"] == (bert / "tokenizer.json").read_bytes()


def test_without_a_tokenizer_the_example_is_drawn_in_range(changed: Callable[..., Path]) -> None:
    folder = changed("tokenizer.json", "tokenizer_config.json")
    made = build(folder)
    assert made.tokenizer == {}
    again = build(folder)
    assert all(torch.equal(x, again.inputs()[name]) for name, x in made.inputs().items())
    assert not any("tokenizer" in note for note in made.notes)


def test_a_tokenizer_that_cannot_be_used_is_told(changed: Callable[..., Path]) -> None:
    folder = changed()
    (folder / "tokenizer.json").write_text("{")
    made = build(folder)
    assert any("tokenizer can't be used" in note for note in made.notes)


def test_a_tokenizer_of_another_vocabulary_is_told(changed: Callable[..., Path]) -> None:
    folder = changed("model.safetensors", vocab_size=9)
    made = build(folder)
    assert any("knows numbers below 9" in note for note in made.notes)
    assert made.values["input_ids"] == (0, 8)


def test_the_original_of_a_folder_is_the_same_each_time(bert: Path) -> None:
    hashes = {Original(build(bert, seed=seed)).weights_sha256() for seed in (0, 1)}
    assert len(hashes) == 1


def test_a_folder_without_weights_gets_random_ones_and_says_so(
    changed: Callable[..., Path],
) -> None:
    folder = changed("model.safetensors")
    made = build(folder, seed=3)
    assert "the weights are random (seed 3): the folder holds none" in made.notes
    hashes = [Original(build(folder, seed=seed)).weights_sha256() for seed in (3, 3, 4)]
    assert hashes[0] == hashes[1] != hashes[2]
    with pytest.raises(NotFound, match="the weights of the checkpoint, which --pretrained asks"):
        build(folder, pretrained=True)


def test_weights_of_a_file_replace_the_random_ones(bert: Path, changed: Any) -> None:
    folder = changed("model.safetensors")
    made = build(folder, weights=str(bert / "model.safetensors"))
    assert not any("random" in note for note in made.notes)
    assert Original(made).weights_sha256() == Original(build(bert)).weights_sha256()


def test_a_head_that_was_not_saved_is_told(bert: Path) -> None:
    made = build(bert, task="masked-language-model")
    assert type(made.module).__name__ == "BertForMaskedLM"
    assert any("has no cls.predictions" in note and "mean nothing" in note for note in made.notes)


def test_features_leave_out_a_pooler_that_has_no_weights(masked: Path) -> None:
    made = build(masked, task="features")
    assert made.module.pooler is None
    assert not any("mean nothing" in note for note in made.notes)
    original = Original(made)
    assert list(original(made.inputs())) == ["last_hidden_state"]


@pytest.fixture(scope="module")
def masked(save_checkpoint: SaveCheckpoint) -> Path:
    return save_checkpoint(
        "RobertaForMaskedLM",
        "RobertaConfig",
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=42,
        type_vocab_size=1,
    )


def test_positions_that_no_token_gets_are_not_promised(masked: Path) -> None:
    made = build(masked)
    assert list(made.inputs()) == ["input_ids", "attention_mask"]
    assert made.dynamic["input_ids"][1] == "sequence:1..40"
    ids = torch.full((1, 40), 5)
    assert made.module(input_ids=ids).logits.shape == (1, 40, 60)
    with pytest.raises((IndexError, RuntimeError)):
        made.module(input_ids=torch.full((1, 41), 5))


def test_a_long_range_is_cut_and_told(save_checkpoint: SaveCheckpoint) -> None:
    folder = save_checkpoint(
        "GPT2LMHeadModel",
        "GPT2Config",
        vocab_size=60,
        n_embd=32,
        n_layer=1,
        n_head=2,
        n_positions=2048,
        bos_token_id=1,
        eos_token_id=2,
    )
    made = build(folder)
    assert made.dynamic["input_ids"] == ["batch:1..64", "sequence:1..1024"]
    assert any("1024 of the 2048 positions" in note for note in made.notes)
    assert list(Original(made)(made.inputs())) == ["logits"]  # and no cache for a next call


def test_an_encoder_and_its_decoder_have_lengths_of_their_own(
    save_checkpoint: SaveCheckpoint,
) -> None:
    folder = save_checkpoint(
        "T5ForConditionalGeneration",
        "T5Config",
        vocab_size=60,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=1,
        num_heads=2,
    )
    made = build(folder)
    assert made.dynamic["input_ids"] == ["batch:1..64", "sequence:1.."]
    assert made.dynamic["decoder_input_ids"] == ["batch:1..64", "answer:1.."]
    assert Original(made)(made.inputs())["logits"].shape == (2, 8, 60)


def test_an_image_model_says_how_pixels_are_normalised(
    save_checkpoint: SaveCheckpoint, tmp_path: Path
) -> None:
    saved = save_checkpoint("ViTForImageClassification", "ViTConfig", **IMAGES)
    folder = shutil.copytree(saved, tmp_path / "images")
    plain = build(folder)
    assert plain.normalization is None
    assert "pixel_values" not in plain.values
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.5], "rescale_factor": 0.004}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    made = build(folder)
    assert made.normalization.input == "pixel_values"
    assert made.normalization.mean == (0.5, 0.4, 0.3)
    assert made.normalization.std == (0.2, 0.2, 0.5)
    assert made.normalization.scale == 0.004
    assert made.inputs()["pixel_values"].shape == (2, 3, 32, 32)
    low, high = made.values["pixel_values"]
    assert low == pytest.approx((0 - 0.5) / 0.2, abs=2e-3)
    assert high == pytest.approx((255 * 0.004 - 0.4) / 0.2, abs=2e-3)
    assert made.dynamic["pixel_values"] == ["batch:1..64", None, None, None]
    assert made.labels is None  # LABEL_0 and LABEL_1 name nothing
    (folder / "preprocessor_config.json").write_text('{"do_rescale": false, "do_normalize": false}')
    raw = build(folder).normalization
    assert (raw.mean, raw.std, raw.scale) == ((0.0,), (1.0,), 1.0)


def test_sound_is_as_short_as_the_model_can_hear(save_checkpoint: SaveCheckpoint) -> None:
    folder = save_checkpoint(
        "Wav2Vec2ForCTC",
        "Wav2Vec2Config",
        vocab_size=20,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=[16, 16],
        conv_kernel=[10, 3],
        conv_stride=[5, 2],
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    made = build(folder)
    assert made.dynamic["input_values"] == ["batch:1..64", "samples:30.."]
    assert made.module(torch.rand(1, 30)).logits.shape == (1, 2, 20)


# ---- a vector a sentence ------------------------------------------------------------------------


def embedder(folder: Path, *kinds: str, **pooling: Any) -> Path:
    steps = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": f"sentence_transformers.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("way", ["pooling_mode_mean_tokens", "pooling_mode_cls_token"])
def test_sentence_embeddings_are_pooled_as_the_checkpoint_says(
    way: str, normalized: bool, changed: Callable[..., Path]
) -> None:
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalized else [])]
    folder = embedder(changed(), *kinds, **{way: True})
    assert type(build(folder).module).__name__ == "BertForSequenceClassification"
    made = build(folder, task="sentence-embeddings")
    example = made.inputs()
    got = Original(made)(example)["embedding"]
    hidden = made.module.model(**example).last_hidden_state
    if way.endswith("cls_token"):
        expected = hidden[:, 0]
    else:
        kept = example["attention_mask"][1].sum()
        expected = torch.stack([hidden[0].mean(0), hidden[1, :kept].mean(0)])
    if normalized:
        expected = expected / expected.norm(dim=1, keepdim=True)
    assert torch.allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kinds", "pooling"),
    [
        (("Transformer", "Pooling", "Dense"), {"pooling_mode_mean_tokens": True}),
        (("Transformer", "Pooling"), {"pooling_mode_max_tokens": True}),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        ),
    ],
)
def test_a_pooling_that_is_not_known_is_not_guessed(
    kinds: tuple[str, ...], pooling: dict[str, bool], changed: Callable[..., Path]
) -> None:
    folder = embedder(changed(), *kinds, **pooling)
    with pytest.raises(UnknownName, match="no task 'sentence-embeddings' for hf:changed"):
        build(folder, task="sentence-embeddings")


# ---- parameters, and what is refused -------------------------------------------------------------


def test_parameters_change_the_config_and_the_type_of_the_weights(bert: Path) -> None:
    made = build(bert, parameters={"num_hidden_layers": "1", "dtype": "float64"})
    assert len(made.module.bert.encoder.layer) == 1
    assert made.module.dtype == torch.float64
    assert made.module.config._attn_implementation == "eager"
    fused = build(bert, parameters={"attn_implementation": "sdpa"})
    assert fused.module.config._attn_implementation == "sdpa"
    assert not any("attn_implementation" in note for note in fused.notes)


def test_weights_of_half_precision_stay_so_and_are_told(bert: Path, tmp_path: Path) -> None:
    half = build(bert).module.half()
    half.save_pretrained(tmp_path / "half")
    made = build(tmp_path / "half")
    assert made.module.dtype == torch.float16
    assert any("-p dtype=float32 widens them" in note for note in made.notes)
    wide = build(tmp_path / "half", parameters={"dtype": "float32"})
    assert wide.module.dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"task": "image-classification"}, UnknownName, "there is: features, masked-language-mod"),
        ({"parameters": {"hidden": "3"}}, UnknownName, "no parameter 'hidden' of hf:tiny"),
        ({"parameters": {"hidden_size": "x"}}, BadValue, "hidden_size of hf:tiny cannot be 'x'"),
        ({"parameters": {"dtype": "int4"}}, UnknownName, "no dtype 'int4'.*there is: float32"),
    ],
)
def test_what_a_checkpoint_has_not_is_refused(
    given: dict[str, Any], error: type[EdgekitError], sentence: str, bert: Path
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        build(bert, **given)
    assert caught.value.exit_code == 2


def test_a_class_of_no_known_task_asks_for_one(changed: Callable[..., Path]) -> None:
    folder = changed(architectures=["BertForPreTraining"])
    with pytest.raises(
        FactoryFailed, match=r"is a BertForPreTraining.*name another with --task: f"
    ):
        build(folder)
    assert type(build(folder, task="features").module).__name__ == "BertModel"


def test_the_code_of_a_checkpoint_is_never_run(
    changed: Callable[..., Path], tmp_path: Path
) -> None:
    folder = changed(auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(FactoryFailed, match="the code of its model along, which is never run"):
        build(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "config.json that can't be read"),
        ("{}", "config.json without model_type"),
        ('{"model_type": "bert2"}', "raised ValueError: .*bert2"),
    ],
)
def test_a_config_that_is_none_is_one_sentence(
    text: str, sentence: str, changed: Callable[..., Path]
) -> None:
    folder = changed()
    (folder / "config.json").write_text(text)
    with pytest.raises(FactoryFailed, match=sentence) as caught:
        build(folder)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_one_sentence(changed: Callable[..., Path]) -> None:
    folder = changed()
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FactoryFailed, match="hf:changed raised SafetensorError"):
        build(folder)


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra hf brings it")
    with pytest.raises(NotFound, match="expected a folder with a transformers checkpoint"):
        sources.build(TargetRequest("hf:./absent", str(tmp_path)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=r"config\.json does not exist; expected the config of a tr"):
        sources.build(TargetRequest("hf:empty", str(tmp_path)))


def test_a_name_of_the_hub_without_a_network_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="the extra hf brings it")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FactoryFailed, match=r"HF_HUB_OFFLINE forbids downloads\. Without a n"):
        sources.build(TargetRequest("hf:org/no-such-name", str(tmp_path)))


def test_transformers_that_is_not_installed_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgekit-onnx\[hf\]'"):
        sources.build(TargetRequest("hf:any", "/"))
