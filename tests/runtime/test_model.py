from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

import edgekit
from edgekit.errors import InputError, ModelClosed, RunFailed
from edgekit.tensors import Dim

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


def test_several_outputs_come_as_a_dict_in_order(write_onnx: WriteOnnx) -> None:
    graph = "(float[n] x) => (float[n] up, float[n] down) { up = Abs(x) down = Neg(x) }"
    with edgekit.load(write_onnx(graph)) as model:
        for _ in range(2):
            answer = model(np.array([1, -2], np.float32))
            assert list(answer) == ["up", "down"]
            np.testing.assert_array_equal(answer["up"], [1, 2])
            np.testing.assert_array_equal(answer["down"], [-1, 2])
        assert model.named(answer) is answer


def test_one_output_comes_as_an_array_and_gets_its_name_from_named(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    answer = model(X)
    assert isinstance(answer, np.ndarray)
    assert list(model.named(answer)) == ["y"]


def test_a_model_without_inputs_is_called_with_nothing(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx("() => (float y) { y = Constant <value = float {2}> () }"))
    assert model() == 2
    assert model({}) == 2
    with pytest.raises(InputError, match="There is no input 'x'; expected: no input"):
        model(x=1)


def test_an_answer_can_be_written_to_without_harm(write_onnx: WriteOnnx) -> None:
    graph = "(float[n] x) => (float[n] y, float z) <float z = {3}> { y = Identity(x) }"
    model = edgekit.load(write_onnx(graph))
    x = np.ones(2, np.float32)
    for _ in range(2):
        answer = model(x)
        assert answer["z"] == 3
        answer["y"][:] = answer["z"][...] = 9
    assert (x == 1).all()


def test_names_of_inputs_may_be_any_words(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(
        write_onnx("(float[n] self, float[n] feed) => (float[n] y) { y = Sub(self, feed) }")
    )
    assert model(**{"self": [3.0], "feed": [1.0]}) == 2
    assert model({"self": [3.0]}, feed=[1.0]) == 2


def test_the_signature_tells_names_types_and_dimensions(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(
        write_onnx("(float[batch,4] x, int64[k,2] i) => (float[batch,4] y) { y = Relu(x) }")
    )
    assert [str(spec) for spec in model.inputs] == ["x: float32 [batch, 4]", "i: int64 [k, 2]"]
    assert model.inputs[0].shape == (Dim("batch"), 4)
    assert [str(spec) for spec in model.outputs] == ["y: float32 [batch, 4]"]
    assert repr(model) == (
        "<Model net (net): x: float32 [batch, 4]; i: int64 [k, 2] → y: float32 [batch, 4]>"
    )


def test_a_closed_model_says_so_in_every_form_of_call(tiny_onnx: Any) -> None:
    with edgekit.load(tiny_onnx()) as model:
        model(X)
    model.close()
    calls: list[Callable[[], Any]] = [lambda: model(X), lambda: model({"x": X})]
    calls += [lambda: model(x=X), lambda: model(1)]
    for call in calls:
        with pytest.raises(ModelClosed, match=r"tiny was closed; load it again with edgekit\.load"):
            call()
    assert "closed" in repr(model)


def test_an_error_inside_with_closes_the_model_and_goes_on(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    with pytest.raises(ZeroDivisionError), model:
        raise ZeroDivisionError
    with pytest.raises(ModelClosed):
        model(X)


def test_a_failure_inside_onnxruntime_becomes_ours(write_onnx: WriteOnnx) -> None:
    graph = "(float[n] x, int64[k] i) => (float[k] y) { y = Gather(x, i) }"
    model = edgekit.load(write_onnx(graph))
    x = np.ones(2, np.float32)
    assert model(x=x, i=[1]) == 1
    with pytest.raises(RunFailed, match=r"net failed while running: .*out of data bounds"):
        model(x=x, i=[7])
    assert model(x=x, i=[1]) == 1


def test_explain_says_which_variant_runs_how_and_why(tiny_package: Path, tiny_onnx: Any) -> None:
    told = edgekit.load(tiny_package, threads=1, idle="sleep").explain()
    assert str(told) == (
        "tiny: variant fp32 on cpu in fp32 (all 2 nodes), 1 thread, idle sleep: the portable "
        "variant: right on every processor"
    )
    assert edgekit.load(tiny_package, variant="fp32").explain().choice.reason == "asked for by name"
    plain = edgekit.load(tiny_onnx())
    assert "nothing to choose from" in plain.explain().choice.reason
    assert plain.facts.threads >= 1


def test_many_threads_get_right_answers_or_hear_that_it_was_closed(
    tiny_onnx: Any, tiny_answer: Callable[[dict[str, Any]], Any]
) -> None:
    inputs = [np.random.default_rng(n).standard_normal((n, 4), np.float32) for n in range(1, 9)]
    expected = [tiny_answer({"x": x}) for x in inputs]
    forms: list[Callable[[Any], Any]] = [lambda x: x, np.asfortranarray, lambda x: {"x": x}]

    for _ in range(5):
        model = edgekit.load(tiny_onnx(), threads=1)
        started = threading.Barrier(5)

        def hammer(seed: int, model: Any = model, started: Any = started) -> tuple[int, bool]:
            started.wait()
            for turn in range(100_000):
                at = (seed + turn) % len(inputs)
                try:
                    answer = model(forms[turn % 3](inputs[at]))
                except ModelClosed:
                    return turn, True
                np.testing.assert_allclose(answer, expected[at], atol=1e-6)
            return turn, False

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(hammer, seed) for seed in range(4)]
            started.wait()
            while not model._known_shapes and not all(task.done() for task in running):
                pass
            model.close()
            # Nothing but a right answer or ModelClosed came out, or result() would raise it.
            assert all(closed for _, closed in (task.result() for task in running))


def test_a_call_that_runs_while_the_model_is_closed_ends_well(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    expected = model(X)

    class Closing(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            model.close()
            return super().__getitem__(name)

    np.testing.assert_array_equal(model(Closing(x=X)), expected)
    with pytest.raises(ModelClosed):
        model(Closing(x=X))


def test_the_memory_of_shapes_is_bounded(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx("(float[n] x) => (float[n] y) { y = Neg(x) }"), threads=1)
    for size in range(1, 300):
        assert model(np.zeros(size, np.float32)).shape == (size,)
    assert len(model._known_shapes) <= 256


def test_loading_and_calling_pull_in_nothing_heavy(
    tiny_package: Path, fresh_python: Callable[[str], str]
) -> None:
    code = f"""
import json, sys
import edgekit
with edgekit.load({str(tiny_package)!r}) as model:
    model([[1.0, 2.0, 3.0, 4.0]])
print(json.dumps(sorted(name.split(".")[0] for name in sys.modules)))
"""
    loaded = set(json.loads(fresh_python(code)))
    assert {"edgekit", "onnxruntime", "numpy", "msgspec"} <= loaded
    heavy = {"torch", "onnx", "onnx_ir", "click", "rich", "safetensors", "psutil", "ml_dtypes"}
    heavy |= {"platformdirs", "filelock", "asyncio", "multiprocessing", "unittest"}
    assert loaded & heavy == set()
