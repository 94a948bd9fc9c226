"""`hf:FOLDER` and `hf:NAME`: a checkpoint of the transformers library, here or on the hub.

Code that a checkpoint brings along is never run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import FactoryFailed, MissingExtra, NotFound, UnknownName
from edgekit.terms import Task
from edgekit.user_code import run_user_code
from exporters.exportable import Exportable
from exporters.requests import TargetRequest
from exporters.seeds import seed_everything
from exporters.sources import hub
from exporters.sources.checkpoint_files import Checkpoint, labels_of, normalization_of
from exporters.sources.checkpoint_inputs import inputs_of
from exporters.sources.checkpoint_tasks import HEADS, takes_masked_text, task_of
from exporters.sources.parameters import as_written, converted
from exporters.sources.sentences import SentenceEmbedder, pooling_of

_NAME = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}
_OF_LOADING = ("dtype", "attn_implementation", "experts_implementation")
"""What `-p` may give besides the entries of the checkpoint's config."""
_LISTED = 5
_STEPWISE = (
    "attention is computed in steps (attn_implementation=eager), in the original too: for a row "
    "whose mask hides every token torch's fused attention gives other numbers than ONNX Runtime"
)


def make(request: TargetRequest) -> tuple[Exportable, str]:
    """Load a checkpoint's model with the head of a task, by default of the one it was saved with.

    A folder's weights are always loaded, those of the hub under `--pretrained`; else they are
    random, drawn from the seed. Inputs have the names that the model and its tokenizer use, and a
    dynamic batch; texts a dynamic length too. `-p` changes entries of the config
    (`num_hidden_layers=2`), the type of the weights (`dtype=float32`), and how attention and
    experts are computed (`attn_implementation=sdpa`, `experts_implementation=batched_mm`).

    Raises:
        MissingExtra: transformers isn't installed.
        NotFound: no such folder, or no checkpoint in it.
        UnknownName: a task that the model has no head for, or a parameter that it hasn't.
        FactoryFailed: transformers can't make it, it needs code of its own, or the hub can't be
            reached.
    """
    transformers = _imported(request.target)
    checkpoint = _found(request)
    config = _changed(_config(transformers, checkpoint, request), request)
    task = task_of(config, request, sentences=pooling_of(checkpoint) is not None)
    seed_everything(request.seed)
    model, notes = _model(transformers, checkpoint, config, task, request)
    inputs = inputs_of(model, checkpoint, request)
    module = model
    if task == "sentence-embeddings":
        pooling = pooling_of(checkpoint)
        assert pooling is not None
        module = SentenceEmbedder(model, pooling)
    return (
        Exportable(
            module,
            inputs.example,
            dynamic=inputs.dynamic,
            values=inputs.values,
            labels=labels_of(config, task),
            normalization=normalization_of(checkpoint)
            if "pixel_values" in inputs.example
            else None,
            tokenizer=checkpoint.tokenizer_files(),
            notes=(*notes, *inputs.notes),
        ),
        Path(checkpoint.name).name,
    )


def _imported(target: str) -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise MissingExtra(module="transformers", extra="hf", what=target) from error
    return transformers


def _found(request: TargetRequest) -> Checkpoint:
    """Find the folder; another text that looks like `organisation/name` is one of the hub's."""
    text = request.target.removeprefix("hf:")
    folder = Path(request.folder) / Path(text).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise NotFound(
                path=str(folder / "config.json"), expected="the config of a transformers checkpoint"
            )
        return Checkpoint(str(folder), folder, offline=True)
    if not _NAME.fullmatch(text):
        raise NotFound(path=str(folder), expected="a folder with a transformers checkpoint")
    checkpoint = Checkpoint(text, None, offline=hub.is_offline())
    if checkpoint.offline and checkpoint.file("config.json") is None:
        raise hub.unreachable(
            request.target,
            f"the config of {text}",
            instead="Without a network, name the folder of a checkpoint: there is no folder "
            f"{folder}.",
        )
    return checkpoint


def _config(transformers: Any, checkpoint: Checkpoint, request: TargetRequest) -> Any:
    file = checkpoint.file("config.json")
    if file is not None:
        _refuse_own_code(file, request.target)
    return run_user_code(
        lambda: transformers.AutoConfig.from_pretrained(
            checkpoint.name, local_files_only=checkpoint.offline, trust_remote_code=False
        ),
        target=request.target,
    )


def _refuse_own_code(file: Path, target: str) -> None:
    try:
        config = json.loads(file.read_bytes())
    except ValueError as error:
        raise FactoryFailed(
            target=target, problem=f"has a config.json that can't be read ({error})"
        ) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise FactoryFailed(
            target=target, problem="has a config.json without model_type; is it of transformers?"
        )
    if "AutoConfig" in (config.get("auto_map") or {}):
        raise FactoryFailed(
            target=target,
            problem="brings the code of its model along, which is never run from here. If you "
            "trust it, write a file.py:factory that makes the model with trust_remote_code=True",
        )


def _changed(config: Any, request: TargetRequest) -> Any:
    """Put `-p` into the config, and have the model return nothing that only a next call needs."""
    entries = config.to_dict()
    for name, text in request.parameters.items():
        if name in _OF_LOADING:
            continue
        if name not in entries:
            available = [*_OF_LOADING, *(key for key in entries if not key.startswith("_"))]
            raise UnknownName(
                kind="parameter", of=f"of {request.target}", asked=name, available=available
            )
        known = entries[name]
        typed = isinstance(known, bool | int | float | str)
        what = f"the parameter {name} of {request.target}"
        setattr(
            config, name, converted(text, type(known), what=what) if typed else as_written(text)
        )
    for part in (config, config.get_text_config()):
        if hasattr(part, "use_cache"):
            part.use_cache = False
        part.return_dict = True
    return config


def _model(
    transformers: Any, checkpoint: Checkpoint, config: Any, task: Task, request: TargetRequest
) -> tuple[Any, list[str]]:
    maker = getattr(transformers, HEADS[task].maker)
    options = _options(request)
    notes = []
    if "attn_implementation" not in options and takes_masked_text(transformers, task, config):
        options["attn_implementation"] = "eager"
        notes.append(_STEPWISE)
    if checkpoint.folder is not None:
        loads = checkpoint.has_weights()
        if request.pretrained and not loads:
            raise NotFound(
                path=str(checkpoint.folder / "model.safetensors"),
                expected="the weights of the checkpoint, which --pretrained asks for",
            )
    else:
        loads = request.pretrained
    if not loads:
        model = run_user_code(lambda: maker.from_config(config, **options), target=request.target)
        return model, [*notes, *([] if request.weights else [_random(checkpoint, request)])]
    if checkpoint.offline and not checkpoint.has_weights():
        raise hub.unreachable(
            request.target,
            f"the weights of {checkpoint.name}",
            instead="Without a network, leave --pretrained out for random weights, or name the "
            "folder of a checkpoint.",
        )
    load = _loader(maker, checkpoint, config, options, request)
    model, missing = load({})
    if missing and task == "features" and all("pooler" in name for name in missing):
        # The checkpoint was saved with a head that needs none.
        model, missing = load({"add_pooling_layer": False})
    return model, [*notes, *_notes(model, missing, request)]


def _options(request: TargetRequest) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in _OF_LOADING:
        if name in request.parameters:
            options[name] = request.parameters[name]
    if "dtype" in options:
        asked = options["dtype"]
        if asked not in _DTYPES:
            raise UnknownName(
                kind="dtype", of=f"of {request.target}", asked=asked, available=list(_DTYPES)
            )
        options["dtype"] = _DTYPES[asked]
    return options


def _loader(
    maker: Any,
    checkpoint: Checkpoint,
    config: Any,
    options: Mapping[str, Any],
    request: TargetRequest,
) -> Callable[[Mapping[str, Any]], tuple[Any, list[str]]]:
    def load(more: Mapping[str, Any]) -> tuple[Any, list[str]]:
        seed_everything(request.seed)
        model, told = run_user_code(
            lambda: maker.from_pretrained(
                checkpoint.name,
                config=config,
                local_files_only=checkpoint.offline,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
                **more,
            ),
            target=request.target,
        )
        return model, sorted(told["missing_keys"])

    return load


def _random(checkpoint: Checkpoint, request: TargetRequest) -> str:
    drawn = f"the weights are random (seed {request.seed})"
    if checkpoint.folder is not None:
        return f"{drawn}: the folder holds none"
    return f"{drawn}; --pretrained loads those that were published"


def _notes(model: Any, missing: Sequence[str], request: TargetRequest) -> list[str]:
    notes = []
    if missing and not request.weights:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        notes.append(
            f"the checkpoint has no {', '.join(missing[:_LISTED])}{more}: they are random (seed "
            f"{request.seed}), so the answers mean nothing"
        )
    if model.dtype in (torch.float16, torch.bfloat16) and "dtype" not in request.parameters:
        notes.append(
            f"the checkpoint's weights are {str(model.dtype).removeprefix('torch.')}; "
            "-p dtype=float32 widens them"
        )
    return notes
