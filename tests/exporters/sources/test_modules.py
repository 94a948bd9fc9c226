from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.errors import (
    FactoryFailed,
    MissingExtra,
    UnknownName,
)
from exporters import sources
from exporters.requests import TargetRequest

RequestFor = Callable[..., TargetRequest]
WriteFile = Callable[..., Path]

LINEAR = """
    import torch
    from torch import nn

    def make():
        return nn.Linear(4, 3), (torch.rand(2, 4),)
"""


def build(path: Path, request_for: RequestFor, **parameters: str) -> Any:
    return sources.build(request_for(path, **parameters))


def test_a_factory_is_found_by_file_and_name(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    exportable = build(write_file(LINEAR), request_for)
    assert isinstance(exportable.module, torch.nn.Linear)
    assert exportable.name == "net"
    assert list(exportable.inputs()) == ["input"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("my net (2).py", "my-net-2-"), ("_net.py", "net"), ("net.v2.py", "net.v2")],
)
def test_any_file_name_gives_a_model_a_name(
    name: str, label: str, write_file: WriteFile, request_for: RequestFor
) -> None:
    assert build(write_file(LINEAR, name), request_for).name == label


@pytest.mark.parametrize("name", ["random.py", "torch.py", "click.py", "sys.py", "edgekit.py"])
def test_a_file_named_like_another_module_takes_nothing_from_it(
    name: str, write_file: WriteFile, request_for: RequestFor
) -> None:
    text = LINEAR + "\n    import random, torch\n    assert random.random and torch.rand\n"
    before = sys.modules.get(name.removesuffix(".py"))
    build(write_file(text, name), request_for)
    assert sys.modules.get(name.removesuffix(".py")) is before


def test_the_neighbours_of_a_file_can_be_imported_also_later(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    write_file("WIDTH = 5", "widths_of_this_net.py")
    write_file("WIDTH = 6", "called_later_by_net.py")
    path = write_file(
        """
        import torch
        from torch import nn
        from widths_of_this_net import WIDTH

        class Net(nn.Module):
            def forward(self, x):
                from called_later_by_net import WIDTH as more
                return x * more

        def make():
            return Net(), (torch.rand(2, WIDTH),)
        """
    )
    exportable = build(path, request_for)
    x = exportable.inputs()["x"]
    assert x.shape == (2, 5)
    assert torch.equal(exportable.module(x), x * 6)
    # Last, so that a neighbour can't stand before an installed package that torch imports later.
    assert sys.path[-1] == str(path.parent)
    assert str(path.parent) not in sys.path[:-1]


def test_classes_of_the_file_can_be_pickled_and_be_dataclasses(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    path = write_file(
        """
        from __future__ import annotations
        import dataclasses, pickle
        import torch
        from torch import nn

        @dataclasses.dataclass
        class Settings:
            width: int = 4

        def make():
            settings = pickle.loads(pickle.dumps(Settings()))
            return nn.Linear(settings.width, 3), torch.rand(2, settings.width)
        """
    )
    assert build(path, request_for).module.in_features == 4


@pytest.mark.parametrize(
    ("body", "sentence", "line"),
    [
        ("raise ValueError('no\\nweights')", r"net.py:make raised ValueError: no weights", 5),
        ("raise ValueError('long' * 9**6)", r"raised ValueError: (long){150} \(at", 5),
        ("import sys; sys.exit(3)", r"net.py:make called exit\(3\)", 5),
        ("return torch.load('absent.pt')", "raised FileNotFoundError", 5),
        ("return 7", "net.py:make returned int; expected a module and its example", None),
        ("return None", "returned NoneType; expected a module", None),
        ("return torch.nn.ReLU()", "returned ReLU; expected a module", None),
        ("return torch.nn.ReLU(), 3", r"returned \(ReLU, int\); expected a module", None),
        ("return torch.nn.ReLU(), [x]", r"returned \(ReLU, list\); expected", None),
        ("return x, torch.nn.ReLU()", r"returned \(Tensor, ReLU\); expected", None),
        (
            "return torch.nn.ReLU(), (x, 'text')",
            "net.py:make made what can't be exported: the entry 1 of example cannot be str: "
            "expected a tensor, or a list, tuple or dict of tensors",
            None,
        ),
        (
            "return torch.nn.ReLU(), ()",
            "made what can't be exported: example cannot be empty",
            None,
        ),
        (
            "from exporters.exportable import Exportable\n"
            "        return Exportable(torch.nn.ReLU(), (x,), dynamic={'y': ['n']})",
            "made what can't be exported: There is no input 'y'; there is: input",
            6,
        ),
    ],
)
def test_a_factory_that_fails_is_one_sentence_with_its_line(
    body: str, sentence: str, line: int | None, write_file: WriteFile, request_for: RequestFor
) -> None:
    text = f"""
    import torch
    x = torch.rand(2)
    def make():
        {body}
    """
    path = write_file(text)
    with pytest.raises(FactoryFailed, match=sentence) as caught:
        build(path, request_for)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert caught.value.facts["where"] == (f"{path}:{line}" if line else "")


def test_a_file_with_a_syntax_error_says_where(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    path = write_file("import torch\n\ndef make(:\n    pass\n")
    with pytest.raises(FactoryFailed, match=r"net.py:make raised SyntaxError.*net\.py:3"):
        build(path, request_for)


def test_a_missing_extra_inside_a_factory_stays_what_it_is(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    path = write_file(
        """
        from edgekit.errors import MissingExtra
        def make():
            raise MissingExtra(module="mlxtend", extra="models", what="This")
        """
    )
    with pytest.raises(MissingExtra):
        build(path, request_for)


def test_a_factory_that_is_not_there_names_those_that_are(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    path = write_file(LINEAR + "\n    def other():\n        pass\n    def _hidden(): pass\n")
    with pytest.raises(UnknownName, match=r"no factory 'mak' in net\.py; there is: make, other\."):
        sources.build(request_for(path, "mak"))


def test_a_relative_path_starts_at_the_asked_folder(
    write_file: WriteFile, request_for: RequestFor, tmp_path: Path
) -> None:
    asked = request_for(write_file(LINEAR))
    moved = TargetRequest(f"made/{asked.target}", str(tmp_path))
    assert sources.build(moved).name == "net"


def test_the_seed_makes_an_unseeded_factory_the_same_again(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    path = write_file(
        """
        import random
        import numpy as np
        import torch

        def make():
            module = torch.nn.Linear(4, 3)
            module.drawn = (random.random(), float(np.random.rand()))
            return module, torch.rand(2, 4)
        """
    )
    torch.rand(3)
    first = build(path, request_for)
    random.random()
    np.random.rand()
    torch.rand(3)
    again = build(path, request_for)
    assert first.module.drawn == again.module.drawn
    assert torch.equal(first.module.weight, again.module.weight)
    assert torch.equal(first.example[0], again.example[0])
    other = sources.build(TargetRequest("net.py:make", str(path.parent), seed=1))
    assert other.module.drawn != first.module.drawn


def test_a_class_can_be_a_factory(write_file: WriteFile, request_for: RequestFor) -> None:
    path = write_file(
        """
        import torch

        class make:
            def __new__(cls, width: int = 3):
                return torch.nn.Linear(4, width), torch.rand(2, 4)
        """
    )
    assert build(path, request_for, width="6").module.out_features == 6


def test_a_file_may_take_its_folder_off_the_path(
    write_file: WriteFile, request_for: RequestFor
) -> None:
    taking = LINEAR.replace("def make", "import sys\n\n    sys.path.pop(0)\n\n    def make", 1)
    assert taking != LINEAR
    assert build(write_file(taking), request_for).name
