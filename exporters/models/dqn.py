"""The deep Q-network that played Atari games: four frames in, the worth of each action out.

Three convolutions without padding and two linear layers (Mnih et al., 2015). What an agent does is
the greedy action, argmax over a of Q(frames, a): a changed network is as good as the original where
it does the same, so agreement of the greedy action is its accuracy.

Learning to play takes a game and millions of frames, and no registry package ships such weights.
These are drawn at random, as orthogonal matrices that keep the size of what they are given (Saxe et
al., 2014): with torch's own the frames hardly reach the answer, every frame has the same greedy
action, and any network would agree with any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from edgekit.errors import BadValue
from edgekit.tensors import Case
from exporters.datasets import frames
from exporters.exportable import Exportable
from exporters.training import seeded

EVALUATION_CASES, EVALUATION_SEED = 500, 1
CALIBRATION_CASES, CALIBRATION_SEED = 128, 2


class Dqn(nn.Module):
    """4×84×84 → conv 32 of 8×8 by 4 → conv 64 of 4×4 by 2 → conv 64 of 3×3 → linear 512 → Q."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(frames.FRAMES, 32, kernel_size=8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3)
        self.hidden = nn.Linear(64 * 7 * 7, 512)
        self.worth = nn.Linear(512, actions)
        for layer in self.children():
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            assert layer.bias is not None
            nn.init.orthogonal_(layer.weight, gain=math.sqrt(2))  # a ReLU lets half of it through
            nn.init.zeros_(layer.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Return float32 Q values of [batch, actions] for uint8 frames of [batch, 4, 84, 84]."""
        x = frames.to(self.conv1.weight.dtype) / 255
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.conv3(x))
        worth: Tensor = self.worth(torch.relu(self.hidden(x.flatten(1))))
        return worth


def dqn(*, actions: int = 6, seed: int = 0) -> Exportable:
    """Make the network with random weights for a game of so many actions.

    It is evaluated on 500 drawn stacks of frames, each labelled with the original's own greedy
    action, so that the original's accuracy is 100 % and another network's is its agreement. `seed`
    decides the weights.

    Raises:
        BadValue: fewer than two actions.
    """
    if actions < 2:
        raise BadValue(what="actions", asked=str(actions), expected="2 or more")
    with seeded(seed):
        module = Dqn(actions).eval()
    example = torch.stack([torch.from_numpy(stack) for stack in frames.stacks(2, seed=0)])
    return Exportable(
        module,
        (example,),
        input_names=["frames"],
        output_names=["q"],
        dynamic={"frames": ("batch:1..64", None, None, None)},
        values={"frames": frames.VALUES},
        evaluation=partial(greedy_cases, module, EVALUATION_CASES, seed=EVALUATION_SEED),
        calibration=partial(greedy_cases, module, CALIBRATION_CASES, seed=CALIBRATION_SEED),
        dataset="drawn frame stacks",
        metric="top1",
        labels=[f"action {number}" for number in range(actions)],
        preprocessing="the last four frames, oldest first, each grey and scaled to 84×84",
        name="dqn",
    )


def greedy_cases(module: Dqn, count: int, *, seed: int) -> Iterator[Case]:
    """Yield drawn stacks of frames, a batch of one, with the greedy action of `module`."""
    for stack in frames.stacks(count, seed=seed):
        feed = stack[None]
        with torch.inference_mode():
            action = module(torch.from_numpy(feed)).argmax().item()
        yield Case({"frames": feed}, label=int(action))
