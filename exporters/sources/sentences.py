"""A sentence's vector from its tokens' vectors, as a sentence-transformers checkpoint says it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from exporters.sources.checkpoint_files import Checkpoint

How = Literal["mean", "first"]
_WAYS: dict[str, How] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
_NAMED: dict[str, How] = {"mean": "mean", "cls": "first"}


@dataclass(frozen=True)
class Pooling:
    """How the vectors of a sentence's tokens become one, and whether that gets the length 1."""

    how: How
    normalized: bool


class SentenceEmbedder(nn.Module):
    """Gives one vector a sentence: `embedding`, float32 of [batch, width].

    `mean` is the average over the tokens that `attention_mask` counts,
    e = Σ_t m_t h_t / max(Σ_t m_t, 10⁻⁹); `first` is the vector of the first token. Normalised,
    e / max(‖e‖, 10⁻¹²).
    """

    def __init__(self, model: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.model(
            input_ids=input_ids, attention_mask=attention_mask, **more
        ).last_hidden_state
        if self.pooling.how == "first":
            embedding = hidden[:, 0]
        else:
            counts = attention_mask[..., None].to(hidden.dtype)
            embedding = (hidden * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
        if self.pooling.normalized:
            embedding = nn.functional.normalize(embedding, dim=-1)
        return {"embedding": embedding}


def pooling_of(checkpoint: Checkpoint) -> Pooling | None:
    """Read a checkpoint's modules.json; None where it has none, or steps that aren't known here."""
    path = checkpoint.file("modules.json")
    if path is None:
        return None
    try:
        steps = [(step["type"].rpartition(".")[2], step["path"]) for step in _read(path)]
        kinds = [kind for kind, _ in steps]
        if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
            return None
        settings = checkpoint.file(f"{steps[1][1]}/config.json")
        how = _how(_read(settings)) if settings is not None else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if how is None else Pooling(how, normalized=len(kinds) == 3)


def _how(settings: dict[str, Any]) -> How | None:
    """Name the one way that is switched on; None where it is another, or several."""
    named = settings.get("pooling_mode")
    if isinstance(named, str):
        return _NAMED.get(named)
    on = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value]
    return _WAYS.get(on[0]) if len(on) == 1 else None


def _read(path: Any) -> Any:
    return json.loads(path.read_bytes())
