"""The operating system's refusals have sentences; its other failures are passed on."""

from __future__ import annotations

import errno

from edgekit.storage import as_storage_error


def test_a_refusal_to_write_has_a_sentence() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "weights.onnx")
    assert str(as_storage_error(full)) == "weights.onnx could not be written: the disk is full."
    assert "net.edgekit could not" in str(as_storage_error(full, path="net.edgekit"))
    assert "A file could not" in str(as_storage_error(OSError(errno.EIO, "I/O error")))
    assert as_storage_error(OSError(errno.ENOENT, "No such file")) is None
    assert as_storage_error(ValueError("not the disk's")) is None
