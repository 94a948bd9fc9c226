from __future__ import annotations

import numpy as np

from edgekit.data.keeping import file_of, first_of, kept_note, nbytes, record_of
from edgekit.package.cases import content_sha256_of_all
from edgekit.tensors import Case

CASES = [Case({"x": np.full(4, i, np.float32)}, {"y": np.zeros(2, np.int64)}) for i in range(6)]


def test_bytes_are_of_what_goes_in_and_what_comes_out() -> None:
    assert nbytes(CASES[0]) == 4 * 4 + 2 * 8


def test_cases_are_kept_up_to_a_number_and_a_size() -> None:
    assert len(list(first_of(iter(CASES), most=4, most_bytes=1 << 20))) == 4
    assert len(list(first_of(iter(CASES), most=9, most_bytes=1 << 20))) == 6
    assert len(list(first_of(iter(CASES), most=9, most_bytes=3 * 32))) == 3
    assert not list(first_of(iter(CASES), most=9, most_bytes=31))


def test_a_record_says_what_a_file_holds() -> None:
    record = record_of(CASES, "train", name="digits", suffix="-uint8")
    assert record.file == file_of("train", suffix="-uint8") == "calibration-uint8.safetensors"
    assert (record.name, record.split, record.cases) == ("digits", "train", 6)
    assert record.content_sha256 == content_sha256_of_all(CASES)


def test_fewer_cases_than_given_are_told() -> None:
    assert kept_note("evaluation", kept=9, given=9) == []
    assert kept_note("evaluation", kept=1500, given=10000) == [
        "the package keeps the first 1,500 of 10,000 evaluation cases"
    ]
