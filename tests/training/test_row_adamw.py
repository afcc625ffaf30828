"""Updates by rows equal torch's dense AdamW."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xalign.training import row_adamw
from xalign.training.row_adamw import RowAdamW

# The tokens of each step: rows enter at different steps, stay away and come back; two touch none.
STEPS: list[list[int]] = [[], [3, 3, 8], [3, 1], [], [17, 8, 2], [4], [4, 3], [17], [0, 19, 1]]


class Pair:
    """A table and a bias, trained by rows and, in a copy, densely."""

    def __init__(self, weight_decay: float = 0.0) -> None:
        torch.manual_seed(0)
        self.rows = [nn.Parameter(torch.randn(20, 3).double()), nn.Parameter(torch.randn(3).double())]
        self.dense = copy.deepcopy(self.rows)
        options = {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-8}
        self.by_rows = RowAdamW(self._groups(self.rows, weight_decay), **options)  # type: ignore[arg-type]
        self.plain = torch.optim.AdamW(self._groups(self.dense, weight_decay), **options)  # type: ignore[arg-type]
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step))
            for o in (self.by_rows, self.plain)
        ]

    def _groups(self, parameters: Sequence[nn.Parameter], decay: float) -> list[dict[str, object]]:
        return [
            {"params": [parameters[0]], "weight_decay": decay},
            {"params": [parameters[1]], "weight_decay": 0.0},
        ]

    def step(self, tokens: list[int], dense: bool = False) -> None:
        gradient = _gradient(tokens)
        self.rows[0].grad = gradient.to_dense() if dense else gradient
        self.dense[0].grad = gradient.to_dense()
        for parameters in (self.rows, self.dense):
            parameters[1].grad = torch.full((3,), float(len(tokens)), dtype=torch.float64)
        self.by_rows.step()
        self.plain.step()
        for scheduler in self.schedulers:
            scheduler.step()

    def check(self) -> None:
        for found, expected in zip(self.rows, self.dense, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def _gradient(tokens: list[int]) -> Tensor:
    values = torch.randn(len(tokens), 3, dtype=torch.float64)
    return torch.sparse_coo_tensor(
        torch.tensor([tokens], dtype=torch.long), values, (20, 3), check_invariants=True
    )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows are three blocks, the last of them with room for one more."""
    monkeypatch.setattr(row_adamw, "BLOCK", 3)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_by_rows_equals_dense(weight_decay: float) -> None:
    pair = Pair(weight_decay)
    start = pair.rows[0].detach().clone()
    for tokens in STEPS:
        pair.step(tokens)
        pair.check()
    state = pair.by_rows.state[pair.rows[0]]
    assert state["rows"].tolist() == [3, 8, 1, 2, 17, 4, 0, 19]
    assert len(state["exp_avg"]) == len(state["exp_avg_sq"]) == 3
    assert not state["exp_avg_sq"][2][2].any()
    assert pair.rows[0].grad is not None  # left as it was
    if not weight_decay:
        assert torch.equal(pair.rows[0][5:8], start[5:8])


def test_dense_gradients_take_over() -> None:
    """And a sparse one after them is exact too."""
    pair = Pair(0.1)
    for number, tokens in enumerate(STEPS):
        pair.step(tokens, dense=number in (4, 5))
        pair.check()
    assert "rows" not in pair.by_rows.state[pair.rows[0]]
    dense_first = Pair()
    for number, tokens in enumerate(STEPS):
        dense_first.step(tokens, dense=number == 0)
        dense_first.check()


def test_a_parameter_without_a_gradient_stays_and_keeps_no_state() -> None:
    pair = Pair(0.1)
    pair.step([1, 2])
    before = pair.rows[0].detach().clone()
    pair.rows[0].grad = None
    pair.by_rows.step()
    assert torch.equal(pair.rows[0], before)
    fresh = Pair()
    fresh.by_rows.step()
    assert not fresh.by_rows.state_dict()["state"]


def test_state_survives_a_checkpoint(tmp_path: Path) -> None:
    pair = Pair()
    for tokens in STEPS[:4]:
        pair.step(tokens)
    torch.save(pair.by_rows.state_dict(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    groups = [{"params": [p]} for p in pair.rows]
    resumed = RowAdamW(groups, lr=1.0, betas=(0.5, 0.5), eps=1.0)
    resumed.load_state_dict(saved)
    state, expected = resumed.state[pair.rows[0]], pair.by_rows.state[pair.rows[0]]
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)  # and the types
    # Going on from it is going on.
    pair.schedulers = pair.schedulers[1:]
    resumed.param_groups[0]["lr"] = resumed.param_groups[1]["lr"] = pair.by_rows.param_groups[0]["lr"]
    pair.by_rows = resumed
    pair.step(STEPS[4])
    pair.check()


def test_a_closure_is_run_with_gradients() -> None:
    embedding = nn.Embedding(10, 2, sparse=True)
    optimizer = RowAdamW(embedding.parameters(), lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    before = embedding.weight.detach().clone()

    def closure() -> float:
        loss = embedding(torch.tensor([4, 4])).pow(2).sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == pytest.approx(2 * float(before[4].pow(2).sum()))
    changed = (embedding.weight != before).any(1).nonzero().flatten()
    assert changed.tolist() == [4]
