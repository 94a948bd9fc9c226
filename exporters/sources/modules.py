"""A factory in the user's own code: `file.py:factory` and `package.module:factory`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from edgekit.user_code import factory_in, imported, run_user_code
from exporters.exportable import Exportable
from exporters.requests import TargetRequest
from exporters.seeds import seed_everything
from exporters.sources.parameters import typed_parameters
from exporters.sources.user_code import as_exportable

_FORMS = (
    "package.module:factory, file.py:factory, a reference model, timm:NAME, hf:FOLDER, a .pt2 or "
    "an .onnx"
)


def from_code(request: TargetRequest) -> tuple[Exportable, str]:
    """Import a file or a module, call the factory in it; return what it made, and a name for it.

    A file's neighbours can be imported, as when Python runs a file; for a module, what lies in the
    asked folder comes first, as it does for `python -m`.

    Raises:
        NotFound: no such file.
        BadValue: there is no such module.
        UnknownName, BadValue, FactoryFailed: as in `exporters.sources.build`.
    """
    folder = Path(request.folder)
    name = request.target.rpartition(":")[0]
    with imported(request.target, folder, what="TARGET", forms=_FORMS) as module:
        label = Path(name).stem if name.endswith(".py") else name.rpartition(".")[2]
        return _made(module, request), label


def _made(module: ModuleType, request: TargetRequest) -> Exportable:
    factory = factory_in(module, request.target)
    typed = typed_parameters(factory, request.parameters, target=request.target)
    seed_everything(request.seed)

    def make() -> Exportable:
        return as_exportable(factory(**typed), target=request.target)

    exportable: Exportable = run_user_code(make, target=request.target, made="exported")
    return exportable
