"""Real exports of tiny modules, each verified through ONNX Runtime."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx_ir
import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import (
    BadValue,
    DimensionLost,
    ExportFailed,
    FactoryFailed,
    OpsetUnavailable,
    UnrolledLoop,
    VerificationFailed,
)
from edgekit.package import cases as case_files
from edgekit.tensors import Case, Dim, TensorSpec
from exporters import attempt as attempts
from exporters import recording, strategies
from exporters.bounds import RULE_DOUBLE
from exporters.requests import ModuleRequest
from exporters.strategies.ranges import Converted

AttemptHere = Callable[..., Any]
X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Calls(nn.Module):
    """Answers what a function answers."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(x)


class Scaled(nn.Module):
    def forward(self, image: Tensor, mask: Tensor, unused: Tensor | None = None) -> Tensor:
        return image * 2 + mask


def test_inputs_share_a_dimension_whatever_their_order_and_may_be_unused(
    attempt_here: AttemptHere,
) -> None:
    example = {"unused": torch.rand(2), "mask": torch.rand(2, 3), "image": torch.rand(2, 3)}
    dynamic = {"image": ["N:1..64", None], "mask": ["N", None], "unused": ["N"]}
    made = attempt_here(Scaled(), example, dynamic=dynamic, values={"mask": (0.0, 2.0)})
    n = Dim("N", 1, 64)
    assert made.done.signature.inputs == (
        TensorSpec("unused", "float32", (n,)),
        TensorSpec("mask", "float32", (n, 3), (0.0, 2.0)),
        TensorSpec("image", "float32", (n, 3)),
    )
    assert [str(spec) for spec in made.done.signature.outputs] == ["output: float32 [N, 3]"]
    assert [s["N"] for s in made.done.verification.sizes] == [2, 1, 3, 17, 64]
    assert made.done.verification.rule == RULE_DOUBLE
    image, mask = np.ones((5, 3), np.float32), np.full((5, 3), 0.5, np.float32)
    with made.open() as model:
        got = model({"image": image, "mask": mask, "unused": np.zeros(5, np.float32)})
    np.testing.assert_array_equal(got, np.full((5, 3), 2.5, np.float32))


class Many(NamedTuple):
    x: Tensor
    nothing: None
    again: Tensor
    first: Tensor
    total: Tensor
    best: Tensor
    high: Tensor


def many(x: Tensor) -> Many:
    y = x + 1
    return Many(x, None, y, y, x.sum(), x.argmax(-1), x > 0)


def test_outputs_of_every_kind_come_out_by_name(attempt_here: AttemptHere) -> None:
    """An input, None, one tensor twice, a scalar, whole numbers, booleans; from a batch of 1."""
    made = attempt_here(Calls(many), (X[:1],), dynamic={"x": ["I:1..8", "S:2..6"]})
    assert [str(spec) for spec in made.done.signature.outputs] == [
        "x_out: float32 [I, S]",
        "again: float32 [I, S]",
        "first: float32 [I, S]",
        "total: float32 []",
        "best: int64 [I]",
        "high: bool [I, S]",
    ]
    x = np.arange(-4, 5, dtype=np.float32).reshape(3, 3)
    with made.open() as model:
        got = model(x)
    np.testing.assert_array_equal(got["x_out"], x)
    np.testing.assert_array_equal(got["again"], x + 1)
    np.testing.assert_array_equal(got["first"], x + 1)
    assert got["total"] == 0
    assert got["best"].tolist() == [2, 2, 2]
    np.testing.assert_array_equal(got["high"], x > 0)


class Delicate(nn.Module):
    """Large logits, long sums and many layers: right, and never exactly the original's numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Linear(64, 64) for _ in range(40)), nn.LayerNorm(64))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        deep = self.layers(x)
        wide = torch.sin(x[:, :1] * torch.linspace(0, 1000, 20_000)).sum(-1)
        return torch.softmax(deep * 60, -1), wide, torch.logsumexp(x * 80, -1), x.var(-1) * 1e-6


def test_numerically_delicate_modules_pass(attempt_here: AttemptHere) -> None:
    torch.manual_seed(1)
    made = attempt_here(Delicate(), (torch.randn(2, 64),), dynamic={"x": ["n", None]})
    assert all(c.max_abs_error <= c.tolerance.absolute for c in made.done.closeness)
    assert any(c.max_abs_error > 0 for c in made.done.closeness)


def test_training_mode_and_half_weights(attempt_here: AttemptHere) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.9)).train()
    made = attempt_here(module.half(), (X.half(),), dynamic={"input": ["n", None]})
    assert made.done.precision == "fp16"
    assert made.done.model == "fp16.onnx"
    assert "Dropout" not in made.done.facts.operators
    assert made.done.signature.outputs[0].dtype == "float16"


def test_weights_that_the_cpu_has_no_kernel_for_are_refused_with_the_reason(
    attempt_here: AttemptHere,
) -> None:
    with pytest.raises(
        ExportFailed, match=r"(?s)linear could not.*computes in bfloat16.*float\(\)"
    ):
        attempt_here(nn.Linear(4, 3).bfloat16(), (X.bfloat16(),))


@pytest.mark.parametrize("opset", [18, 20, 21, 22, 23])
def test_the_opset_is_exactly_the_asked_one(opset: int, attempt_here: AttemptHere) -> None:
    made = attempt_here(nn.Linear(4, 3), (X,), options={"opset": opset})
    assert made.done.facts.opset == opset
    assert onnx_ir.load(made.folder / made.done.model).opset_imports[""] == opset


def test_an_opset_that_torch_does_not_give_is_an_error(attempt_here: AttemptHere) -> None:
    with pytest.raises(OpsetUnavailable, match="Opset 99 was asked for and torch gave opset"):
        attempt_here(nn.Linear(4, 3), (X,), options={"opset": 99})


def test_weights_go_beside_the_model_on_request_and_shapes_never(
    attempt_here: AttemptHere,
) -> None:
    module = nn.Sequential(nn.Linear(4, 80), nn.Unflatten(1, (8, 10)))
    dynamic = {"input": ["n", None]}
    made = attempt_here(module, (X,), dynamic=dynamic, options={"external_data": True})
    assert made.done.files == ("fp32.onnx.data",)
    assert (made.folder / "fp32.onnx.data").stat().st_size >= 4 * 4 * 80
    assert attempt_here(module, (X,), dynamic=dynamic).done.files == ()


def test_nothing_of_the_maker_s_machine_is_in_the_model(attempt_here: AttemptHere) -> None:
    made = attempt_here(Delicate(), (torch.randn(2, 64),))
    content = (made.folder / made.done.model).read_bytes()
    for told in (str(made.folder), str(Path(__file__).parent), "test_attempt", "forward"):
        assert told.encode() not in content
    model = onnx_ir.load(made.folder / made.done.model)
    assert dict(model.metadata_props) == {"edgekit.package": "delicate"}
    assert all(not node.metadata_props for node in model.graph)


# ---- dimensions -------------------------------------------------------------------------------


def test_an_example_of_one_is_widened_before_torch_sees_it(
    attempt_here: AttemptHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch has fixed dimensions of size 1 without a word (pytorch#157621)."""
    seen: list[Any] = []
    right = strategies.WAYS["dynamo"]

    def seeing(original: Any, example: Any, *args: Any, **given: Any) -> Converted:
        seen.append(example["x"])
        return right(original, example, *args, **given)

    monkeypatch.setitem(strategies.WAYS, "dynamo", seeing)
    made = attempt_here(Calls(torch.sin), (X[:1, :1],), dynamic={"x": ["n:1..9", None]})
    assert torch.equal(seen[0], X[:1, :1].expand(2, 1))
    assert made.done.signature.inputs[0].shape == (Dim("n", 1, 9), 1)


@pytest.mark.parametrize(
    "run", [lambda x: x.view(2, 4) + 1, lambda x: x + torch.ones(2, 4)], ids=["view", "add"]
)
def test_a_size_that_the_original_can_not_have_is_said_before_the_export(
    run: Callable[[Tensor], Tensor], attempt_here: AttemptHere
) -> None:
    with pytest.raises(FactoryFailed, match=r"original module at n=\d.*narrow the range"):
        attempt_here(Calls(run), (X,), dynamic={"x": ["n", None]})


def test_a_dimension_that_the_code_fixes_is_lost(attempt_here: AttemptHere) -> None:
    run = Calls(lambda x: x + 1 if x.shape[0] == 2 else x - 1)
    with pytest.raises(DimensionLost, match=r"Axis 0 of x was to stay dynamic \(n:1\.\.\) .* to 2"):
        attempt_here(run, (X,), dynamic={"x": ["n", None]})


class Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_dimensions_that_must_be_equal_want_one_name(attempt_here: AttemptHere) -> None:
    with pytest.raises(FactoryFailed, match="that must be equal take one name"):
        attempt_here(Sum(), (X, X), dynamic={"x": ["a", None], "y": ["b", None]})


def test_a_branch_at_a_size_of_one_is_caught(attempt_here: AttemptHere) -> None:
    run = Calls(lambda x: x * 3 if x.shape[0] == 1 else x)
    with pytest.raises(VerificationFailed, match="output output at n=1: "):
        attempt_here(run, (X,), dynamic={"x": ["n", None]})


def test_a_branch_at_any_other_size_is_caught_without_trying_it(attempt_here: AttemptHere) -> None:
    """Wrong at 7 and 8 alone, which no verification tries."""
    run = Calls(lambda x: x * 3 if 6 < x.shape[1] < 9 else x)
    with pytest.raises(
        ExportFailed, match=r"takes another way outside t:2\.\.6, and t:2\.\.40 was"
    ):
        attempt_here(run, (X,), dynamic={"x": [None, "t:2..40"]})
    made = attempt_here(run, (X,), dynamic={"x": [None, "t:2..6"]})
    assert made.done.signature.inputs[0].shape == (2, Dim("t", 2, 6))


@pytest.mark.parametrize(
    "taken", [lambda n: n == 5, lambda n: n % 8 == 0, lambda n: n == 1000], ids=["5", "8s", "1000"]
)
def test_a_branch_at_sizes_that_nobody_would_think_of_is_found(
    taken: Callable[[int], bool], attempt_here: AttemptHere
) -> None:
    """torch only notes such a condition, and no range shows it."""
    run = Calls(lambda x: x * 2 if taken(x.shape[0]) else x + 1)
    with pytest.raises(VerificationFailed, match="output output at n="):
        attempt_here(run, (X[:1].expand(3, 4),), dynamic={"x": ["n", None]})
    harmless = Calls(lambda x: x + 1 if taken(x.shape[0]) else 1 + x)
    made = attempt_here(harmless, (X[:1].expand(3, 4),), dynamic={"x": ["n", None]})
    assert any(taken(sizes["n"]) for sizes in made.done.verification.sizes)


def test_a_decision_that_warns_nobody_is_noticed_in_a_trace(attempt_here: AttemptHere) -> None:
    def run(x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return x * 0 if x.max() > 1000 else x + 1

    with pytest.raises(ExportFailed, match=r"number of a tensor: bool\) \(at .*test_attempt"):
        attempt_here(Calls(run), (X,), options={"strategy": "torchscript"})


def test_an_export_is_not_right_because_its_module_is_chaotic(attempt_here: AttemptHere) -> None:
    def run(x: Tensor) -> Tensor:
        return torch.sin(x * 1e8) * (0 if torch.compiler.is_exporting() else 1)

    with pytest.raises(VerificationFailed):
        attempt_here(Calls(run), (X,))


def test_an_order_of_equal_values_decides_nothing(attempt_here: AttemptHere) -> None:
    def run(x: Tensor) -> Tensor:
        return torch.gather(torch.sin(x.cumsum(-1)), 1, x.topk(3, -1).indices)

    made = attempt_here(Calls(run), (torch.rand(3, 16),), values={"x": (0.0, 1.0)})
    assert made.done.closeness[0].cosine > 0.999


# ---- what can't be exported -------------------------------------------------------------------


def test_control_flow_on_values_is_refused_with_the_line_and_a_way_out(
    attempt_here: AttemptHere,
) -> None:
    def run(x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x

    line = run.__code__.co_firstlineno + 1
    with pytest.raises(ExportFailed, match=r"by the value of a tensor.*torch\.where") as caught:
        attempt_here(Calls(run), (X,))
    facts = caught.value.facts
    assert facts["where"] == f"{__file__}:{line}"
    assert "GuardOnDataDependentSymNode" in facts["details"]
    assert str(caught.value).count("\n") == 0


def test_an_operator_that_raises_while_it_is_exported_is_named(attempt_here: AttemptHere) -> None:
    def run(x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            raise RuntimeError("not\nhere")
        return x

    with pytest.raises(ExportFailed, match=r"RuntimeError: not here \(at .*test_attempt\.py:\d+\)"):
        attempt_here(Calls(run), (X,))


def test_numbers_that_no_model_holds_are_refused(attempt_here: AttemptHere) -> None:
    with pytest.raises(ExportFailed, match="its output output is of complex64; an output may be"):
        attempt_here(Calls(torch.fft.fft), (X,))


class Counter(nn.Module):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


def test_a_module_with_a_memory_is_refused(attempt_here: AttemptHere) -> None:
    with pytest.raises(FactoryFailed, match=r"keeps something between calls.*as an input"):
        attempt_here(Counter(), (X,))


def test_what_is_drawn_at_random_is_marked_and_compared_by_shape(attempt_here: AttemptHere) -> None:
    module = Calls(lambda x: (x + torch.rand_like(x), x * 2))
    made = attempt_here(module, (X,), dynamic={"x": ["n"]})
    noise, twice = made.done.signature.outputs
    assert (noise.random, twice.random) == (True, False)
    assert noise.shape == (Dim("n", 0), 4)
    assert [entry.output for entry in made.done.closeness] == ["output_1"]
    assert any("output_0" in note and "random" in note for note in made.done.notes)
    with made.open() as model:
        feed = np.zeros((3, 4), np.float32)
        first, second = (model.named(model({"x": feed}))["output_0"] for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_random_number_that_an_export_would_freeze_is_refused(attempt_here: AttemptHere) -> None:
    """Drawn by Python or numpy, which no exporter sees, and hardly ever shown."""
    for draw in (random.random, np.random.rand):
        with pytest.raises(FactoryFailed, match="draws random numbers of Python's or numpy's"):
            attempt_here(Calls(lambda x, draw=draw: x * 0 if draw() < 0.01 else x), (X,))


# ---- the ways ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_recurrent_module_traced_is_one_operator_at_every_length(
    cell: type[nn.RNN], attempt_here: AttemptHere
) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell(4, 6, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            steps, _ = self.cell(x)
            return torch.select(steps, 1, -1)

    made = attempt_here(
        Last(),
        (torch.rand(2, 3, 4),),
        dynamic={"x": ["batch", "time"]},
        options={"strategy": "torchscript"},
    )
    assert made.done.facts.operators[cell.__name__] == 1
    assert made.done.signature.outputs[0].shape == (Dim("batch", 0), 6)
    assert {"batch": 1, "time": 1} in made.done.verification.sizes


def test_the_dynamo_exporter_leaves_an_rnn_to_the_one_that_keeps_it_whole(
    attempt_here: AttemptHere,
) -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNN(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return torch.select(self.cell(x)[0], 0, 0)

    module = First()
    with pytest.raises(UnrolledLoop, match="instead of ONNX's operator RNN"):
        attempt_here(module, (X,))
    made = attempt_here(module, (X,), options={"unrolled": True})
    assert "RNN" not in made.done.facts.operators
    assert any("its steps are written out" in note for note in made.done.notes)


@pytest.mark.parametrize(
    "run",
    [lambda x: x if x.sum() > 0 else -x, lambda x: x / x.shape[0] if x.shape[0] > 4 else x],
    ids=["a value", "a size"],
)
def test_a_trace_that_froze_a_decision_is_refused_with_its_line(
    run: Callable[[Tensor], Tensor], attempt_here: AttemptHere
) -> None:
    with pytest.raises(ExportFailed, match=r"a trace would freeze .*test_attempt\.py:\d+"):
        attempt_here(Calls(run), (X,), dynamic={"x": ["n"]}, options={"strategy": "torchscript"})


@pytest.mark.parametrize("strategy", ["strict", "deferred", "torchscript"])
def test_every_way_gives_the_outputs_their_names(strategy: str, attempt_here: AttemptHere) -> None:
    made = attempt_here(
        Calls(lambda x: {"sum": x + 1, "same": x, "pair": (x * 2, None, x.sum(1))}),
        (X,),
        dynamic={"x": ["n:1..9"]},
        options={"strategy": strategy},
    )
    names = [(spec.name, spec.shape[0]) for spec in made.done.signature.outputs]
    assert names == [(name, Dim("n", 0)) for name in ("sum", "same", "pair.0", "pair.2")]
    assert made.done.strategy == strategy
    assert "pair.1" in "".join(made.done.notes)


# ---- cases ------------------------------------------------------------------------------------


def labelled(count: int, start: float = 0.0) -> Callable[[], Iterator[Case]]:
    def read() -> Iterator[Case]:
        for index in range(count):
            x = np.full((1, 4), start + index, np.float32)
            yield Case({"input": x}, label=index % 3)

    return read


def test_cases_are_kept_with_the_original_s_answers(attempt_here: AttemptHere) -> None:
    module = nn.Linear(4, 3)
    made = attempt_here(
        module,
        (X,),
        dynamic={"input": ["n:1..4", None]},
        evaluation=labelled(5),
        calibration=labelled(3, 0.5),
        metric="top1",
        labels=["a", "b", "c"],
        name="tiny",
    )
    done = made.done
    assert (done.name, done.metric) == ("tiny", "top1")
    (labels,) = done.assets
    assert (made.folder / labels.file).read_text() == "a\nb\nc\n"
    kept = {
        name: case_files.decode((made.folder / f"{name}.safetensors").read_bytes(), path=name)
        for name in ("reference", "evaluation", "calibration")
    }
    assert (done.evaluation.cases, done.evaluation.split) == (5, "test")
    assert [case.label for case in kept["evaluation"]] == [0, 1, 2, 0, 1]
    assert (done.calibration.cases, done.calibration.split) == (3, "train")
    assert all(case.outputs is None for case in kept["calibration"])
    assert done.reference.split == "reference"
    assert {len(case.feed["input"]) for case in kept["reference"]} >= {1, 2, 4}
    for case in (*kept["evaluation"], *kept["reference"]):
        assert case.outputs is not None
        with torch.no_grad():
            expected = module(torch.from_numpy(case.feed["input"].copy())).numpy()
        np.testing.assert_array_equal(case.outputs["output"], expected)


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (
            {"evaluation": labelled(3), "calibration": labelled(1)},
            BadValue,
            "partly the evaluation",
        ),
        (
            {"calibration": lambda: iter([Case({"image": np.zeros((1, 4), np.float32)})])},
            FactoryFailed,
            "The calibration data doesn't fit the module at case 0: There is no input 'image'",
        ),
        (
            {"evaluation": lambda: iter([Case({"input": np.zeros((3, 4), np.float32)})])},
            FactoryFailed,
            r"case 0: Axis 0 of input has size 3 and the model takes 1",
        ),
    ],
)
def test_data_that_does_not_fit_is_told_before_the_export_starts(
    given: dict[str, Any],
    error: type[Exception],
    sentence: str,
    attempt_here: AttemptHere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def started(*args: Any, **named: Any) -> None:
        raise AssertionError("the export was started")

    monkeypatch.setitem(strategies.WAYS, "dynamo", started)
    with pytest.raises(error, match=sentence):
        attempt_here(nn.Linear(4, 3), (X[:1],), **given)


def test_an_asked_tolerance_is_recorded(attempt_here: AttemptHere) -> None:
    made = attempt_here(nn.Linear(4, 3), (X,), options={"tolerance": 0.01})
    assert made.done.verification.rule.startswith("|exported - original| <= 0.01 x largest value")


def test_sizes_that_are_too_large_to_try_are_told(attempt_here: AttemptHere) -> None:
    made = attempt_here(nn.ReLU(), (torch.rand(2, 4),), dynamic={"input": ["n:1..9000000", None]})
    assert made.done.notes[-1].startswith("n was verified up to 1048576 and not at 9000000")


# ---- a wrong export ---------------------------------------------------------------------------


def test_a_model_that_torch_made_wrong_is_caught(
    attempt_here: AttemptHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = strategies.WAYS["dynamo"]

    def wrong(*args: Any, **given: Any) -> Converted:
        converted = right(*args, **given)
        for value in converted.model.graph.initializers.values():
            assert value.const_value is not None
            if len(value.const_value.shape) == 2:
                value.const_value = onnx_ir.tensor(
                    value.const_value.numpy() * np.float32(1.001), name=value.name
                )
        return converted

    monkeypatch.setitem(strategies.WAYS, "dynamo", wrong)
    with pytest.raises(VerificationFailed, match="output output at"):
        attempt_here(nn.Linear(4, 3), (X,), dynamic={"input": ["n", None]})


def test_a_training_mode_that_changes_nothing_is_not_mentioned(attempt_here: AttemptHere) -> None:
    assert attempt_here(nn.ReLU().train(), (X,)).done.notes == ()


def test_a_pickle_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    from exporters.requests import ExportOptions

    pickled = b"cno_such_module\nNet\n."
    with pytest.raises(
        FactoryFailed, match=r"net cannot be made again in another process.*no_such"
    ):
        attempts.attempt_module(ModuleRequest(pickled, "net"), ExportOptions(), str(tmp_path))


def test_what_an_attempt_gives_crosses_to_another_process(attempt_here: AttemptHere) -> None:
    import msgspec

    from exporters.requests import Attempt

    done = attempt_here(nn.ReLU(), (X,)).done
    wire = json.loads(msgspec.json.encode(done))
    assert msgspec.convert(wire, Attempt) == done


@pytest.mark.parametrize(
    "weight",
    [torch.ones(4, device="meta"), torch.ones(4).to(torch.float8_e4m3fn), torch.eye(4).to_sparse()],
    ids=["meta", "float8", "sparse"],
)
def test_weights_that_cannot_be_read_are_the_module_s_fault(
    weight: Tensor, attempt_here: AttemptHere
) -> None:
    module = Calls(lambda x: x)
    module.register_buffer("weight", weight)
    with pytest.raises(FactoryFailed, match="and have its weights read"):
        attempt_here(module, (X,), name="odd")


def test_answers_count_in_the_size_of_the_evaluation_cases(
    attempt_here: AttemptHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held_out() -> Iterator[Case]:
        for index in range(10):
            yield Case({"x": np.full((2, 4), index, np.float32)})

    monkeypatch.setattr(recording, "EVALUATION_BYTES", 5 * 2 * (32 + 32))
    done = attempt_here(Calls(lambda x: x * 2), (X,), evaluation=held_out).done
    assert done.evaluation is not None
    assert done.evaluation.cases == 10
    monkeypatch.setattr(recording, "EVALUATION_BYTES", 5 * (32 + 32))
    done = attempt_here(Calls(lambda x: x * 2), (X,), evaluation=held_out).done
    assert done.evaluation.cases == 5
