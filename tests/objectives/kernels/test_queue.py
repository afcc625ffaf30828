"""The queue of past pairs: order, size, checkpoints; its effect on the loss is tested with InfoNCE."""

import pytest
import torch

from xalign.base.errors import ConfigError
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import Config
from xalign.objectives.kernels.info_nce import Negatives
from xalign.objectives.kernels.queue import NegativeQueue

CPU = torch.device("cpu")


def pairs(*numbers: float) -> Negatives:
    """Pairs whose vectors and keys tell their number."""
    values = torch.tensor(numbers, dtype=torch.float32)
    keys = values.nan_to_num(0).long()
    return Negatives(values[:, None].repeat(1, 3), -values[:, None].repeat(1, 3), keys, keys + 100)


def held(queue: NegativeQueue) -> list[int]:
    past = queue.negatives(CPU)
    assert past is not None
    assert torch.equal(past.source[:, 0], past.source_keys.float())
    assert torch.equal(past.target[:, 2], -past.source_keys.float())
    assert torch.equal(past.target_keys, past.source_keys + 100)
    return past.source_keys.tolist()


def test_the_oldest_leave() -> None:
    queue = NegativeQueue(5)
    assert queue.negatives(CPU) is None
    queue.push(pairs(1, 2))
    assert held(queue) == [1, 2]
    queue.push(pairs(3, 4))
    queue.push(pairs(5, 6))
    assert held(queue) == [2, 3, 4, 5, 6]
    queue.push(pairs(*range(10, 17)))
    assert held(queue) == [12, 13, 14, 15, 16]
    assert len(queue) == 5


def test_what_is_not_finite_stays_out() -> None:
    queue = NegativeQueue(3)
    queue.push(pairs(1, float("nan"), 2, float("inf")))
    assert held(queue) == [1, 2]


def test_it_holds_no_graph() -> None:
    queue = NegativeQueue(3)
    new = pairs(1, 2)
    queue.push(Negatives(new.source.requires_grad_(), new.target, new.source_keys, new.target_keys))
    past = queue.negatives(CPU)
    assert past is not None
    assert not past.source.requires_grad


def test_going_on_from_a_checkpoint_repeats() -> None:
    steps = [pairs(*range(k, k + 3)) for k in range(1, 12, 3)]
    whole, first, second = NegativeQueue(7), NegativeQueue(7), NegativeQueue(7)
    second.load_state_dict(first.state_dict())
    assert second.negatives(CPU) is None
    for step in steps:
        whole.push(step)
    for step in steps[:2]:
        first.push(step)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    first.push(steps[2])  # must not reach into the state
    second.load_state_dict(state)
    for step in steps[2:]:
        second.push(step)
    assert held(second) == held(whole) == list(range(6, 13))


def test_its_size_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"loss\.queue=-1: "):
        resolve(compose_config("config", ["loss.queue=-1"]), Config)
