"""The public architectures that `benchmarks.coverage` exports, and how each is made.

From timm the smallest member of each family, with its own sizes; from transformers each family as
a tiny configuration, saved as a checkpoint, so that no network is needed. Nothing is trained:
whether an export is right does not hang on what the weights are, as long as none of them hides a
part of the network. Fresh weights do: the last norm of a residual block often starts at zero, a
layer's scale at a millionth, a bias at zero. `stir` gives those values that count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

SEED = 0

TIMM: tuple[str, ...] = (
    # convolutions
    "resnet18",
    "resnext50_32x4d",
    "resnetv2_18",
    "res2net50_14w_8s",
    "resnest14d",
    "skresnet18",
    "regnetx_002",
    "regnety_002",
    "convnext_atto",
    "convnextv2_atto",
    "inception_next_atto",
    "inception_v3",
    "densenet121",
    "dpn48b",
    "vgg11",
    "nf_resnet26",
    "eca_nfnet_l0",
    "tresnet_m",
    "dla46_c",
    "cspdarknet53",
    "selecsls42",
    "ese_vovnet19b_slim_dw",
    "hrnet_w18_small",
    "rdnet_tiny",
    "convmixer_768_32",
    "csatv2",
    # convolutions for small machines
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "efficientnetv2_rw_t",
    "efficientnet_cc_b0_4e",
    "mixnet_s",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_035",
    "mobilenetv4_hybrid_medium",
    "mobileone_s0",
    "repvgg_a0",
    "repvit_m0_9",
    "ghostnet_050",
    "ghostnetv2_100",
    "hardcorenas_a",
    "lcnet_035",
    "fasternet_t0",
    "starnet_s050",
    # attention
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "beit_base_patch16_224",
    "eva02_tiny_patch14_224",
    "flexivit_small",
    "vit_relpos_small_patch16_224",
    "samvit_base_patch16_224",
    "naflexvit_base_patch16_gap",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "cait_xxs24_224",
    "crossvit_9_240",
    "xcit_nano_12_p16_224",
    "volo_d1_224",
    "twins_svt_small",
    "twins_pcpvt_small",
    "pvt_v2_b0",
    "pit_ti_224",
    "tnt_s_patch16_224",
    "nest_tiny",
    "hiera_tiny_224",
    "mvitv2_tiny",
    "davit_tiny",
    "gcvit_xxtiny",
    "convit_tiny",
    # both, or neither
    "levit_128s",
    "maxvit_pico_rw_256",
    "coatnet_nano_rw_224",
    "coat_tiny",
    "coat_lite_tiny",
    "visformer_tiny",
    "edgenext_xx_small",
    "fastvit_t8",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "efficientvit_b0",
    "efficientvit_m0",
    "efficientvim_m1",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "tiny_vit_5m_224",
    "shvit_s1",
    "swiftformer_xs",
    "nextvit_small",
    "vitamin_small_224",
    "halonet26t",
    "botnet26t_256",
    "lambda_resnet26t",
    "bat_resnext26ts",
    "poolformer_s12",
    "mambaout_femto",
    "focalnet_tiny_srf",
    "sequencer2d_s",
    "mixer_s32_224",
    "gmlp_ti16_224",
    "resmlp_12_224",
)


@dataclass(frozen=True)
class Tiny:
    """A class of transformers and the configuration that makes it small."""

    model: str
    config: dict[str, Any]


_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
_TEXT: dict[str, Any] = {**_SIZES, "vocab_size": 128, "max_position_embeddings": 66}
_IMAGE: dict[str, Any] = {**_SIZES, "image_size": 32, "patch_size": 8}
_STAGES: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_WINDOWS: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
_TOKENS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_GROUPED: dict[str, Any] = {**_TEXT, **_TOKENS, "num_key_value_heads": 2}
_DISENTANGLED: dict[str, Any] = {
    **_TEXT,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "max_relative_positions": 32,
}
_AUDIO: dict[str, Any] = {
    **_SIZES,
    "conv_dim": [16, 16],
    "conv_stride": [5, 2],
    "conv_kernel": [10, 3],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}

TRANSFORMERS: dict[str, Tiny] = {
    # encoders of text
    "bert": Tiny("BertForSequenceClassification", _TEXT),
    "roberta": Tiny("RobertaForTokenClassification", _TEXT),
    "xlm-roberta": Tiny("XLMRobertaForMaskedLM", _TEXT),
    "camembert": Tiny("CamembertForQuestionAnswering", _TEXT),
    "distilbert": Tiny(
        "DistilBertForSequenceClassification",
        {
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "vocab_size": 128,
            "max_position_embeddings": 66,
        },
    ),
    "albert": Tiny("AlbertForMaskedLM", {**_TEXT, "embedding_size": 16}),
    "electra": Tiny("ElectraForTokenClassification", {**_TEXT, "embedding_size": 16}),
    "deberta": Tiny("DebertaForSequenceClassification", _DISENTANGLED),
    "deberta-v2": Tiny(
        "DebertaV2ForSequenceClassification",
        {**_DISENTANGLED, "position_buckets": 16, "share_att_key": True},
    ),
    "mobilebert": Tiny(
        "MobileBertForQuestionAnswering",
        {
            **_TEXT,
            "embedding_size": 32,
            "intra_bottleneck_size": 32,
            "num_feedforward_networks": 2,
        },
    ),
    "squeezebert": Tiny("SqueezeBertForSequenceClassification", {**_TEXT, "embedding_size": 32}),
    "mpnet": Tiny("MPNetModel", _TEXT),
    "xlnet": Tiny(
        "XLNetForSequenceClassification",
        {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64, "vocab_size": 128},
    ),
    "fnet": Tiny("FNetForSequenceClassification", _TEXT),
    "funnel": Tiny(
        "FunnelForSequenceClassification",
        {
            "block_sizes": [1, 1],
            "d_model": 32,
            "n_head": 4,
            "d_head": 8,
            "d_inner": 64,
            "vocab_size": 128,
        },
    ),
    "longformer": Tiny("LongformerForSequenceClassification", {**_TEXT, "attention_window": 8}),
    "big_bird": Tiny(
        "BigBirdForSequenceClassification", {**_TEXT, "attention_type": "original_full"}
    ),
    "nystromformer": Tiny(
        "NystromformerForSequenceClassification",
        {**_TEXT, "num_landmarks": 8, "segment_means_seq_len": 8},
    ),
    "canine": Tiny(
        "CanineForSequenceClassification",
        {
            **_SIZES,
            "max_position_embeddings": 130,
            "num_hash_functions": 4,
            "num_hash_buckets": 64,
            "local_transformer_stride": 16,
        },
    ),
    "roformer": Tiny("RoFormerForMaskedLM", _TEXT),
    "convbert": Tiny(
        "ConvBertForSequenceClassification", {**_TEXT, "embedding_size": 32, "head_ratio": 2}
    ),
    "modernbert": Tiny(
        "ModernBertForMaskedLM", {**_TEXT, "pad_token_id": 0, "local_attention": 16}
    ),
    "layoutlm": Tiny("LayoutLMForTokenClassification", _TEXT),
    "esm": Tiny("EsmForMaskedLM", {**_TEXT, "pad_token_id": 1, "mask_token_id": 3}),
    "splinter": Tiny("SplinterModel", _TEXT),
    "rembert": Tiny(
        "RemBertForMaskedLM", {**_TEXT, "input_embedding_size": 16, "output_embedding_size": 32}
    ),
    "t5-encoder": Tiny(
        "T5EncoderModel",
        {
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 2,
            "num_heads": 4,
            "vocab_size": 128,
        },
    ),
    "clip-text": Tiny("CLIPTextModel", {**_TEXT, "bos_token_id": 1, "eos_token_id": 2}),
    # decoders of text
    "gpt2": Tiny(
        "GPT2LMHeadModel",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 66, **_TOKENS},
    ),
    "gpt_neo": Tiny(
        "GPTNeoForCausalLM",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "intermediate_size": 64,
            "vocab_size": 128,
            "max_position_embeddings": 66,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
            **_TOKENS,
        },
    ),
    "gpt_neox": Tiny("GPTNeoXForCausalLM", {**_TEXT, **_TOKENS}),
    "gptj": Tiny(
        "GPTJForCausalLM",
        {
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "rotary_dim": 4,
            "vocab_size": 128,
            "n_positions": 66,
            **_TOKENS,
        },
    ),
    "opt": Tiny(
        "OPTForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "vocab_size": 128,
            "max_position_embeddings": 66,
            "word_embed_proj_dim": 32,
            **_TOKENS,
        },
    ),
    "bloom": Tiny(
        "BloomForCausalLM",
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 128, **_TOKENS},
    ),
    "falcon": Tiny(
        "FalconForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": 128,
            "alibi": False,
            **_TOKENS,
        },
    ),
    "llama": Tiny("LlamaForCausalLM", _GROUPED),
    "mistral": Tiny("MistralForCausalLM", {**_GROUPED, "sliding_window": 8}),
    "mixtral": Tiny(
        "MixtralForCausalLM", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}
    ),
    "qwen2": Tiny("Qwen2ForCausalLM", _GROUPED),
    "qwen3": Tiny("Qwen3ForCausalLM", {**_GROUPED, "head_dim": 8}),
    "phi": Tiny("PhiForCausalLM", {**_TEXT, **_TOKENS}),
    "gemma": Tiny("GemmaForCausalLM", {**_GROUPED, "head_dim": 8}),
    "gemma2": Tiny("Gemma2ForCausalLM", {**_GROUPED, "head_dim": 8, "sliding_window": 8}),
    "olmo": Tiny("OlmoForCausalLM", _GROUPED),
    "stablelm": Tiny("StableLmForCausalLM", _GROUPED),
    "mamba": Tiny(
        "MambaForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 4,
            "vocab_size": 128,
            **_TOKENS,
        },
    ),
    # images
    "vit": Tiny("ViTForImageClassification", _IMAGE),
    "deit": Tiny("DeiTForImageClassification", _IMAGE),
    "beit": Tiny("BeitForImageClassification", _IMAGE),
    "dinov2": Tiny("Dinov2ForImageClassification", _IMAGE),
    "swin": Tiny("SwinForImageClassification", _WINDOWS),
    "swinv2": Tiny("Swinv2ForImageClassification", _WINDOWS),
    "convnext": Tiny("ConvNextForImageClassification", {**_STAGES, "image_size": 64}),
    "segformer": Tiny(
        "SegformerForImageClassification",
        {**_STAGES, "num_attention_heads": [1, 2, 2, 4], "image_size": 64},
    ),
    "mobilevit": Tiny(
        "MobileViTForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 32],
            "num_attention_heads": 2,
        },
    ),
    "resnet": Tiny("ResNetForImageClassification", {**_STAGES, "embedding_size": 8}),
    "levit": Tiny(
        "LevitForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [16, 24, 32],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
    ),
    "pvt": Tiny(
        "PvtForImageClassification",
        {**_STAGES, "num_attention_heads": [1, 2, 2, 4], "image_size": 64},
    ),
    "poolformer": Tiny("PoolFormerForImageClassification", _STAGES),
    "clip-vision": Tiny("CLIPVisionModel", _IMAGE),
    # sound
    "wav2vec2": Tiny("Wav2Vec2Model", _AUDIO),
    "hubert": Tiny("HubertModel", _AUDIO),
}


def names() -> list[str]:
    """List every architecture as `timm:NAME` or `hf:NAME`."""
    return [f"timm:{name}" for name in TIMM] + [f"hf:{name}" for name in TRANSFORMERS]


def make(name: str) -> nn.Module:
    """Make an architecture as its own library does, stirred, in evaluation mode."""
    torch.manual_seed(SEED)
    library, _, short = name.partition(":")
    if library == "timm":
        import timm

        module: nn.Module = timm.create_model(short)
    else:
        import transformers

        tiny = TRANSFORMERS[short]
        made_by = getattr(transformers, tiny.model)
        config = made_by.config_class(**tiny.config)
        # One call, one answer: what was computed for earlier tokens is no output here.
        if hasattr(config, "use_cache"):
            config.use_cache = False
        module = made_by(config)
    return stir(module.eval())


def save(name: str, folder: Path) -> tuple[str, Path | None]:
    """Write an architecture's weights into `folder`, so that `edgekit export` finds them there.

    Returns:
        The TARGET, and the file that `--weights` takes where the TARGET makes weights of its own.
    """
    module = make(name)
    if name.startswith("timm:"):
        import safetensors.torch

        path = folder / "weights.safetensors"
        state = {key: value.clone() for key, value in module.state_dict().items()}
        safetensors.torch.save_file(state, path)
        return name, path
    module.save_pretrained(folder)  # type: ignore[operator]
    return f"hf:{folder}", None


def stir(module: nn.Module) -> nn.Module:
    """Give parameters and running statistics that hold one value alone values that differ."""
    generator = torch.Generator().manual_seed(SEED)
    statistics = [
        (name, buffer)
        for name, buffer in module.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    ]
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *statistics]:
            if not tensor.is_floating_point() or not tensor.numel():
                continue
            if tensor.min() != tensor.max():
                continue
            # A weight of several inputs is drawn as layers draw theirs; else a fifth is enough to
            # count and too little to turn a scale around.
            inputs = tensor.numel() / tensor.shape[0] if tensor.ndim else 1
            is_matrix = tensor.ndim > 1 and tensor.numel() != max(tensor.shape)
            spread = inputs**-0.5 if is_matrix else 0.2
            tensor.add_(spread * torch.randn(tensor.shape, generator=generator))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.1)
    return module
