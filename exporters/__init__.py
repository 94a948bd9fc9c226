"""Turn PyTorch models into model packages, each verified against its original.

    >>> import exporters
    >>> exporters.export(module, (image,), "cnn.edgekit", dynamic={"image": ["batch:1..64"]})

Importing this package loads no torch. `exporters.exportable.Exportable` is what a factory returns
when a module and example inputs don't say it all.
"""

from __future__ import annotations

from exporters.pytorch import Exported, export, export_target

__all__ = ["Exported", "export", "export_target"]
