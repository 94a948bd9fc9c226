"""What a checkpoint's model can be for: which class of transformers stands for which task."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, NamedTuple

from edgekit.errors import FactoryFailed, UnknownName
from edgekit.terms import Task
from exporters.requests import TargetRequest


class Head(NamedTuple):
    """The class that makes a model for a task, and the table of the classes that it makes."""

    maker: str
    table: str


HEADS: dict[Task, Head] = {
    "audio-classification": Head(
        "AutoModelForAudioClassification", "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES"
    ),
    "features": Head("AutoModel", "MODEL_MAPPING_NAMES"),
    "image-classification": Head(
        "AutoModelForImageClassification", "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES"
    ),
    "masked-language-model": Head("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES"),
    "question-answering": Head(
        "AutoModelForQuestionAnswering", "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES"
    ),
    "semantic-segmentation": Head(
        "AutoModelForSemanticSegmentation", "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES"
    ),
    "sentence-embeddings": Head("AutoModel", "MODEL_MAPPING_NAMES"),
    "sequence-classification": Head(
        "AutoModelForSequenceClassification", "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"
    ),
    "speech-recognition": Head("AutoModelForCTC", "MODEL_FOR_CTC_MAPPING_NAMES"),
    "text-encoding": Head("AutoModelForTextEncoding", "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES"),
    "text-generation": Head("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"),
    "text-to-text": Head("AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"),
    "token-classification": Head(
        "AutoModelForTokenClassification", "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES"
    ),
}


def task_of(config: Any, request: TargetRequest, *, sentences: bool) -> Task:
    """Choose the task: the asked one, else that of the class which the checkpoint was saved from.

    `sentences` says that the checkpoint knows how a sentence becomes one vector.

    Raises:
        UnknownName: the model has no head for the asked task.
        FactoryFailed: the checkpoint's own class is for no task that is known here.
    """
    classes = {
        task: made
        for task in HEADS
        if (made := _classes(task, config.model_type))
        and (sentences or task != "sentence-embeddings")
    }
    if request.task is not None:
        if request.task not in classes:
            raise UnknownName(
                kind="task", of=f"for {request.target}", asked=request.task, available=list(classes)
            )
        return request.task
    saved = list(config.architectures or ())
    if not saved and "features" in classes:
        return "features"
    for task, made in classes.items():
        if set(saved) & set(made):
            return task
    raise FactoryFailed(
        target=request.target,
        problem=f"is a {' or '.join(saved) or config.model_type}, which is for no task that is "
        "known here; name another with --task: "
        + (", ".join(classes) or "there is none for this model"),
    )


def takes_masked_text(transformers: Any, task: Task, config: Any) -> bool:
    """Tell whether the model for a task reads tokens of which a mask may hide some."""
    made = getattr(transformers, _classes(task, config.model_type)[0])
    return made.main_input_name == "input_ids" and (
        "attention_mask" in inspect.signature(made.forward).parameters
    )


def _classes(task: Task, model_type: str) -> tuple[str, ...]:
    tables = importlib.import_module("transformers.models.auto.modeling_auto")
    made = getattr(tables, HEADS[task].table).get(model_type, ())
    return (made,) if isinstance(made, str) else tuple(made)
